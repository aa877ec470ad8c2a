import type { Migration } from './migration.ts'

/**
 * Sums by the hour and by the day, each with all that `usage` has of the minutes before the mark `rolled-up`; and from
 * when on the minutes, hours and days are kept. What a mark says is in docs/metering.md and in rollup.ts.
 */
export const rollups: Migration = [
  tableOf('usage_hour'),
  'CREATE INDEX usage_hour_of_tenant ON usage_hour (tenant, window_start)',
  tableOf('usage_day'),
  'CREATE INDEX usage_day_of_tenant ON usage_day (tenant, window_start)',
  `CREATE TABLE ledger_mark (
    name TEXT   NOT NULL PRIMARY KEY,
    at   BIGINT NOT NULL
  )`,
  `INSERT INTO ledger_mark (name, at)
   VALUES ('rolled-up', 0), ('minutes-from', 0), ('hours-from', 0), ('days-from', 0)`,
]

function tableOf(name: string): string {
  return `CREATE TABLE ${name} (
    window_start  BIGINT NOT NULL,
    tenant        TEXT   NOT NULL,
    listener      TEXT   NOT NULL,
    routability   TEXT   NOT NULL,
    operation     TEXT   NOT NULL,
    code          TEXT   NOT NULL,
    calls         BIGINT NOT NULL,
    ingress       BIGINT NOT NULL,
    egress        BIGINT NOT NULL,
    connections   BIGINT NOT NULL,
    connection_ms BIGINT NOT NULL,
    call_ms       BIGINT NOT NULL,
    PRIMARY KEY (window_start, tenant, listener, routability, operation, code)
  )`
}

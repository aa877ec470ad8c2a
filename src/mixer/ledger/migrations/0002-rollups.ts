import type { Migration } from './migration.ts'

const COUNTERS = ['calls', 'ingress', 'egress', 'connections', 'connection_ms', 'call_ms']
/** A sum that may pass 2^63 - 1, in two halves of 32 bits. */
const HALVES = COUNTERS.flatMap(counter => [`${counter}_high`, `${counter}_low`])

/**
 * Sums by the hour and by the day, each with all that `usage` has up to the mark `rolled-up`; from when on minutes, hours
 * and days are kept; and for the books, sums of what each producer ever reported, of the usage from before such sums were
 * kept (`before`), and of the days that are past retention (`expired`).
 */
export const rollups: Migration = [
  tableOf('usage_hour'),
  'CREATE INDEX usage_hour_of_tenant ON usage_hour (tenant, window_start)',
  tableOf('usage_day'),
  'CREATE INDEX usage_day_of_tenant ON usage_day (tenant, window_start)',
  // Of the minute `at` what belongs to the tenants up to `tenant` is rolled up as well.
  `CREATE TABLE ledger_mark (
    name   TEXT   NOT NULL PRIMARY KEY,
    at     BIGINT NOT NULL,
    tenant TEXT   NOT NULL DEFAULT ''
  )`,
  `INSERT INTO ledger_mark (name, at)
   VALUES ('rolled-up', 0), ('minutes-from', 0), ('hours-from', 0), ('days-from', 0)`,
  ...HALVES.map(half => `ALTER TABLE producer ADD COLUMN ${half} BIGINT NOT NULL DEFAULT 0`),
  `CREATE TABLE ledger_sums (
    name TEXT NOT NULL PRIMARY KEY,
    ${HALVES.map(half => `${half} BIGINT NOT NULL`).join(', ')}
  )`,
  `INSERT INTO ledger_sums (name, ${HALVES.join(', ')})
   SELECT 'before', ${COUNTERS.flatMap(halvesOf).join(', ')} FROM usage`,
  `INSERT INTO ledger_sums (name, ${HALVES.join(', ')}) VALUES ('expired', ${HALVES.map(() => 0).join(', ')})`,
]

function halvesOf(counter: string): string[] {
  return [
    `CAST(coalesce(sum(${counter} >> 32), 0) AS BIGINT)`,
    `CAST(coalesce(sum(${counter} & 4294967295), 0) AS BIGINT)`,
  ]
}

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

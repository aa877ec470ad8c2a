import type { Migration } from './migration.ts'

/**
 * Usage by the minute, and the sequences of producers. Clustered by time first, because reports come in for the current
 * minute and queries ask for a stretch of time; the index serves one tenant over a long one.
 */
export const usage: Migration = [
  `CREATE TABLE producer (
    producer   TEXT   NOT NULL PRIMARY KEY,
    sequence   BIGINT NOT NULL,
    applied_at BIGINT NOT NULL
  )`,
  `CREATE TABLE usage (
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
  )`,
  'CREATE INDEX usage_of_tenant ON usage (tenant, window_start)',
]

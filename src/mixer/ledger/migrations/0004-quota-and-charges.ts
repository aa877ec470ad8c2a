import type { Migration } from './migration.ts'

/**
 * How much of each window of a quota is allocated; the allocations by their ids, so that the same one is not made twice; and
 * the same for charges. `keep_until`: when a row may go. A quantity is `whole` and `micros`, millionths of it, below a million.
 */
export const quotaAndCharges: Migration = [
  `CREATE TABLE quota_window (
    tenant       TEXT   NOT NULL,
    quota        TEXT   NOT NULL,
    period       TEXT   NOT NULL,
    window_start BIGINT NOT NULL,
    used         BIGINT NOT NULL,
    keep_until   BIGINT NOT NULL,
    PRIMARY KEY (tenant, quota, period, window_start)
  )`,
  'CREATE INDEX quota_window_to_go ON quota_window (keep_until)',
  `CREATE TABLE quota_allocation (
    tenant     TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    quota      TEXT   NOT NULL,
    amount     BIGINT NOT NULL,
    mode       TEXT   NOT NULL,
    granted    BIGINT NOT NULL,
    remaining  BIGINT NOT NULL,
    reset_at   BIGINT NOT NULL,
    keep_until BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
  )`,
  'CREATE INDEX quota_allocation_to_go ON quota_allocation (keep_until)',
  `CREATE TABLE charge (
    tenant     TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    event      TEXT   NOT NULL,
    whole      BIGINT NOT NULL,
    micros     BIGINT NOT NULL,
    attributes TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
  )`,
  `CREATE TABLE charge_window (
    window_start BIGINT NOT NULL,
    tenant       TEXT   NOT NULL,
    event        TEXT   NOT NULL,
    charges      BIGINT NOT NULL,
    whole        BIGINT NOT NULL,
    micros       BIGINT NOT NULL,
    PRIMARY KEY (window_start, tenant, event)
  )`,
]

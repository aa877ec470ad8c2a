import type { Migration } from './migration.ts'

/**
 * What was exported, and what each sink acknowledged. An item is one amount of one tenant, metric, operation and window;
 * it is written before it is sent, with the id and the value that it then keeps. Usage that came after its window was
 * exported is an item more, with the next revision and the difference. What the columns say is in mixer/exports/item.ts.
 */
export const exports: Migration = [
  `CREATE TABLE export_lease (
    name       TEXT   NOT NULL PRIMARY KEY,
    holder     TEXT   NOT NULL,
    held_until BIGINT NOT NULL
  )`,
  `CREATE TABLE export_progress (
    export        TEXT   NOT NULL PRIMARY KEY,
    shape         TEXT   NOT NULL,
    window_ms     BIGINT NOT NULL,
    planned_until BIGINT NOT NULL,
    kept_from     BIGINT NOT NULL
  )`,
  `CREATE TABLE export_metric (
    export TEXT   NOT NULL,
    metric TEXT   NOT NULL,
    since  BIGINT NOT NULL,
    PRIMARY KEY (export, metric)
  )`,
  `CREATE TABLE export_recheck (
    export       TEXT   NOT NULL,
    window_start BIGINT NOT NULL,
    due_at       BIGINT NOT NULL,
    marked_at    BIGINT NOT NULL,
    PRIMARY KEY (export, window_start)
  )`,
  `CREATE TABLE export_item (
    export       TEXT   NOT NULL,
    id           TEXT   NOT NULL,
    tenant       TEXT   NOT NULL,
    metric       TEXT   NOT NULL,
    operation    TEXT   NOT NULL,
    window_start BIGINT NOT NULL,
    revision     BIGINT NOT NULL,
    round        BIGINT NOT NULL,
    value        BIGINT NOT NULL,
    total        BIGINT NOT NULL,
    state        TEXT   NOT NULL,
    planned_at   BIGINT NOT NULL,
    next_at      BIGINT NOT NULL,
    attempts     BIGINT NOT NULL,
    unknown_at   BIGINT,
    settled_at   BIGINT,
    reason       TEXT,
    PRIMARY KEY (export, id)
  )`,
  `CREATE UNIQUE INDEX export_item_of_window
     ON export_item (export, window_start, tenant, metric, operation, revision)`,
  'CREATE INDEX export_item_to_send ON export_item (export, state, next_at)',
  `CREATE TABLE export_total (
    export       TEXT   NOT NULL,
    tenant       TEXT   NOT NULL,
    metric       TEXT   NOT NULL,
    operation    TEXT   NOT NULL,
    acknowledged BIGINT NOT NULL,
    first_at     BIGINT NOT NULL,
    PRIMARY KEY (export, tenant, metric, operation)
  )`,
]

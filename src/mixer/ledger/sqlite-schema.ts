/** The tables of a SQLite ledger and how an older ledger becomes a current one. Released migrations are never edited. */
import type { DatabaseSync } from 'node:sqlite'

/** "AMTL": marks the file as a ledger, so that the database of another program is never written to. */
const APPLICATION_ID = 0x41_4d_54_4c

/**
 * `user_version` counts how many of these a ledger has had.
 *
 * 1: Clustered by time first, because reports come in for the current minute and queries ask for a stretch of time; the
 * index serves one tenant over a long one. STRICT makes a sum beyond 2^63 - 1, which SQLite would turn into an inexact
 * floating point number, an error instead.
 */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE producer (
    producer   TEXT    PRIMARY KEY,
    sequence   INTEGER NOT NULL,
    applied_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE usage (
    window_start  INTEGER NOT NULL,
    tenant        TEXT    NOT NULL,
    listener      TEXT    NOT NULL,
    routability   TEXT    NOT NULL,
    operation     TEXT    NOT NULL,
    code          TEXT    NOT NULL,
    calls         INTEGER NOT NULL,
    ingress       INTEGER NOT NULL,
    egress        INTEGER NOT NULL,
    connections   INTEGER NOT NULL,
    connection_ms INTEGER NOT NULL,
    call_ms       INTEGER NOT NULL,
    PRIMARY KEY (window_start, tenant, listener, routability, operation, code)
  ) STRICT, WITHOUT ROWID;

  CREATE INDEX usage_of_tenant ON usage (tenant, window_start);
  `,
]

/**
 * Brings the ledger to the current schema; safe when two processes open a new one at the same moment.
 * Returns what is wrong where the file is not a ledger that this version can use; it is then unchanged.
 */
export function migrate(database: DatabaseSync): string | undefined {
  database.exec('BEGIN IMMEDIATE')
  try {
    const refusal = refusalOf(database)
    if (refusal !== undefined) return refusal
    const done = pragma(database, 'user_version')
    for (const migration of MIGRATIONS.slice(done)) database.exec(migration)
    database.exec(
      `PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${MIGRATIONS.length}; COMMIT`,
    )
    return undefined
  } finally {
    if (database.isTransaction) database.exec('ROLLBACK')
  }
}

function refusalOf(database: DatabaseSync): string | undefined {
  const application = pragma(database, 'application_id')
  const version = pragma(database, 'user_version')
  const empty = database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined
  if (application !== APPLICATION_ID && !(empty && application === 0))
    return 'it is a database of another program'
  if (version > MIGRATIONS.length) return 'it was written by a newer version of amt'
  return undefined
}

function pragma(database: DatabaseSync, name: 'application_id' | 'user_version'): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name])
}

/** How a SQLite file becomes a ledger of this version. */
import type { DatabaseSync } from 'node:sqlite'
import { MIGRATIONS } from './migrations/list.ts'
import { forSqlite } from './migrations/migration.ts'

/** "AMTL": marks the file as a ledger, so that the database of another program is never written to. */
const APPLICATION_ID = 0x41_4d_54_4c

/**
 * Brings the ledger to the current schema; safe when two processes open a new one at the same moment. `user_version` counts
 * the migrations that a ledger has had.
 * Returns what is wrong where the file is not a ledger that this version can use; it is then unchanged.
 */
export function migrateSqlite(database: DatabaseSync): string | undefined {
  database.exec('BEGIN IMMEDIATE')
  try {
    const refusal = refusalOf(database)
    if (refusal !== undefined) return refusal
    const done = pragma(database, 'user_version')
    for (const statement of MIGRATIONS.slice(done).flat()) database.exec(forSqlite(statement))
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

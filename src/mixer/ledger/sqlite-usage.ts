/** The tables of usage in SQLite: prepared statements, in the order of their keys. */
import type { UsageRecord } from '../../contracts/usage-report.ts'
import { SqlError } from './database.ts'
import type { SqliteDatabase, SqliteSession } from './sqlite-database.ts'
import {
  addingTo,
  USAGE_COLUMN_COUNT,
  USAGE_COLUMNS,
  type UsageRow,
  type UsageTable,
  usageRow,
} from './usage-columns.ts'
import type { UsageTables } from './usage-tables.ts'

export function sqliteUsageTables(database: SqliteDatabase): UsageTables {
  return {
    database,
    // The write lock is one for all.
    shared: work =>
      database.transaction(session =>
        work({
          run: (sql, params) => session.run(sql, params),
          all: (sql, params) => session.all(sql, params),
          add: (table, records) => add(session, table, records),
        }),
      ),
    exclusive: work => database.transaction(work),
    async findOverflow(records, overflow) {
      const row = overflow instanceof SqlError ? (overflow.row ?? 0) : 0
      return inOrder(records)[row]?.index ?? 0
    },
  }
}

const PLACES = Array.from({ length: USAGE_COLUMN_COUNT }, () => '?').join(', ')

async function add(
  session: SqliteSession,
  table: UsageTable,
  records: readonly UsageRecord[],
): Promise<void> {
  const sql = `INSERT INTO ${table} (${USAGE_COLUMNS}) VALUES (${PLACES}) ${addingTo(table)}`
  await session.runEach(
    sql,
    inOrder(records).map(({ row }) => row),
  )
}

/** In the order of the table, whose pages are then visited one after the other. */
function inOrder(
  records: readonly UsageRecord[],
): { readonly row: UsageRow; readonly index: number }[] {
  return records
    .map((record, index) => ({ row: usageRow(record), index }))
    .toSorted((a, b) => a.row[0] - b.row[0] || compare(a.row[1], b.row[1]) || a.index - b.index)
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

/** The tables of usage in PostgreSQL: one statement for all records of a report, whatever their number. */
import type { UsageRecord } from '../../contracts/usage-report.ts'
import { SqlError, type SqlSession } from './database.ts'
import type { PostgresDatabase } from './postgres-database.ts'
import {
  addingTo,
  COUNTER_COLUMNS,
  KEY_COLUMNS,
  USAGE_COLUMN_COUNT,
  USAGE_COLUMNS,
  type UsageRow,
  type UsageTable,
  usageRow,
} from './usage-columns.ts'
import type { UsageTables } from './usage-tables.ts'

/**
 * "AMTL", and which of its locks: reports share it, the roll-up has it alone. Not a lock on the row of the mark, because
 * those who wait for that have no order: a roll-up might never get its turn.
 */
const ROLL_UP_LOCK = '1095586892, 1'

export function postgresUsageTables(database: PostgresDatabase): UsageTables {
  return {
    database,
    shared: work =>
      database.locking(async session => {
        await session.all(`SELECT pg_advisory_xact_lock_shared(${ROLL_UP_LOCK})`)
        return work({
          run: (sql, params) => session.run(sql, params),
          all: (sql, params) => session.all(sql, params),
          add: (table, records) => add(session, table, records),
        })
      }),
    exclusive: work =>
      database.locking(async session => {
        await session.all(`SELECT pg_advisory_xact_lock(${ROLL_UP_LOCK})`)
        return work(session)
      }),
    findOverflow: (records, overflow) => findOverflow(database, records, overflow),
  }
}

/**
 * Rows are written in the order of their key, so that two reports never wait for each other in a circle; those of one key
 * are summed first, because a statement may write a row only once.
 */
function statementOf(table: UsageTable): string {
  const sums = Object.values(COUNTER_COLUMNS).map(column => `CAST(sum(${column}) AS BIGINT)`)
  return `
    INSERT INTO ${table} (${USAGE_COLUMNS})
    SELECT ${KEY_COLUMNS}, ${sums.join(', ')}
    FROM unnest($1::BIGINT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[],
      $7::BIGINT[], $8::BIGINT[], $9::BIGINT[], $10::BIGINT[], $11::BIGINT[], $12::BIGINT[],
      $13::BIGINT[], $14::BIGINT[])
      AS record (${USAGE_COLUMNS})
    GROUP BY ${KEY_COLUMNS}
    ORDER BY ${KEY_COLUMNS}
    ${addingTo(table)}`
}

const STATEMENTS: Readonly<Record<UsageTable, string>> = {
  usage: statementOf('usage'),
  usage_hour: statementOf('usage_hour'),
  usage_day: statementOf('usage_day'),
}

async function add(
  session: SqlSession,
  table: UsageTable,
  records: readonly UsageRecord[],
): Promise<void> {
  await session.run(STATEMENTS[table], arraysOf(records.map(usageRow)))
}

/** The columns as PostgreSQL writes arrays, which is a fraction of the work of what the driver makes of a list. */
function arraysOf(rows: readonly UsageRow[]): string[] {
  const columns: string[] = []
  for (let column = 0; column < USAGE_COLUMN_COUNT; column += 1)
    columns.push(`{${rows.map(row => elementOf(row[column] ?? 0)).join(',')}}`)
  return columns
}

/** Quoted, so that no text can be taken for NULL or for the end of an element. */
function elementOf(value: string | number): string | number {
  return typeof value === 'number' ? value : `"${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`
}

/** Found by adding one after the other, which is undone; where none is too much by the minute, the first is blamed. */
async function findOverflow(
  database: PostgresDatabase,
  records: readonly UsageRecord[],
  overflow: Error,
): Promise<number> {
  let tried = 0
  try {
    await database.locking(async session => {
      for (tried = 0; tried < records.length; tried += 1)
        await add(session, 'usage', records.slice(tried, tried + 1))
      throw overflow
    })
  } catch (cause) {
    if (!(cause instanceof SqlError) || cause.reason !== 'overflow') throw cause
  }
  return tried === records.length ? 0 : tried
}

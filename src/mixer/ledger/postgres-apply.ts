/** How a report gets into PostgreSQL: a statement for all of its records, whatever their number. */
import type { UsageRecord, UsageReport } from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import { SqlError, type SqlSession } from './database.ts'
import type { ApplyResult } from './ledger.ts'
import type { PostgresDatabase } from './postgres-database.ts'
import { addingTo, COUNTER_COLUMNS, KEY_COLUMNS } from './usage-columns.ts'

/** Rejects with a SqlError where the database cannot be used; then nothing has changed, or the answer was lost. */
export function createPostgresApply(
  database: PostgresDatabase,
  clock: Clock,
): (report: UsageReport) => Promise<ApplyResult> {
  return async report => {
    try {
      return await database.locking(session => apply(session, report, Math.floor(clock.now())))
    } catch (cause) {
      if (!(cause instanceof SqlError) || cause.reason !== 'overflow') throw cause
      return findOverflow(database, report.records, cause)
    }
  }
}

async function apply(session: SqlSession, report: UsageReport, now: number): Promise<ApplyResult> {
  const { producer, sequence, first = sequence, records } = report
  // The row of the producer is locked from here on: no other mixer gets past it before this transaction is over.
  if ((await advance(session, report, now)) === 0) {
    const durable = await highWater(session, producer)
    return first <= durable ? { kind: 'repeated', durable } : { kind: 'gap', expected: durable + 1 }
  }
  if (records.length > 0) await session.run(ADD_ALL, columnsOf(records))
  return { kind: 'applied', durable: sequence }
}

/** The number of rows, 1 or 0: it advances only where this is the report that comes next. */
async function advance(
  session: SqlSession,
  { producer, sequence, first = sequence }: UsageReport,
  now: number,
): Promise<number> {
  return first === 1
    ? session.run(
        `INSERT INTO producer VALUES ($1, $2, $3)
         ON CONFLICT (producer) DO UPDATE SET sequence = excluded.sequence, applied_at = excluded.applied_at
         WHERE producer.sequence = 0`,
        [producer, sequence, now],
      )
    : session.run(
        'UPDATE producer SET sequence = $2, applied_at = $3 WHERE producer = $1 AND sequence = $4',
        [producer, sequence, now, first - 1],
      )
}

async function highWater(session: SqlSession, producer: string): Promise<number> {
  const rows = await session.all('SELECT sequence FROM producer WHERE producer = $1', [producer])
  return Number(rows[0]?.['sequence'] ?? 0)
}

const COUNTERS = Object.values(COUNTER_COLUMNS)

/**
 * Rows are written in the order of their key, so that two reports never wait for each other; those of one key are summed
 * first, because a statement may write a row only once.
 */
const ADD_ALL = `
  INSERT INTO usage (${KEY_COLUMNS}, ${COUNTERS.join(', ')})
  SELECT ${KEY_COLUMNS}, ${COUNTERS.map(column => `CAST(sum(${column}) AS BIGINT)`).join(', ')}
  FROM json_to_recordset($1) AS record (
    window_start BIGINT, tenant TEXT, listener TEXT, routability TEXT, operation TEXT, code TEXT,
    ${COUNTERS.map(column => `${column} BIGINT`).join(', ')}
  )
  GROUP BY ${KEY_COLUMNS} ORDER BY ${KEY_COLUMNS}
  ${addingTo('usage')}`

function columnsOf(records: readonly UsageRecord[]): [string] {
  return [
    JSON.stringify(
      records.map(({ window, connectionMs, callMs, ...same }) => ({
        ...same,
        window_start: window,
        connection_ms: connectionMs,
        call_ms: callMs,
      })),
    ),
  ]
}

/** Which record was too much, found one by one and undone. */
async function findOverflow(
  database: PostgresDatabase,
  records: readonly UsageRecord[],
  overflow: SqlError,
): Promise<ApplyResult> {
  let tried = 0
  try {
    await database.locking(async session => {
      for (tried = 0; tried < records.length; tried += 1)
        await session.run(ADD_ALL, columnsOf(records.slice(tried, tried + 1)))
      // Another mixer has made room meanwhile, which only deleting could: the report is to come again.
      throw overflow
    })
  } catch (cause) {
    if (tried === records.length || !(cause instanceof SqlError) || cause.reason !== 'overflow')
      throw new SqlError('unavailable', 'the sums have changed meanwhile', { cause })
  }
  return { kind: 'overflow', record: tried }
}

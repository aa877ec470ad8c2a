/**
 * What becomes of old minutes, hours and days: a mark says first from when on they are kept, from when on no answer is made
 * of older ones; then these are deleted in small pieces. What is not rolled up yet is never deleted.
 */
import { USAGE_GRAINS } from '../../contracts/usage-query.ts'
import type { SqlSession } from './database.ts'
import { type MarkName, type Marks, moveMark, readMarks } from './marks.ts'
import { addingHalves, HALVES, halvesOf, SUMS, sumsOf, type UsageTable } from './usage-columns.ts'
import type { UsageTables } from './usage-tables.ts'

/** How long usage is kept, in milliseconds; 0 for ever. */
export interface Retention {
  readonly minutes: number
  readonly hours: number
  readonly days: number
}

/** Rows that are deleted at once. */
export const ROWS_A_PIECE = 5_000

interface Kept {
  readonly table: UsageTable
  readonly mark: MarkName
  readonly unit: keyof Retention
  readonly from: (marks: Marks) => number
  /** What it is cut at: the next larger unit, of which none is then in pieces. */
  readonly cut: number
}

const KEPT: readonly Kept[] = [
  {
    table: 'usage',
    mark: 'minutes-from',
    unit: 'minutes',
    from: marks => marks.minutesFrom,
    cut: USAGE_GRAINS.hour,
  },
  {
    table: 'usage_hour',
    mark: 'hours-from',
    unit: 'hours',
    from: marks => marks.hoursFrom,
    cut: USAGE_GRAINS.day,
  },
  {
    table: 'usage_day',
    mark: 'days-from',
    unit: 'days',
    from: marks => marks.daysFrom,
    cut: USAGE_GRAINS.day,
  },
]

/** Deletes one piece of what is past `retention` at the time `now`; the number of rows, 0 where there is nothing left. */
export async function expireStep(
  tables: UsageTables,
  retention: Retention,
  now: number,
  rows: number = ROWS_A_PIECE,
): Promise<number> {
  for (const kept of KEPT) {
    const length = retention[kept.unit]
    if (length === 0) continue
    const deleted = await tables.exclusive(session => expire(session, kept, now - length, rows))
    if (deleted > 0) return deleted
  }
  return 0
}

async function expire(
  session: SqlSession,
  { table, mark, from, cut }: Kept,
  oldest: number,
  rows: number,
): Promise<number> {
  const marks = await readMarks(session)
  const keptFrom = Math.floor(Math.min(oldest, marks.rolledUp.at) / cut) * cut
  const before = Math.max(keptFrom, from(marks))
  const last = await lastOfPiece(session, table, before, rows)
  if (last === undefined) return 0
  if (before > from(marks)) await moveMark(session, mark, { at: before, tenant: '' })
  if (table === 'usage_day') await keepSums(session, last)
  return session.run(`DELETE FROM ${table} WHERE (window_start, tenant) <= ($1, $2)`, last)
}

/** The window and the tenant up to which a piece of about `rows` goes; undefined where there is nothing. */
async function lastOfPiece(
  session: SqlSession,
  table: UsageTable,
  before: number,
  rows: number,
): Promise<[bigint, string] | undefined> {
  const [row] = await session.all(
    `SELECT window_start, tenant FROM (
       SELECT window_start, tenant FROM ${table} WHERE window_start < $1
       ORDER BY window_start, tenant LIMIT $2
     ) AS piece ORDER BY window_start DESC, tenant DESC LIMIT 1`,
    [before, rows],
  )
  return row === undefined ? undefined : [row['window_start'] as bigint, String(row['tenant'])]
}

/** The books go on to count what is deleted. */
async function keepSums(session: SqlSession, last: readonly [bigint, string]): Promise<void> {
  const [row] = await session.all(
    `SELECT ${SUMS} FROM usage_day WHERE (window_start, tenant) <= ($1, $2)`,
    last,
  )
  const places = HALVES.map((_, index) => `CAST($${index + 1} AS BIGINT)`)
  await session.run(
    `UPDATE ledger_sums SET ${addingHalves('ledger_sums', half => places[HALVES.indexOf(half)] ?? '')}
     WHERE name = 'expired'`,
    halvesOf(sumsOf(row)),
  )
}

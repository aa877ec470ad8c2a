/** How a report gets into the ledger: its records and its producer's high-water mark, in one transaction. */
import { USAGE_GRAINS } from '../../contracts/usage-query.ts'
import {
  noExactUsage,
  USAGE_COUNTERS,
  type UsageRecord,
  type UsageReport,
} from '../../contracts/usage-report.ts'
import { SqlError, type SqlSession } from './database.ts'
import type { ApplyResult } from './ledger.ts'
import { isLate, readMarks } from './marks.ts'
import { addingHalves, type ExactSums, HALVES, halvesOf } from './usage-columns.ts'
import type { UsageSession, UsageTables } from './usage-tables.ts'

/** Rejects with a SqlError where the database cannot be used; then nothing has changed, or the answer was lost. */
export async function applyReport(
  tables: UsageTables,
  report: UsageReport,
  now: number,
): Promise<ApplyResult> {
  try {
    return await tables.shared(session => apply(session, report, now))
  } catch (cause) {
    if (!(cause instanceof SqlError) || cause.reason !== 'overflow') throw cause
    return { kind: 'overflow', record: await tables.findOverflow(report.records, cause) }
  }
}

async function apply(
  session: UsageSession,
  report: UsageReport,
  now: number,
): Promise<ApplyResult> {
  const { producer, sequence, first = sequence, records } = report
  // The producer's row is locked from here on: no other mixer gets past it before this transaction is over.
  if ((await advance(session, report, now)) === 0) {
    const durable = await highWater(session, producer)
    if (durable === undefined) return { kind: 'unknown' }
    return first <= durable ? { kind: 'repeated', durable } : { kind: 'gap', expected: durable + 1 }
  }
  if (records.length > 0) await addAll(session, records)
  return { kind: 'applied', durable: sequence }
}

/** The number of rows, 1 or 0: it advances only where this is the report that comes next. */
async function advance(
  session: SqlSession,
  { producer, sequence, first = sequence, records }: UsageReport,
  now: number,
): Promise<number> {
  const params = [producer, sequence, now, first - 1, ...halvesOf(sumsOf(records))]
  return session.run(ADVANCE, params)
}

const FROM_PARAMS = HALVES.map((_, index) => `CAST($${index + 5} AS BIGINT)`)
const ADVANCE = `
  UPDATE producer SET sequence = $2, applied_at = $3,
    ${addingHalves('producer', half => FROM_PARAMS[HALVES.indexOf(half)] ?? '')}
  WHERE producer = $1 AND sequence = $4`

/** Undefined for one that nobody has announced. */
async function highWater(session: SqlSession, producer: string): Promise<number | undefined> {
  const rows = await session.all('SELECT sequence FROM producer WHERE producer = $1', [producer])
  const sequence = rows[0]?.['sequence']
  return sequence === undefined ? undefined : Number(sequence)
}

/** Late usage goes into the hours and days as well, because the roll-up will not come by again. */
async function addAll(session: UsageSession, records: readonly UsageRecord[]): Promise<void> {
  const { rolledUp } = await readMarks(session)
  await session.add('usage', records)
  const late = records.filter(record => isLate(record, rolledUp))
  if (late.length === 0) return
  try {
    await session.add('usage_hour', late.map(startingWith(USAGE_GRAINS.hour)))
    await session.add('usage_day', late.map(startingWith(USAGE_GRAINS.day)))
  } catch (cause) {
    // Which of the late ones says nothing about which of all.
    if (!(cause instanceof SqlError)) throw cause
    throw new SqlError(cause.reason, cause.message, { cause })
  }
}

function startingWith(grain: number): (record: UsageRecord) => UsageRecord {
  return record => ({ ...record, window: record.window - (record.window % grain) })
}

/** Exact: numbers up to 2^53, added as such for as long as that cannot round. */
function sumsOf(records: readonly UsageRecord[]): ExactSums {
  const sums = noExactUsage()
  for (const counter of USAGE_COUNTERS) {
    let small = 0
    for (const record of records) {
      if (small + record[counter] > Number.MAX_SAFE_INTEGER) {
        sums[counter] += BigInt(small)
        small = 0
      }
      small += record[counter]
    }
    sums[counter] += BigInt(small)
  }
  return sums
}

/** How a usage query becomes SQL, and its rows become groups. Values are bound, never written into the text. */
import { USAGE_GRAINS, type UsageDimension } from '../../contracts/usage-query.ts'
import {
  USAGE_COUNTERS,
  type UsageCounter,
  type UsageRecord,
} from '../../contracts/usage-report.ts'
import type { SqlRow, SqlValue } from './database.ts'
import type { LedgerGroup, LedgerQuery } from './ledger.ts'
import { COUNTER_COLUMNS } from './usage-columns.ts'

/**
 * A sum is taken in two halves of 32 bits, since one of BIGINT would fail beyond 2^63 - 1; each half is exact for more
 * rows than a ledger can hold.
 */
const SUMS = USAGE_COUNTERS.flatMap(counter => {
  const column = COUNTER_COLUMNS[counter]
  return [
    `CAST(sum(${column} >> 32) AS BIGINT) AS ${column}_high`,
    `CAST(sum(${column} & 4294967295) AS BIGINT) AS ${column}_low`,
  ]
}).join(', ')

export interface UsageStatement {
  readonly sql: string
  readonly params: readonly SqlValue[]
}

/** Answers one row more than the limit, where there is one. */
export function usageStatement(query: LedgerQuery): UsageStatement {
  const grain = query.grain === undefined ? undefined : USAGE_GRAINS[query.grain]
  const start = grain === undefined ? [] : [`window_start / ${grain} * ${grain} AS start`]
  const keys = [...(grain === undefined ? [] : ['start']), ...query.dimensions]
  const { tenant, from, to, limit } = query
  const sql = [
    `SELECT ${[...start, ...query.dimensions, SUMS].join(', ')} FROM usage`,
    'WHERE window_start >= $1 AND window_start < $2',
    tenant === undefined ? '' : 'AND tenant = $4',
    // Without a key the aggregate of no rows would be one row of NULLs.
    keys.length === 0
      ? 'HAVING count(*) > 0'
      : `GROUP BY ${keys.join(', ')} ORDER BY ${keys.join(', ')}`,
    'LIMIT $3',
  ].join(' ')
  return { sql, params: [from, to, limit + 1, ...(tenant === undefined ? [] : [tenant])] }
}

/** Reads rows of `usageStatement(query)`. */
export function groupReader(query: LedgerQuery): (row: SqlRow) => LedgerGroup {
  return row => ({
    ...(query.grain === undefined ? {} : { window: Number(row['start']) }),
    dimensions: dimensionsOf(row, query.dimensions),
    sums: {
      calls: sumOf(row, 'calls'),
      ingress: sumOf(row, 'ingress'),
      egress: sumOf(row, 'egress'),
      connections: sumOf(row, 'connections'),
      connectionMs: sumOf(row, 'connectionMs'),
      callMs: sumOf(row, 'callMs'),
    },
  })
}

function dimensionsOf(
  row: SqlRow,
  dimensions: readonly UsageDimension[],
): LedgerGroup['dimensions'] {
  const values = dimensions.map(dimension => [dimension, row[dimension]])
  return Object.fromEntries(values) as Partial<Pick<UsageRecord, UsageDimension>>
}

function sumOf(row: SqlRow, counter: UsageCounter): bigint {
  const high = row[`${COUNTER_COLUMNS[counter]}_high`]
  const low = row[`${COUNTER_COLUMNS[counter]}_low`]
  return typeof high === 'bigint' && typeof low === 'bigint' ? (high << 32n) + low : 0n
}

/** How a usage query becomes SQL for SQLite, and its rows become groups. Values are bound, never written into the text. */
import type { SQLOutputValue } from 'node:sqlite'
import { USAGE_GRAINS, type UsageDimension } from '../../contracts/usage-query.ts'
import {
  USAGE_COUNTERS,
  type UsageCounter,
  type UsageRecord,
} from '../../contracts/usage-report.ts'
import type { LedgerGroup, LedgerQuery } from './ledger.ts'

const COLUMNS = {
  calls: 'calls',
  ingress: 'ingress',
  egress: 'egress',
  connections: 'connections',
  connectionMs: 'connection_ms',
  callMs: 'call_ms',
} as const satisfies Record<UsageCounter, string>

/**
 * A sum is taken in two halves of 32 bits, since SQLite's own would fail beyond 2^63 - 1; each half is exact for more
 * rows than a file can hold.
 */
const SUMS = USAGE_COUNTERS.flatMap(counter => {
  const column = COLUMNS[counter]
  return [
    `sum(${column} >> 32) AS ${counter}_high`,
    `sum(${column} & 4294967295) AS ${counter}_low`,
  ]
}).join(', ')

/** Binds `:from`, `:to`, `:limit`, and `:tenant` where the query has one. */
export function usageSql(query: LedgerQuery): string {
  const grain = query.grain === undefined ? undefined : USAGE_GRAINS[query.grain]
  const start = grain === undefined ? [] : [`window_start / ${grain} * ${grain} AS start`]
  const keys = [...(grain === undefined ? [] : ['start']), ...query.dimensions]
  return [
    `SELECT ${[...start, ...query.dimensions, SUMS].join(', ')} FROM usage`,
    'WHERE window_start >= :from AND window_start < :to',
    query.tenant === undefined ? '' : 'AND tenant = :tenant',
    // Without a key the aggregate of no rows would be one row of NULLs.
    keys.length === 0
      ? 'HAVING count(*) > 0'
      : `GROUP BY ${keys.join(', ')} ORDER BY ${keys.join(', ')}`,
    'LIMIT :limit',
  ].join(' ')
}

type Row = Record<string, SQLOutputValue>

/** Reads rows of `usageSql(query)`, with integers as BigInt. */
export function groupReader(query: LedgerQuery): (row: Row) => LedgerGroup {
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

function dimensionsOf(row: Row, dimensions: readonly UsageDimension[]): LedgerGroup['dimensions'] {
  const values = dimensions.map(dimension => [dimension, row[dimension]])
  return Object.fromEntries(values) as Partial<Pick<UsageRecord, UsageDimension>>
}

function sumOf(row: Row, counter: UsageCounter): bigint {
  const high = row[`${counter}_high`]
  const low = row[`${counter}_low`]
  return typeof high === 'bigint' && typeof low === 'bigint' ? (high << 32n) + low : 0n
}

/** The columns of the tables of usage, and sums over them. */
import {
  noExactUsage,
  USAGE_COUNTERS,
  type UsageCounter,
  type UsageRecord,
} from '../../contracts/usage-report.ts'
import type { SqlRow } from './database.ts'

/** By the minute, by the hour, by the day; their columns are the same. */
export type UsageTable = 'usage' | 'usage_hour' | 'usage_day'

export const COUNTER_COLUMNS = {
  calls: 'calls',
  ingress: 'ingress',
  egress: 'egress',
  connections: 'connections',
  connectionMs: 'connection_ms',
  callMs: 'call_ms',
  requestMessages: 'request_messages',
  responseMessages: 'response_messages',
} as const satisfies Record<UsageCounter, string>
const COUNTERS = Object.values(COUNTER_COLUMNS)

/** What a row of usage belongs to; the primary key of the three tables, in this order. */
export const KEY_COLUMNS = 'window_start, tenant, listener, routability, operation, code' as const
export const USAGE_COLUMNS: string = `${KEY_COLUMNS}, ${COUNTERS.join(', ')}`

/** A record's values in the order of USAGE_COLUMNS. */
export function usageRow(record: UsageRecord): UsageRow {
  const { window, tenant, listener, routability, operation, code } = record
  const { calls, ingress, egress, connections, connectionMs, callMs } = record
  const { requestMessages, responseMessages } = record
  // biome-ignore format: the order of the columns
  return [window, tenant, listener, routability, operation, code, calls, ingress, egress, connections, connectionMs, callMs, requestMessages, responseMessages]
}
// biome-ignore format: the order of the columns
export type UsageRow = [number, string, string, string, string, string, number, number, number, number, number, number, number, number]
/** Of a row. */
export const USAGE_COLUMN_COUNT: number = USAGE_COLUMNS.split(',').length

/** What an upsert does with a row that is there: both databases refuse a sum beyond 2^63 - 1. */
export function addingTo(table: UsageTable): string {
  const sums = COUNTERS.map(column => `${column} = ${table}.${column} + excluded.${column}`)
  return `ON CONFLICT (${KEY_COLUMNS}) DO UPDATE SET ${sums.join(', ')}`
}

/**
 * Sums in two halves of 32 bits, since one of BIGINT would fail beyond 2^63 - 1; each half is exact for more rows than a
 * ledger can hold. As `<column>_high` and `<column>_low`.
 */
export const SUMS: string = COUNTERS.flatMap(column => [
  `CAST(sum(${column} >> 32) AS BIGINT) AS ${column}_high`,
  `CAST(sum(${column} & 4294967295) AS BIGINT) AS ${column}_low`,
]).join(', ')

/** The columns in which such halves are kept. */
export const HALVES: readonly string[] = COUNTERS.flatMap(column => [
  `${column}_high`,
  `${column}_low`,
])

/** Sums of such columns. */
export const SUMS_OF_HALVES: string = HALVES.map(
  half => `CAST(sum(${half}) AS BIGINT) AS ${half}`,
).join(', ')

/** For `DO UPDATE SET` or `SET`: adds halves, of which `valueOf` gives the SQL, to those of `table`. */
export function addingHalves(table: string, valueOf: (half: string) => string): string {
  return COUNTERS.flatMap(column => {
    const low = `(${table}.${column}_low + ${valueOf(`${column}_low`)})`
    return [
      `${column}_high = ${table}.${column}_high + ${valueOf(`${column}_high`)} + (${low} >> 32)`,
      `${column}_low = ${low} & 4294967295`,
    ]
  }).join(', ')
}

export type ExactSums = Readonly<Record<UsageCounter, bigint>>

/** Reads halves; those of no rows are null and sum up to 0. */
export function sumsOf(row: SqlRow | undefined): ExactSums {
  const sum = (counter: UsageCounter): bigint => {
    const high = row?.[`${COUNTER_COLUMNS[counter]}_high`]
    const low = row?.[`${COUNTER_COLUMNS[counter]}_low`]
    return typeof high === 'bigint' && typeof low === 'bigint' ? (high << 32n) + low : 0n
  }
  return {
    calls: sum('calls'),
    ingress: sum('ingress'),
    egress: sum('egress'),
    connections: sum('connections'),
    connectionMs: sum('connectionMs'),
    callMs: sum('callMs'),
    requestMessages: sum('requestMessages'),
    responseMessages: sum('responseMessages'),
  }
}

/** The halves of sums, in the order of HALVES. */
export function halvesOf(sums: ExactSums): bigint[] {
  return USAGE_COUNTERS.flatMap(counter => [sums[counter] >> 32n, sums[counter] & 0xff_ff_ff_ffn])
}

export function addSums(all: Iterable<ExactSums>): ExactSums {
  const total = noExactUsage()
  for (const sums of all) for (const counter of USAGE_COUNTERS) total[counter] += sums[counter]
  return total
}

import type { UsageCounter } from '../../contracts/usage-report.ts'

/** The columns of the counters, in the three tables of usage. */
export const COUNTER_COLUMNS = {
  calls: 'calls',
  ingress: 'ingress',
  egress: 'egress',
  connections: 'connections',
  connectionMs: 'connection_ms',
  callMs: 'call_ms',
} as const satisfies Record<UsageCounter, string>

/** What a row of usage belongs to; the primary key of the three tables, in this order. */
export const KEY_COLUMNS = 'window_start, tenant, listener, routability, operation, code' as const

/** What an upsert does with a row that is there: both databases refuse a sum beyond 2^63 - 1. */
export function addingTo(table: string): string {
  const sums = Object.values(COUNTER_COLUMNS).map(
    column => `${column} = ${table}.${column} + excluded.${column}`,
  )
  return `ON CONFLICT (${KEY_COLUMNS}) DO UPDATE SET ${sums.join(', ')}`
}

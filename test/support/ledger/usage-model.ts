/** What the ledger must answer, computed from the records themselves, one by one. */
import { USAGE_GRAINS } from '../../../src/contracts/usage-query.ts'
import {
  noExactUsage,
  USAGE_COUNTERS,
  type UsageRecord,
} from '../../../src/contracts/usage-report.ts'
import type { LedgerGroup, LedgerQuery } from '../../../src/mixer/ledger/ledger.ts'

type Sums = Record<keyof LedgerGroup['sums'], bigint>

export function expectedGroups(
  records: readonly UsageRecord[],
  query: Omit<LedgerQuery, 'limit'>,
): LedgerGroup[] {
  const { tenant, from, to, grain, dimensions } = query
  const groups = new Map<string, { key: (number | string)[]; group: LedgerGroup; sums: Sums }>()
  for (const record of records) {
    if (record.window < from || record.window >= to) continue
    if (tenant !== undefined && record.tenant !== tenant) continue
    const length = grain === undefined ? undefined : USAGE_GRAINS[grain]
    const window = length === undefined ? {} : { window: record.window - (record.window % length) }
    const values = Object.fromEntries(dimensions.map(name => [name, record[name]]))
    const key = [...Object.values(window), ...Object.values(values)]
    const name = JSON.stringify(key)
    const sums = groups.get(name)?.sums ?? noExactUsage()
    for (const counter of USAGE_COUNTERS) sums[counter] += BigInt(record[counter])
    groups.set(name, { key, sums, group: { ...window, dimensions: values, sums } })
  }
  return [...groups.values()].toSorted((a, b) => compare(a.key, b.key)).map(({ group }) => group)
}

export function sumOf(records: readonly UsageRecord[]): Sums {
  const sums: Sums = noExactUsage()
  for (const record of records)
    for (const counter of USAGE_COUNTERS) sums[counter] += BigInt(record[counter])
  return sums
}

function compare(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (const [index, value] of a.entries()) {
    const other = b[index]
    if (other === undefined || value === other) continue
    return value < other ? -1 : 1
  }
  return 0
}

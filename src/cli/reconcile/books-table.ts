/** The books as tables, for people. */
import type { UsageAccountBooks } from '../../contracts/reconcile.ts'
import type { UsageSums } from '../../contracts/usage-query.ts'
import type { UsageCounter } from '../../contracts/usage-report.ts'
import { align, exact, printable, shownCounters, TITLES } from '../usage/table.ts'
import type { Sample } from './balance.ts'

const PARTS: readonly (readonly [keyof UsageAccountBooks, string])[] = [
  ['counted', 'counted'],
  ['journaled', 'journaled'],
  ['acknowledged', 'acknowledged'],
  ['setAside', 'set aside'],
  ['pending', 'pending'],
]

/** Totals by counter, then the calls of each tenant, each line ended. */
export function booksTable({ proxy, mixer }: Sample): string {
  const counters = shownCounters([...Object.values(proxy.totals), mixer.ledger])
  const totals = [
    ['this proxy since its start', ...counters.map(counter => TITLES[counter])],
    ...PARTS.map(([part, title]) => rowOf(title, proxy.totals[part], counters)),
    rowOf('whole ledger', mixer.ledger, counters),
  ]
  const tenants = [
    ['calls by tenant', ...PARTS.map(([, title]) => title)],
    ...proxy.tenants.map(account => [
      printable(account.tenant),
      ...PARTS.map(([part]) => exact(account[part].calls)),
    ]),
  ]
  const pending = `${exact(proxy.bytesPending)} bytes in ${exact(proxy.journals.filter(({ state }) => state !== 'done').length)} journals wait for the ledger, for ${proxy.lagSeconds.toFixed(1)} s`
  return `${align(totals, 1)}\n${align(tenants, 1)}\n${pending}\n`
}

function rowOf(name: string, sums: UsageSums, counters: readonly UsageCounter[]): string[] {
  return [name, ...counters.map(counter => exact(sums[counter]))]
}

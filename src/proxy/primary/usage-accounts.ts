/** What became of each tenant's usage since this proxy was started: counted, in the ledger, refused for good, lost. */
import { USAGE_COUNTERS, type UsageRecord, type UsageTotals } from '../../contracts/usage-report.ts'

export type UsageFate = 'counted' | 'acknowledged' | 'refused' | 'lost'

export interface UsageAccount extends Readonly<Record<UsageFate, Readonly<UsageTotals>>> {
  /** On the way: counted, and nothing of the others. */
  readonly pending: Readonly<UsageTotals>
}

/** Bounded by the number of tenants that were ever used. */
export class UsageAccounts {
  readonly #byTenant = new Map<string, Partial<Record<UsageFate, UsageTotals>>>()

  add(fate: UsageFate, records: readonly UsageRecord[]): void {
    for (const record of records) {
      let account = this.#byTenant.get(record.tenant)
      if (account === undefined) {
        account = {}
        this.#byTenant.set(record.tenant, account)
      }
      const totals = (account[fate] ??= noUsage())
      for (const counter of USAGE_COUNTERS) totals[counter] += record[counter]
    }
  }

  /** Sorted. */
  tenants(): string[] {
    return [...this.#byTenant.keys()].toSorted()
  }

  /** All zero for a tenant without usage. */
  of(tenant: string): UsageAccount {
    const account = this.#byTenant.get(tenant) ?? {}
    const {
      counted = noUsage(),
      acknowledged = noUsage(),
      refused = noUsage(),
      lost = noUsage(),
    } = account
    const pending = noUsage()
    for (const counter of USAGE_COUNTERS) {
      pending[counter] = counted[counter] - acknowledged[counter] - refused[counter] - lost[counter]
    }
    return { counted, acknowledged, refused, lost, pending }
  }
}

function noUsage(): UsageTotals {
  return { calls: 0, ingress: 0, egress: 0, connections: 0, connectionMs: 0, callMs: 0 }
}

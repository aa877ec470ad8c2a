/** The books of a proxy, per tenant: what its workers have counted, what stands in journals, what the ledger has. */
import { noUsage, type UsageRecord, type UsageTotals } from '../../contracts/usage-report.ts'

/** What became of usage in a journal. */
export type UsageFate = 'journaled' | 'acknowledged' | 'setAside'

export interface UsageAccount extends Readonly<Record<UsageFate, Readonly<UsageTotals>>> {
  /** What workers say; of those that are gone, what their journals say. */
  readonly counted: Readonly<UsageTotals>
  /** Journaled, and nothing of the others. */
  readonly pending: Readonly<UsageTotals>
}

/** Sums by tenant. */
export class TenantTotals {
  readonly #byTenant = new Map<string, UsageTotals>()

  add(records: readonly UsageRecord[]): void {
    for (const record of records) addTo(this.#totalsOf(record.tenant), record, 1)
  }

  of(tenant: string): Readonly<UsageTotals> {
    return this.#byTenant.get(tenant) ?? NOTHING
  }

  tenants(): IterableIterator<string> {
    return this.#byTenant.keys()
  }

  #totalsOf(tenant: string): UsageTotals {
    let totals = this.#byTenant.get(tenant)
    if (totals === undefined) {
      totals = noUsage()
      this.#byTenant.set(tenant, totals)
    }
    return totals
  }
}

interface LiveWorker {
  readonly counted: TenantTotals
  /** Of its journal, as far as it was read. */
  readonly journaled: TenantTotals
}

/** Bounded by the number of tenants that were ever used, times the workers that live. */
export class UsageAccounts {
  /** Of all workers that there ever were. */
  readonly counted = new TenantTotals()
  readonly #fates: Readonly<Record<UsageFate, TenantTotals>> = {
    journaled: new TenantTotals(),
    acknowledged: new TenantTotals(),
    setAside: new TenantTotals(),
  }
  readonly #live = new Map<string, LiveWorker>()

  /** What the worker with the journal `producer` has counted since it last said so. */
  count(producer: string, records: readonly UsageRecord[]): void {
    this.counted.add(records)
    this.#workerOf(producer).counted.add(records)
  }

  /** The worker is gone: from now on its journal has the last word. */
  forget(producer: string): void {
    this.#live.delete(producer)
  }

  add(fate: UsageFate, producer: string, records: readonly UsageRecord[]): void {
    this.#fates[fate].add(records)
    if (fate === 'journaled') this.#live.get(producer)?.journaled.add(records)
  }

  /** A worker has begun the journal `producer`; said before anything is added of it. */
  begin(producer: string): void {
    this.#workerOf(producer)
  }

  /** Sorted. */
  tenants(unread: readonly UnreadUsage[] = []): string[] {
    const all = [
      this.counted,
      this.#fates.journaled,
      ...unread.map(({ totals }) => totals),
    ].flatMap(totals => [...totals.tenants()])
    return [...new Set(all)].toSorted()
  }

  /** All zero for a tenant without usage. `unread`: what stands in journals behind what was added. */
  of(tenant: string, unread: readonly UnreadUsage[] = []): UsageAccount {
    const acknowledged = this.#fates.acknowledged.of(tenant)
    const setAside = this.#fates.setAside.of(tenant)
    const journaled = { ...this.#fates.journaled.of(tenant) }
    for (const { totals } of unread) addTo(journaled, totals.of(tenant), 1)
    const pending = { ...journaled }
    addTo(pending, acknowledged, -1)
    addTo(pending, setAside, -1)
    return {
      counted: this.#countedOf(tenant, journaled, unread),
      journaled,
      acknowledged,
      setAside,
      pending,
    }
  }

  #countedOf(
    tenant: string,
    journaled: Readonly<UsageTotals>,
    unread: readonly UnreadUsage[],
  ): UsageTotals {
    const counted = { ...journaled }
    for (const worker of this.#live.values()) {
      addTo(counted, worker.counted.of(tenant), 1)
      addTo(counted, worker.journaled.of(tenant), -1)
    }
    for (const { producer, totals } of unread)
      if (this.#live.has(producer)) addTo(counted, totals.of(tenant), -1)
    return counted
  }

  #workerOf(producer: string): LiveWorker {
    let worker = this.#live.get(producer)
    if (worker === undefined) {
      worker = { counted: new TenantTotals(), journaled: new TenantTotals() }
      this.#live.set(producer, worker)
    }
    return worker
  }
}

/** What a journal holds behind the place up to which it was shipped. */
export interface UnreadUsage {
  readonly producer: string
  readonly totals: TenantTotals
}

const NOTHING: Readonly<UsageTotals> = noUsage()

export function addTo(totals: UsageTotals, more: Readonly<UsageTotals>, sign: 1 | -1): void {
  // Written out: it is done for each record of each journal.
  totals.calls += sign * more.calls
  totals.ingress += sign * more.ingress
  totals.egress += sign * more.egress
  totals.connections += sign * more.connections
  totals.connectionMs += sign * more.connectionMs
  totals.callMs += sign * more.callMs
  totals.requestMessages += sign * more.requestMessages
  totals.responseMessages += sign * more.responseMessages
}

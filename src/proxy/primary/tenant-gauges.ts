/**
 * What is so at this moment, summed by the label of the tenant. The sums follow each report, so that a scrape reads a few
 * hundred of them however many tenants are at work.
 */
import type { ConnectionCount } from '../ipc.ts'
import { CounterTable, type Sample } from './metric-tables.ts'
import type { TenantLabels } from './tenant-labels.ts'

export interface EndpointHealth {
  readonly healthy: number
  readonly ejected: number
}

/** Open connections by label, routability and listener. What was open once reads 0 later, and not nothing. */
export class ActiveConnections {
  readonly #labels: TenantLabels
  readonly #sums = new CounterTable()

  constructor(labels: TenantLabels) {
    this.#labels = labels
  }

  add({ tenant, routability, listener }: ConnectionCount, amount: number): void {
    this.#sums.add({ tenant: this.#labels.labelOf(tenant), routability, listener }, amount)
  }

  samples(): Sample[] {
    return this.#sums.samples()
  }
}

/** Endpoints by label and state. A label that no tenant with endpoints has any more has no sum. */
export class ActiveEndpoints {
  readonly #labels: TenantLabels
  readonly #sums = new Map<string, { tenants: number; healthy: number; ejected: number }>()

  constructor(labels: TenantLabels) {
    this.#labels = labels
  }

  /** What is thought of the endpoints of a tenant was `before`, and is `after`; undefined for nothing. */
  change(
    tenant: string,
    before: EndpointHealth | undefined,
    after: EndpointHealth | undefined,
  ): void {
    if (before === undefined && after === undefined) return
    const label = this.#labels.labelOf(tenant)
    const sum = this.#sums.get(label) ?? { tenants: 0, healthy: 0, ejected: 0 }
    sum.tenants += Number(after !== undefined) - Number(before !== undefined)
    sum.healthy += (after?.healthy ?? 0) - (before?.healthy ?? 0)
    sum.ejected += (after?.ejected ?? 0) - (before?.ejected ?? 0)
    if (sum.tenants > 0) this.#sums.set(label, sum)
    else this.#sums.delete(label)
  }

  samples(): Sample[] {
    return [...this.#sums].flatMap(([tenant, { healthy, ejected }]) => [
      { labels: { tenant, state: 'healthy' }, value: healthy },
      { labels: { tenant, state: 'ejected' }, value: ejected },
    ])
  }
}

/** How the endpoints of each tenant are doing, told only where it changed. */
import type { WorkerReport } from '../ipc.ts'
import type { TenantRuntimes } from './tenant-runtimes.ts'

type EndpointCount = WorkerReport['endpoints'][number]

export class EndpointCensus {
  readonly #runtimes: TenantRuntimes
  #last = new Map<string, EndpointCount>()

  constructor(runtimes: TenantRuntimes) {
    this.#runtimes = runtimes
  }

  changes(now: number): EndpointCount[] {
    const present = new Map<string, EndpointCount>()
    const changed: EndpointCount[] = []
    for (const { tenant, pool } of this.#runtimes.all()) {
      const ejected = pool.endpoints.filter(endpoint => endpoint.ejected(now)).length
      const count = { tenant: tenant.id, healthy: pool.endpoints.length - ejected, ejected }
      present.set(tenant.id, count)
      const before = this.#last.get(tenant.id)
      if (before?.healthy !== count.healthy || before.ejected !== count.ejected) changed.push(count)
    }
    for (const tenant of this.#last.keys()) {
      if (!present.has(tenant)) changed.push({ tenant, healthy: 0, ejected: 0 })
    }
    this.#last = present
    return changed
  }
}

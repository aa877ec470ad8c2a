/** How the endpoints of each tenant are doing, told only where it changed; nobody else is looked at. */
import type { WorkerReport } from '../ipc.ts'
import type { TenantRuntime, TenantRuntimes } from './tenant-runtimes.ts'

type EndpointCount = WorkerReport['endpoints'][number]

export class EndpointCensus {
  readonly #runtimes: TenantRuntimes

  constructor(runtimes: TenantRuntimes) {
    this.#runtimes = runtimes
  }

  changes(now: number): EndpointCount[] {
    const { moved } = this.#runtimes
    const changed: EndpointCount[] = []
    // A tenant that is served anew tells of itself after the runtime that is gone.
    for (const runtime of moved) if (!this.#runtimes.has(runtime)) this.#tellEnd(runtime, changed)
    for (const runtime of moved) this.#tell(runtime, now, changed)
    return changed
  }

  #tellEnd(runtime: TenantRuntime, changed: EndpointCount[]): void {
    this.#runtimes.moved.delete(runtime)
    if (runtime.toldHealthy < 0 || this.#runtimes.hasOneOf(runtime.tenant)) return
    changed.push({ tenant: runtime.tenant.id, healthy: 0, ejected: 0, gone: true })
  }

  #tell(runtime: TenantRuntime, now: number, changed: EndpointCount[]): void {
    const { endpoints } = runtime.pool
    const ejected = endpoints.filter(endpoint => endpoint.ejected(now)).length
    const healthy = endpoints.length - ejected
    // Time alone brings an endpoint back: nobody says so.
    if (ejected === 0) this.#runtimes.moved.delete(runtime)
    if (runtime.toldHealthy === healthy && runtime.toldEjected === ejected) return
    runtime.toldHealthy = healthy
    runtime.toldEjected = ejected
    changed.push({ tenant: runtime.tenant.id, healthy, ejected })
  }
}

/**
 * Tenants that an operator has drained: nothing new of them is taken, what is open ends politely, and what is still there
 * when its time is up ends anyway. Calls of other tenants on the same connections go on.
 */
import { isRouted, tenantOf } from '../forward/routed-connection.ts'
import type { Drainable } from '../listener/arrival.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { WorkerContext } from './context.ts'

export interface TenantDrain {
  readonly tenant: string
  /** How long calls that are under way have, in ms; the same for tunnels. */
  readonly callsMs: number
  readonly tunnelsMs: number
}

export class TenantDrains {
  readonly #context: WorkerContext
  readonly #connections: Iterable<Drainable>
  /** By tenant. */
  readonly #deadlines = new Map<string, NodeJS.Timeout[]>()

  /** `connections`: everything that is open, at any moment. */
  constructor(context: WorkerContext, connections: Iterable<Drainable>) {
    this.#context = context
    this.#connections = connections
  }

  /** Begins to drain, or gives it other deadlines. */
  begin({ tenant: id, callsMs, tunnelsMs }: TenantDrain): void {
    this.#forgetDeadlines(id)
    const tenant = this.#context.directory.byId(id)
    if (tenant !== undefined) tenant.draining = true
    for (const connection of this.#connections)
      if (isRouted(connection) && tenantOf(connection) === id) connection.drain()
    const last = Math.max(callsMs, tunnelsMs)
    this.#deadlines.set(id, [
      setTimeout(() => this.#cut(id, 'calls'), callsMs),
      setTimeout(() => this.#cut(id, 'tunnel'), tunnelsMs),
      setTimeout(() => this.#release(id), last),
    ])
  }

  /** Those that were drained before this worker came. */
  keep(tenants: readonly string[]): void {
    for (const id of tenants) this.#deadlines.set(id, [])
  }

  /** It is served again. */
  end(id: string): void {
    this.#forgetDeadlines(id)
    this.#deadlines.delete(id)
    const tenant = this.#context.directory.byId(id)
    if (tenant !== undefined) tenant.draining = false
  }

  /** A tenant that has changed is another object, and drained all the same. */
  entered(tenants: readonly Tenant[]): void {
    if (this.#deadlines.size === 0) return
    for (const tenant of tenants) if (this.#deadlines.has(tenant.id)) tenant.draining = true
  }

  close(): void {
    for (const id of this.#deadlines.keys()) this.#forgetDeadlines(id)
  }

  #cut(id: string, kind: Drainable['kind']): void {
    this.#context.clock.refresh()
    // What ends takes itself out of them.
    for (const connection of this.#connections) {
      if (connection.kind !== kind || !isRouted(connection)) continue
      for (const call of connection.calls) call.fail('tenant_draining', id)
    }
  }

  /** Its deployment may go: resting connections to it are closed, and its health is not looked at any more. */
  #release(id: string): void {
    const tenant = this.#context.directory.byId(id)
    if (tenant !== undefined) this.#context.runtimes.end(tenant)
  }

  #forgetDeadlines(id: string): void {
    for (const timer of this.#deadlines.get(id) ?? []) clearTimeout(timer)
  }
}

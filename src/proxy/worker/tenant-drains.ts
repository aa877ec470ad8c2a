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
    const [first, kind] =
      callsMs < tunnelsMs ? [callsMs, 'calls' as const] : [tunnelsMs, 'tunnel' as const]
    this.#deadlines.set(id, [
      setTimeout(() => this.#cut(id, kind), first),
      setTimeout(() => this.#finish(id), Math.max(callsMs, tunnelsMs)),
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

  /** Of one kind, or of all. */
  #cut(id: string, kind?: Drainable['kind']): void {
    this.#context.clock.refresh()
    // What ends takes itself out of them.
    for (const connection of this.#connections) {
      if (!isRouted(connection) || connection.kind !== (kind ?? connection.kind)) continue
      for (const call of connection.calls) call.fail('tenant_draining', id)
    }
  }

  /**
   * Nothing of it has any more time, also no tunnel that a call has become since tunnels had none. Its deployment may go:
   * resting connections to it are closed, and its health is not looked at any more.
   */
  #finish(id: string): void {
    this.#cut(id)
    const tenant = this.#context.directory.byId(id)
    if (tenant !== undefined) this.#context.runtimes.end(tenant)
  }

  #forgetDeadlines(id: string): void {
    for (const timer of this.#deadlines.get(id) ?? []) clearTimeout(timer)
  }
}

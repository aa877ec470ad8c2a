/** Which tenants an operator has drained; the workers do it, also those that are started later. */
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { OperatorOrder } from '../ipc.ts'
import type { MetricReader } from './metric-tables.ts'

export interface TenantDrainDeskOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly tell: (order: OperatorOrder) => void
  /** Connections of a tenant, as the workers last said. */
  readonly activeOf: (tenant: string) => number
}

export interface TenantDrainState {
  /** `drained` when nothing of it is open any more. */
  readonly status: 'draining' | 'drained'
  readonly connections: number
  /** ISO 8601: the beginning, and when the last of it ends. */
  readonly since: string
  readonly until: string
}

export class TenantDrainDesk {
  readonly #options: TenantDrainDeskOptions
  /** By tenant, in ms since the epoch. */
  readonly #drains = new Map<string, { readonly since: number; readonly until: number }>()

  constructor(options: TenantDrainDeskOptions) {
    this.#options = options
  }

  get tenants(): string[] {
    return [...this.#drains.keys()]
  }

  /** How long calls and tunnels that are under way have, in ms. A second time changes that. */
  drain(tenant: string, callsMs: number, tunnelsMs: number): void {
    const { clock, logger, tell } = this.#options
    const now = clock.now()
    const since = this.#drains.get(tenant)?.since ?? now
    this.#drains.set(tenant, { since, until: now + Math.max(callsMs, tunnelsMs) })
    logger.warn({ tenant, callsMs, tunnelsMs }, 'a tenant is drained')
    tell({ kind: 'drain-tenant', tenant, callsMs, tunnelsMs })
  }

  resume(tenant: string): void {
    if (!this.#drains.delete(tenant)) return
    this.#options.logger.warn({ tenant }, 'a drained tenant is served again')
    this.#options.tell({ kind: 'resume-tenant', tenant })
  }

  /** Undefined for a tenant that is served. */
  stateOf(tenant: string): TenantDrainState | undefined {
    const drain = this.#drains.get(tenant)
    if (drain === undefined) return undefined
    const connections = this.#options.activeOf(tenant)
    return {
      status: connections === 0 ? 'drained' : 'draining',
      connections,
      since: new Date(drain.since).toISOString(),
      until: new Date(drain.until).toISOString(),
    }
  }

  /** The configuration does not have them any more: should they come back, they are served. */
  forget(removed: readonly string[]): void {
    for (const tenant of removed) this.resume(tenant)
  }

  readers(): MetricReader[] {
    return [
      {
        name: 'amt_tenants_draining',
        help: 'Tenants that are drained, and not served until somebody says so.',
        type: 'gauge',
        read: () => [{ labels: {}, value: this.#drains.size }],
      },
    ]
  }
}

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
  /** Whether the configuration has it. */
  readonly isTenant: (tenant: string) => boolean
}

/** For the process that takes over; in ms since the epoch, as the time of day is all that two processes share. */
export interface DrainedTenant {
  readonly tenant: string
  readonly since: number
  readonly until: number
}

interface Drain {
  readonly since: number
  readonly until: number
  /** Begun by the process before, whose connections are not known here: they may be there until `until`. */
  readonly inherited?: true
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
  readonly #drains = new Map<string, Drain>()

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
    const { activeOf, clock } = this.#options
    const connections = activeOf(tenant)
    const elsewhere = drain.inherited === true && clock.now() < drain.until
    return {
      status: connections === 0 && !elsewhere ? 'drained' : 'draining',
      connections,
      since: new Date(drain.since).toISOString(),
      until: new Date(drain.until).toISOString(),
    }
  }

  /** What a process that takes over has to know. */
  get drained(): DrainedTenant[] {
    return [...this.#drains].map(([tenant, { since, until }]) => ({ tenant, since, until }))
  }

  /**
   * What the process before had drained: all of it, and nothing else is. Said a first time before there are workers, which
   * begin with it, and a last time when that process has let go.
   */
  inherit(drained: readonly DrainedTenant[]): void {
    const kept = new Set(drained.map(({ tenant }) => tenant))
    for (const tenant of this.tenants) if (!kept.has(tenant)) this.resume(tenant)
    for (const { tenant, since, until } of drained) {
      if (this.#drains.get(tenant)?.until === until || !this.#options.isTenant(tenant)) continue
      this.#drains.set(tenant, { since, until, inherited: true })
      const leftMs = Math.max(0, until - this.#options.clock.now())
      this.#options.logger.warn({ tenant, leftMs }, 'a tenant stays drained')
      this.#options.tell({ kind: 'drain-tenant', tenant, callsMs: leftMs, tunnelsMs: leftMs })
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

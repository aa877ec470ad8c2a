/**
 * What workers say about this moment: traffic, open connections, health of endpoints, lag of the event loop. Each worker's word
 * goes when the worker goes, so that a crash leaves no connection that is open for ever.
 */
import type { Clock } from '../../core/clock.ts'
import type { ConnectionCount, JournalFigures, OverloadFigures, WorkerReport } from '../ipc.ts'
import { Peak, type Sample } from './metric-tables.ts'
import { TenantActivity } from './tenant-activity.ts'
import { ActiveConnections, ActiveEndpoints, type EndpointHealth } from './tenant-gauges.ts'
import type { TenantLabels } from './tenant-labels.ts'

const LAG_PERIOD_MS = 15_000

export interface JournalState {
  readonly failing: number
  readonly since: number | null
  readonly unwritten: number
}

interface WorkerState {
  /** By tenant, then by listener and routability. */
  readonly connections: Map<string, Map<string, ConnectionCount>>
  readonly endpoints: Map<string, EndpointHealth>
  readonly lagMs: Peak
  journal: JournalFigures | undefined
  tokenIssuers: number
  overload: OverloadFigures | undefined
}

export class LiveState {
  readonly labels: TenantLabels
  readonly activity: TenantActivity
  readonly #clock: Clock
  readonly #workers = new Map<number, WorkerState>()
  readonly #connections: ActiveConnections
  readonly #endpoints: ActiveEndpoints

  /** `labels`: of the sums for metrics. */
  constructor(clock: Clock, labels: TenantLabels) {
    this.#clock = clock
    this.labels = labels
    this.activity = new TenantActivity(clock)
    this.#connections = new ActiveConnections(labels)
    this.#endpoints = new ActiveEndpoints(labels)
  }

  /** `slot`: number of the worker, 1 to the number of workers; a replacement has the number of the one that died. */
  record(slot: number, report: WorkerReport): void {
    this.activity.record(slot, report)
    const state = this.#stateOf(slot)
    for (const count of report.connections) this.#recordConnections(state, count)
    for (const { tenant, healthy, ejected, gone } of report.endpoints) {
      this.#setEndpoints(state, tenant, gone === true ? undefined : { healthy, ejected })
    }
    state.lagMs.observe(report.eventLoopLagMs, this.#clock.monotonic())
    state.journal = report.journal
    state.tokenIssuers = report.tokenIssuers.live
    state.overload = report.overload
  }

  forget(slot: number): void {
    this.activity.forget(slot)
    const state = this.#workers.get(slot)
    if (state === undefined) return
    for (const ofTenant of state.connections.values())
      for (const count of ofTenant.values()) this.#connections.add(count, -count.active)
    for (const tenant of state.endpoints.keys()) this.#setEndpoints(state, tenant, undefined)
    this.#workers.delete(slot)
  }

  /** Tenants that the configuration no longer names; their connections count until they end. */
  forgetEndpointsOf(tenant: string): void {
    for (const state of this.#workers.values()) this.#setEndpoints(state, tenant, undefined)
  }

  /** Open connections by the label of the tenant, for metrics. */
  connectionSamples(): Sample[] {
    return this.#connections.samples()
  }

  /** Endpoints by the label of the tenant, for metrics. */
  endpointSamples(): Sample[] {
    return this.#endpoints.samples()
  }

  /** Every count of every worker; several may be of the same tenant, listener and routability. */
  *connections(): Generator<ConnectionCount> {
    for (const { connections } of this.#workers.values()) {
      for (const ofTenant of connections.values()) yield* ofTenant.values()
    }
  }

  /** Open connections of a tenant. */
  activeOf(tenant: string): number {
    let active = 0
    for (const { connections } of this.#workers.values()) {
      for (const count of connections.get(tenant)?.values() ?? []) active += count.active
    }
    return active
  }

  /** Every worker checks for itself and all see the same endpoints: the worst opinion is the one to show. */
  endpointsOf(tenant: string): EndpointHealth | undefined {
    let worst: EndpointHealth | undefined
    for (const { endpoints } of this.#workers.values()) {
      const health = endpoints.get(tenant)
      if (health !== undefined && (worst === undefined || health.healthy < worst.healthy)) {
        worst = health
      }
    }
    return worst
  }

  /** Highest lag of each worker in the last 15 to 30 seconds, in ms. */
  *lags(): Generator<readonly [slot: number, lagMs: number]> {
    const now = this.#clock.monotonic()
    for (const [slot, { lagMs }] of this.#workers) yield [slot, lagMs.value(now)]
  }

  /** How busy each worker is. */
  *overloads(): Generator<readonly [slot: number, figures: OverloadFigures]> {
    for (const [slot, { overload }] of this.#workers)
      if (overload !== undefined) yield [slot, overload]
  }

  /** Issuers of tokens that workers keep, each worker its own. */
  tokenIssuers(): number {
    let issuers = 0
    for (const { tokenIssuers } of this.#workers.values()) issuers += tokenIssuers
    return issuers
  }

  /** How many workers cannot write their journal, since when (ms since the epoch), and what they hold in memory. */
  journals(): JournalState {
    let failing = 0
    let since: number | null = null
    let unwritten = 0
    for (const { journal } of this.#workers.values()) {
      if (journal === undefined || journal.failingSince === null) continue
      failing += 1
      since = Math.min(since ?? journal.failingSince, journal.failingSince)
      unwritten += journal.unwritten
    }
    return { failing, since, unwritten }
  }

  #recordConnections({ connections }: WorkerState, count: ConnectionCount): void {
    let ofTenant = connections.get(count.tenant)
    if (ofTenant === undefined) {
      ofTenant = new Map()
      connections.set(count.tenant, ofTenant)
    }
    const key = `${count.listener}\0${count.routability}`
    this.#connections.add(count, count.active - (ofTenant.get(key)?.active ?? 0))
    if (count.active > 0) ofTenant.set(key, count)
    else ofTenant.delete(key)
    if (ofTenant.size === 0) connections.delete(count.tenant)
  }

  #setEndpoints(
    { endpoints }: WorkerState,
    tenant: string,
    health: EndpointHealth | undefined,
  ): void {
    const before = this.endpointsOf(tenant)
    if (health === undefined) endpoints.delete(tenant)
    else endpoints.set(tenant, health)
    this.#endpoints.change(tenant, before, this.endpointsOf(tenant))
  }

  #stateOf(slot: number): WorkerState {
    let state = this.#workers.get(slot)
    if (state === undefined) {
      state = {
        connections: new Map(),
        endpoints: new Map(),
        lagMs: new Peak(LAG_PERIOD_MS),
        journal: undefined,
        tokenIssuers: 0,
        overload: undefined,
      }
      this.#workers.set(slot, state)
    }
    return state
  }
}

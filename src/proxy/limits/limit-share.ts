/**
 * What one worker holds of the limits of a tenant: the configured figures, divided by the number of workers where they are of all
 * of them. Tenants have one of a few plans as a rule, and those with the same limits share one object: what each of them has taken
 * is elsewhere.
 */

import type { LimitsConfig } from '../../config/schema.ts'
import { sameConfig } from '../../core/same-config.ts'
import type { PoolLimits } from '../pool/policy.ts'
import type { BothWays } from './bandwidth.ts'
import { NamedRate } from './named-rate.ts'

/** Plans that are remembered; who has another one gets an object of its own. */
const MOST_RECENT = 8

const NO_DEFAULTS: LimitsConfig = {}

/** Infinity, or undefined, where there is no limit. */
export class LimitShare {
  /** Calls under way, and open connections. */
  readonly maxCalls: number
  readonly maxConnections: number
  /** Largest request body in bytes. */
  readonly maxBodyBytes: number
  /** Bytes that wait for slow peers. */
  readonly maxBuffered: number
  /** Calls under way on one connection. */
  readonly maxStreams: number
  readonly calls: NamedRate | undefined = undefined
  readonly newConnections: NamedRate | undefined = undefined
  readonly bandwidth: BothWays | undefined = undefined
  readonly pool: PoolLimits
  readonly #limits: LimitsConfig
  readonly #defaults: LimitsConfig
  readonly #workers: number
  /** What `among` made last: who asks for it asks for each tenant. */
  #other: LimitShare | undefined

  constructor(limits: LimitsConfig, defaults: LimitsConfig, workers: number) {
    const all = { ...defaults, ...limits }
    const { requests, burst, newConnections, ingress, egress } = all
    this.maxCalls = shareOf(all.concurrency, workers)
    this.maxConnections = shareOf(all.connections, workers)
    this.maxBodyBytes = all.body ?? Number.POSITIVE_INFINITY
    this.maxBuffered = all.buffered ?? Number.POSITIVE_INFINITY
    this.maxStreams = all.streams ?? Number.POSITIVE_INFINITY
    if (requests !== undefined)
      this.calls = new NamedRate('requests', { perSecond: requests, burst }, workers)
    if (newConnections !== undefined) {
      const rate = { perSecond: newConnections }
      this.newConnections = new NamedRate('newConnections', rate, workers)
    }
    if (ingress !== undefined || egress !== undefined)
      this.bandwidth = { ingress: shareOf(ingress, workers), egress: shareOf(egress, workers) }
    this.pool = { upstreamConnections: all.upstreamConnections, pending: all.pending }
    this.#limits = limits
    this.#defaults = defaults
    this.#workers = workers
  }

  /** The same limits, shared by another number of workers. */
  among(workers: number): LimitShare {
    if (this.#other === undefined || this.#other.#workers !== workers)
      this.#other = limitShareOf({ ...this.#defaults, ...this.#limits }, NO_DEFAULTS, workers)
    return this.#other
  }

  isOf(limits: LimitsConfig, defaults: LimitsConfig, workers: number): boolean {
    return (
      this.#workers === workers &&
      sameConfig(this.#limits, limits) &&
      sameConfig(this.#defaults, defaults)
    )
  }
}

const recent: LimitShare[] = []
let oldest = 0

/** Of `limits` and, for what they leave out, `defaults`, which are those of all `workers`. */
export function limitShareOf(
  limits: LimitsConfig,
  defaults: LimitsConfig,
  workers: number,
): LimitShare {
  for (const share of recent) if (share.isOf(limits, defaults, workers)) return share
  const share = new LimitShare(limits, defaults, workers)
  recent[oldest] = share
  oldest = (oldest + 1) % MOST_RECENT
  return share
}

function shareOf(limit: number | undefined, workers: number): number {
  return limit === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil(limit / workers))
}

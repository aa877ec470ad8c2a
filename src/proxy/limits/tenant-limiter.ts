/**
 * The limits of one tenant in one worker: rates, calls and connections at once, bandwidth. A worker holds its share, the
 * configured figure divided by the number of workers that serve; nothing here crosses a process.
 */
import type { LimitsConfig } from '../../config/schema.ts'
import { BandwidthDebt } from './bandwidth-debt.ts'
import { type ConfiguredRate, NamedRate } from './named-rate.ts'
import { Pacer } from './pacer.ts'
import type { RateFields } from './rate-fields.ts'
import { limitOf, type Refusal } from './refusal.ts'

const TOO_MANY_CALLS: Refusal = limitOf('tenant_overloaded', 'concurrency')
const TOO_MUCH_BUFFERED: Refusal = limitOf('tenant_overloaded', 'buffered')
const TOO_MANY_CONNECTIONS: Refusal = limitOf('too_many_connections', 'connections')

export class TenantLimiter {
  /** Largest request body in bytes. */
  maxBodyBytes: number
  /** Calls under way on one connection. */
  maxStreams: number
  readonly ingress: Pacer
  readonly egress: Pacer
  readonly debt: BandwidthDebt
  /** Whether there may be one. */
  paced: boolean
  /** Bytes that wait for slow peers; whoever keeps some adds them, and takes them off when they have left. */
  buffered = 0
  #maxBuffered: number
  #limits: LimitsConfig
  readonly #calls: NamedRate
  readonly #newConnections: NamedRate
  #maxCalls: number
  #maxConnections: number
  #activeCalls = 0
  #activeConnections = 0

  /** `limits` and, for what they leave out, `defaults` are those of all `workers`. */
  constructor(limits: LimitsConfig, defaults: LimitsConfig, workers: number) {
    const all = limitsOver(limits, defaults)
    this.#limits = all
    this.#calls = new NamedRate('requests', rateOfCalls(all), workers)
    this.#newConnections = new NamedRate('newConnections', rateOfConnections(all), workers)
    this.#maxCalls = shareOf(all.concurrency, workers)
    this.#maxConnections = shareOf(all.connections, workers)
    this.ingress = new Pacer(shareOf(all.ingress, workers))
    this.egress = new Pacer(shareOf(all.egress, workers))
    this.debt = new BandwidthDebt(this.ingress, this.egress)
    this.paced = this.debt.limited
    this.maxBodyBytes = all.body ?? Number.POSITIVE_INFINITY
    this.#maxBuffered = all.buffered ?? Number.POSITIVE_INFINITY
    this.maxStreams = all.streams ?? Number.POSITIVE_INFINITY
  }

  /** Other limits from now on; what is under way and what was taken stays so. Arguments are as those of a new one. */
  change(limits: LimitsConfig, defaults: LimitsConfig, workers: number, now: number): void {
    const all = limitsOver(limits, defaults)
    this.#limits = all
    this.#calls.change(rateOfCalls(all), workers, now)
    this.#newConnections.change(rateOfConnections(all), workers, now)
    this.maxBodyBytes = all.body ?? Number.POSITIVE_INFINITY
    this.#maxBuffered = all.buffered ?? Number.POSITIVE_INFINITY
    this.maxStreams = all.streams ?? Number.POSITIVE_INFINITY
    this.share(workers, now)
  }

  /** So many workers share the limits from now on; what is under way and what was taken stays so. */
  share(workers: number, now: number): void {
    const { concurrency, connections, ingress, egress } = this.#limits
    this.#calls.share(workers, now)
    this.#newConnections.share(workers, now)
    this.#maxCalls = shareOf(concurrency, workers)
    this.#maxConnections = shareOf(connections, workers)
    this.ingress.change(shareOf(ingress, workers), now)
    this.egress.change(shareOf(egress, workers), now)
    this.paced = this.debt.limited
  }

  /** Whether calls are counted by connection. */
  get limitsStreams(): boolean {
    return this.maxStreams !== Number.POSITIVE_INFINITY
  }

  get activeCalls(): number {
    return this.#activeCalls
  }

  /** Whether it lets through what a new one would. */
  idle(now: number): boolean {
    return (
      this.#activeCalls === 0 &&
      this.#activeConnections === 0 &&
      this.#calls.idle(now) &&
      this.#newConnections.idle(now) &&
      this.ingress.idle(now) &&
      this.egress.idle(now)
    )
  }

  /** Begins a call, or says why not. `endCall` follows each that began. */
  beginCall(): Refusal | undefined {
    if (this.#activeCalls >= this.#maxCalls) return TOO_MANY_CALLS
    if (this.buffered > this.#maxBuffered) return TOO_MUCH_BUFFERED
    this.#activeCalls++
    return undefined
  }

  endCall(): void {
    this.#activeCalls--
  }

  /** Why no tunnel may begin. */
  refuseTunnel(): Refusal | undefined {
    return this.buffered > this.#maxBuffered ? TOO_MUCH_BUFFERED : undefined
  }

  /** Takes one call from the rate, or says why not. `now` is monotonic, in ms. */
  takeCall(now: number): Refusal | undefined {
    return this.#calls.take(now)
  }

  /** What is left of the rate of calls; undefined where there is no such rate. */
  rateFields(now: number): RateFields | undefined {
    return this.#calls.unlimited ? undefined : this.#calls.fields(now)
  }

  /** Opens a connection, or says why not. `closeConnection` follows each that was opened. */
  openConnection(now: number): Refusal | undefined {
    if (this.#activeConnections >= this.#maxConnections) return TOO_MANY_CONNECTIONS
    const refusal = this.#newConnections.take(now)
    if (refusal !== undefined) return refusal
    this.#activeConnections++
    return undefined
  }

  closeConnection(): void {
    this.#activeConnections--
  }
}

/** The limits of a tenant, and those of the service where it has none of its own. */
export function limitsOver(limits: LimitsConfig, defaults: LimitsConfig): LimitsConfig {
  return { ...defaults, ...limits }
}

function rateOfCalls({ requests, burst }: LimitsConfig): ConfiguredRate {
  return { perSecond: requests, burst }
}

function rateOfConnections({ newConnections }: LimitsConfig): ConfiguredRate {
  return { perSecond: newConnections, burst: undefined }
}

function shareOf(limit: number | undefined, workers: number): number {
  return limit === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil(limit / workers))
}

/**
 * What one tenant has taken of its limits in one worker: rates, calls and connections at once, bandwidth. A worker holds its share
 * of them; nothing here crosses a process.
 */
import { Bandwidth, type BothWays } from './bandwidth.ts'
import type { LimitShare } from './limit-share.ts'
import type { NamedRate } from './named-rate.ts'
import type { RateFields } from './rate-fields.ts'
import { RateLimit } from './rate-limit.ts'
import { limitOf, type Refusal } from './refusal.ts'

const TOO_MANY_CALLS: Refusal = limitOf('tenant_overloaded', 'concurrency')
const TOO_MUCH_BUFFERED: Refusal = limitOf('tenant_overloaded', 'buffered')
const TOO_MANY_CONNECTIONS: Refusal = limitOf('too_many_connections', 'connections')

const UNPACED: BothWays = { ingress: Number.POSITIVE_INFINITY, egress: Number.POSITIVE_INFINITY }

export class TenantLimiter {
  /** Made where there is such a limit, as are those of the rates: each call would look at them. */
  bandwidth: Bandwidth | undefined
  /** Bytes that wait for slow peers; whoever keeps some adds them, and takes them off when they have left. */
  buffered = 0
  #share: LimitShare
  #calls: RateLimit | undefined
  #newConnections: RateLimit | undefined
  #activeCalls = 0
  #activeConnections = 0

  constructor(share: LimitShare) {
    this.#share = share
    this.#calls = share.calls && new RateLimit(share.calls)
    this.#newConnections = share.newConnections && new RateLimit(share.newConnections)
    this.bandwidth = share.bandwidth && new Bandwidth(share.bandwidth)
  }

  /** Other limits from now on; what is under way and what was taken stays so. */
  change(share: LimitShare, now: number): void {
    this.#share = share
    this.#calls = changed(this.#calls, share.calls, now)
    this.#newConnections = changed(this.#newConnections, share.newConnections, now)
    if (this.bandwidth !== undefined) this.bandwidth.change(share.bandwidth ?? UNPACED, now)
    else if (share.bandwidth !== undefined) this.bandwidth = new Bandwidth(share.bandwidth)
  }

  /** So many workers share the limits from now on; what is under way and what was taken stays so. */
  share(workers: number, now: number): void {
    this.change(this.#share.among(workers), now)
  }

  /** Largest request body in bytes. */
  get maxBodyBytes(): number {
    return this.#share.maxBodyBytes
  }

  /** Calls under way on one connection. */
  get maxStreams(): number {
    return this.#share.maxStreams
  }

  /** Whether calls are counted by connection. */
  get limitsStreams(): boolean {
    return this.#share.maxStreams !== Number.POSITIVE_INFINITY
  }

  get activeCalls(): number {
    return this.#activeCalls
  }

  /** Whether it lets through what a new one would. */
  idle(now: number): boolean {
    return (
      this.#activeCalls === 0 &&
      this.#activeConnections === 0 &&
      this.#calls?.idle(now) !== false &&
      this.#newConnections?.idle(now) !== false &&
      this.bandwidth?.idle(now) !== false
    )
  }

  /** Begins a call, or says why not. `endCall` follows each that began. */
  beginCall(): Refusal | undefined {
    if (this.#activeCalls >= this.#share.maxCalls) return TOO_MANY_CALLS
    if (this.buffered > this.#share.maxBuffered) return TOO_MUCH_BUFFERED
    this.#activeCalls++
    return undefined
  }

  endCall(): void {
    this.#activeCalls--
  }

  /** Why no tunnel may begin. */
  refuseTunnel(): Refusal | undefined {
    return this.buffered > this.#share.maxBuffered ? TOO_MUCH_BUFFERED : undefined
  }

  /** Takes one call from the rate, or says why not. `now` is monotonic, in ms. */
  takeCall(now: number): Refusal | undefined {
    const waitMs = this.#calls?.take(now) ?? 0
    return waitMs === 0 ? undefined : this.#share.calls?.refusal(waitMs)
  }

  /** What is left of the rate of calls; undefined where there is no such rate. */
  rateFields(now: number): RateFields | undefined {
    return this.#calls && this.#share.calls?.fields(this.#calls, now)
  }

  /** Opens a connection, or says why not. `closeConnection` follows each that was opened. */
  openConnection(now: number): Refusal | undefined {
    if (this.#activeConnections >= this.#share.maxConnections) return TOO_MANY_CONNECTIONS
    const waitMs = this.#newConnections?.take(now) ?? 0
    if (waitMs > 0) return this.#share.newConnections?.refusal(waitMs)
    this.#activeConnections++
    return undefined
  }

  closeConnection(): void {
    this.#activeConnections--
  }
}

/** What was taken stays taken for as long as there is such a rate. */
function changed(
  limit: RateLimit | undefined,
  rate: NamedRate | undefined,
  now: number,
): RateLimit | undefined {
  if (rate === undefined) return undefined
  if (limit === undefined) return new RateLimit(rate)
  limit.change(rate, now)
  return limit
}

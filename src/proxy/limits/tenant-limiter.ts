/**
 * The limits of one tenant in one worker: call rate, calls and connections at once, bandwidth. A worker holds its share,
 * the configured figure divided by the number of workers; nothing here crosses a process.
 */
import type { LimitsConfig } from '../../config/schema.ts'

/** How much of a bandwidth may pass at once, so that small messages are never paced. */
const BANDWIDTH_BURST_MS = 100

export class TenantLimiter {
  /** Largest request body in bytes. */
  readonly maxBodyBytes: number
  readonly ingress: Pacer
  readonly egress: Pacer
  readonly #calls: RateLimit
  readonly #maxCalls: number
  readonly #maxConnections: number
  #activeCalls = 0
  #activeConnections = 0

  /** `defaults` are the limits of the service. */
  constructor(limits: LimitsConfig, defaults: LimitsConfig, workers: number) {
    const rate = limits.requests ?? defaults.requests
    const share = (limit: number | undefined): number =>
      limit === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil(limit / workers))
    this.#calls = new RateLimit(
      rate === undefined ? undefined : rate / workers,
      share(limits.burst ?? defaults.burst ?? rate),
    )
    this.#maxCalls = share(limits.concurrency ?? defaults.concurrency)
    this.#maxConnections = share(limits.connections ?? defaults.connections)
    this.ingress = new Pacer(share(limits.ingress ?? defaults.ingress))
    this.egress = new Pacer(share(limits.egress ?? defaults.egress))
    this.maxBodyBytes = limits.body ?? defaults.body ?? Number.POSITIVE_INFINITY
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
      this.ingress.idle(now) &&
      this.egress.idle(now)
    )
  }

  /** Begins a call; false where as many are under way as may be. `endCall` follows each true. */
  beginCall(): boolean {
    if (this.#activeCalls >= this.#maxCalls) return false
    this.#activeCalls++
    return true
  }

  endCall(): void {
    this.#activeCalls--
  }

  /** Takes one call from the rate: 0, or the milliseconds until one fits. `now` is monotonic, in ms. */
  takeCall(now: number): number {
    return this.#calls.take(now)
  }

  openConnection(): boolean {
    if (this.#activeConnections >= this.#maxConnections) return false
    this.#activeConnections++
    return true
  }

  closeConnection(): void {
    this.#activeConnections--
  }
}

/**
 * GCRA, the generic cell rate algorithm (ITU-T I.371): one number for the whole limit. `burst` calls may come at once,
 * then one an interval.
 */
export class RateLimit {
  readonly #intervalMs: number
  readonly #toleranceMs: number
  #theoreticalArrival = 0

  constructor(perSecond: number | undefined, burst: number) {
    this.#intervalMs = perSecond === undefined ? 0 : 1_000 / perSecond
    this.#toleranceMs = this.#intervalMs * Math.max(1, burst)
  }

  idle(now: number): boolean {
    return this.#theoreticalArrival <= now
  }

  /** 0 where the call fits, else the milliseconds until it would; a refused call takes nothing. */
  take(now: number): number {
    if (this.#intervalMs === 0) return 0
    const arrival = Math.max(this.#theoreticalArrival, now) + this.#intervalMs
    const excess = arrival - now - this.#toleranceMs
    // Sums of intervals are not exact; a millionth of a millisecond is no excess.
    if (excess > 1e-6) return excess
    this.#theoreticalArrival = arrival
    return 0
  }
}

/** Holds bytes to a bandwidth by saying how long the source of them should rest. */
export class Pacer {
  readonly #bytesPerMs: number
  #paidUntil = 0

  /** Infinity for no limit. */
  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1_000
  }

  idle(now: number): boolean {
    return this.#paidUntil <= now - BANDWIDTH_BURST_MS
  }

  /** Adds bytes that have passed; returns for how many ms no more should be read. */
  spend(bytes: number, now: number): number {
    if (this.#bytesPerMs === Number.POSITIVE_INFINITY) return 0
    this.#paidUntil = Math.max(this.#paidUntil, now - BANDWIDTH_BURST_MS) + bytes / this.#bytesPerMs
    return Math.max(0, this.#paidUntil - now)
  }
}

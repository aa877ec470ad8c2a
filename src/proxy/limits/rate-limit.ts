/** So many at once, then one an interval: what all limits of the same rate have in common. */
export interface Rate {
  /** 0 where there is no limit. */
  readonly intervalMs: number
  /** The time in which a whole burst comes back. */
  readonly toleranceMs: number
}

/** Without `perSecond` there is no limit. */
export function rateOf(perSecond: number | undefined, burst: number): Rate {
  const intervalMs = perSecond === undefined ? 0 : 1_000 / perSecond
  return { intervalMs, toleranceMs: intervalMs * Math.max(1, burst) }
}

/**
 * GCRA, the generic cell rate algorithm (ITU-T I.371): one number for the whole limit. `burst` calls may come at once,
 * then one an interval.
 */
export class RateLimit {
  #rate: Rate
  #theoreticalArrival = 0

  constructor(rate: Rate) {
    this.#rate = rate
  }

  idle(now: number): boolean {
    return this.#theoreticalArrival <= now
  }

  /** 0 where the call fits, else the milliseconds until it would; a refused call takes nothing. */
  take(now: number): number {
    const { intervalMs, toleranceMs } = this.#rate
    if (intervalMs === 0) return 0
    const arrival = Math.max(this.#theoreticalArrival, now) + intervalMs
    const excess = arrival - now - toleranceMs
    // Sums of intervals are not exact; a millionth of a millisecond is no excess.
    if (excess > 1e-6) return excess
    this.#theoreticalArrival = arrival
    return 0
  }

  /** Whether the next `take` of this moment fits. */
  fits(now: number): boolean {
    return this.#rate.intervalMs === 0 || this.remaining(now) > 0
  }

  /** How many fit at once. */
  remaining(now: number): number {
    const { intervalMs, toleranceMs } = this.#rate
    if (intervalMs === 0) return Number.POSITIVE_INFINITY
    const free = toleranceMs - Math.max(0, this.#theoreticalArrival - now)
    return Math.max(0, Math.floor(free / intervalMs + 1e-6))
  }

  /** Until a whole burst fits again. */
  wholeInMs(now: number): number {
    return Math.max(0, this.#theoreticalArrival - now)
  }

  /** Another rate from now on; what was taken stays taken. */
  change(rate: Rate, now: number): void {
    const former = this.#rate.intervalMs
    const debtMs = Math.max(0, this.#theoreticalArrival - now)
    if (former > 0) this.#theoreticalArrival = now + (debtMs / former) * rate.intervalMs
    this.#rate = rate
  }
}

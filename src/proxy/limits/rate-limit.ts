/**
 * GCRA, the generic cell rate algorithm (ITU-T I.371): one number for the whole limit. `burst` calls may come at once,
 * then one an interval.
 */
export class RateLimit {
  #intervalMs: number
  #toleranceMs: number
  #theoreticalArrival = 0

  /** Without `perSecond` there is no limit. */
  constructor(perSecond: number | undefined, burst: number) {
    this.#intervalMs = intervalOf(perSecond)
    this.#toleranceMs = this.#intervalMs * Math.max(1, burst)
  }

  get unlimited(): boolean {
    return this.#intervalMs === 0
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

  /** Whether the next `take` of this moment fits. */
  fits(now: number): boolean {
    return this.#intervalMs === 0 || this.remaining(now) > 0
  }

  /** How many fit at once. */
  remaining(now: number): number {
    if (this.#intervalMs === 0) return Number.POSITIVE_INFINITY
    const free = this.#toleranceMs - Math.max(0, this.#theoreticalArrival - now)
    return Math.max(0, Math.floor(free / this.#intervalMs + 1e-6))
  }

  /** Until a whole burst fits again. */
  wholeInMs(now: number): number {
    return Math.max(0, this.#theoreticalArrival - now)
  }

  /** Another rate from now on; what was taken stays taken. */
  change(perSecond: number | undefined, burst: number, now: number): void {
    const intervalMs = intervalOf(perSecond)
    const debtMs = Math.max(0, this.#theoreticalArrival - now)
    if (this.#intervalMs > 0)
      this.#theoreticalArrival = now + (debtMs / this.#intervalMs) * intervalMs
    this.#intervalMs = intervalMs
    this.#toleranceMs = intervalMs * Math.max(1, burst)
  }
}

function intervalOf(perSecond: number | undefined): number {
  return perSecond === undefined ? 0 : 1_000 / perSecond
}

/**
 * How many frames that bring nothing a connection may send: pings, settings, priorities, window updates, empty data, resets.
 * Each costs the sender next to nothing and us a little (the floods of 2019; CVE-2023-44487, CVE-2025-8671). The budget
 * fills up with time and with what is served, so that a busy connection and an old one never run out.
 */

export interface BudgetLimits {
  /** Frames that may come at once. */
  readonly burst: number
  /** Frames a second beyond. */
  readonly rate: number
}

/** Envoy closes at 10,000 priorities or window updates, nginx at 1,000 frames without a request. */
export const DEFAULT_FRAME_BUDGET: BudgetLimits = Object.freeze({ burst: 1_000, rate: 100 })
/** Streams that end before their time. Of browsers that navigate away, 100 at once are a lot. */
export const DEFAULT_RESET_BUDGET: BudgetLimits = Object.freeze({ burst: 200, rate: 10 })

export class FrameBudget {
  readonly #limits: BudgetLimits
  #left: number
  #at = 0

  /** `now`: milliseconds that only go forward. */
  constructor(limits: BudgetLimits, now: number) {
    this.#limits = limits
    this.#left = limits.burst
    this.#at = now
  }

  /** Whether one more may come, or so many. */
  spend(now: number, frames = 1): boolean {
    if (this.#left < frames) this.#refill(now)
    this.#left -= frames
    return this.#left >= 0
  }

  /** Something was served that so many frames may belong to. */
  earn(frames: number): void {
    this.#left = Math.min(this.#limits.burst, this.#left + frames)
  }

  /** Time is looked at only where the rest is used up: what fills up meanwhile is the same. */
  #refill(now: number): void {
    const { burst, rate } = this.#limits
    this.#left = Math.min(burst, this.#left + ((now - this.#at) / 1_000) * rate)
    this.#at = now
  }
}

/** How often to try while the mixer cannot be had, and how often to say so. */

export const FIRST_RETRY_MS = 100
const LAST_RETRY_MS = 5_000
/** While the process waits to end, a mixer that comes back should be noticed at once. */
const CLOSING_RETRY_MS = 250
const LOG_EVERY_MS = 60_000

export class MixerOutage {
  readonly #random: () => number
  readonly #firstRetryMs: number
  #failures = 0
  #retryAt = Number.NEGATIVE_INFINITY
  #toldAt = Number.NEGATIVE_INFINITY

  /** `random`: 0 up to, and without, 1. */
  constructor(random: () => number, firstRetryMs: number = FIRST_RETRY_MS) {
    this.#random = random
    this.#firstRetryMs = firstRetryMs
  }

  /** Whether the last report failed. */
  get lasts(): boolean {
    return this.#failures > 0
  }

  /** When the next attempt may be made. */
  get retryAt(): number {
    return this.#retryAt
  }

  /** A report failed; answers whether to log it. */
  failed(now: number, closing: boolean): boolean {
    const wait = Math.min(
      closing ? CLOSING_RETRY_MS : LAST_RETRY_MS,
      this.#firstRetryMs * 2 ** Math.min(this.#failures, 16),
    )
    this.#retryAt = now + wait * (0.5 + this.#random() / 2)
    const first = this.#failures === 0
    this.#failures += 1
    if (!first && now - this.#toldAt < LOG_EVERY_MS) return false
    this.#toldAt = now
    return true
  }

  ended(): void {
    this.#failures = 0
    this.#retryAt = Number.NEGATIVE_INFINITY
  }

  /** There is no time to wait: what is retried later is retried soon. */
  hurry(now: number): void {
    this.#retryAt = Math.min(this.#retryAt, now)
  }
}

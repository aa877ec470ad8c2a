/** How many charges a tenant may bring in a minute: each stays in the ledger, and a deployment is nobody to trust with its size. */
import type { Clock } from '../../core/clock.ts'

/** Of one mixer. */
export const MAX_CHARGES_A_MINUTE = 60_000
const MINUTE_MS = 60_000

export class ChargeRate {
  readonly #clock: Clock
  readonly #taken = new Map<string, number>()
  #since: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#since = clock.monotonic()
  }

  /** Takes one for `tenant`: 0, or the milliseconds until it may come again. */
  take(tenant: string): number {
    const now = this.#clock.monotonic()
    if (now - this.#since >= MINUTE_MS) {
      this.#since = now
      this.#taken.clear()
    }
    const taken = this.#taken.get(tenant) ?? 0
    if (taken >= MAX_CHARGES_A_MINUTE) return Math.max(1, this.#since + MINUTE_MS - now)
    this.#taken.set(tenant, taken + 1)
    return 0
  }
}

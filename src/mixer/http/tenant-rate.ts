/**
 * How often a tenant may bring something in a minute that stays in the ledger: the size of that is nothing to leave to a
 * deployment.
 */
import type { Clock } from '../../core/clock.ts'
import { type Answer, refusal } from './answer.ts'

/** To one mixer. */
export const MAX_A_MINUTE = 60_000
const MINUTE_MS = 60_000

export class TenantRate {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #taken = new Map<string, number>()
  #since: number

  constructor(clock: Pick<Clock, 'monotonic'>) {
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
    if (taken >= MAX_A_MINUTE) return Math.max(1, this.#since + MINUTE_MS - now)
    this.#taken.set(tenant, taken + 1)
    return 0
  }
}

export function rateLimited(waitMs: number): Answer {
  return refusal('rate_limited', {
    headers: { 'retry-after': String(Math.ceil(waitMs / 1_000)) },
  })
}

/** A rate of a tenant by its name in the configuration: one worker's share of it, and what clients are told of it. */
import { limitText, policyText, type RateFields } from './rate-fields.ts'
import { RateLimit } from './rate-limit.ts'
import type { Refusal } from './refusal.ts'

export class NamedRate {
  readonly name: string
  readonly #perSecond: number | undefined
  readonly #burst: number
  readonly #limit: RateLimit
  /** Made with the first answer that says it. */
  #policy: string | undefined

  /** `perSecond` and `burst` are those of all `workers`; without `perSecond` there is no limit. */
  constructor(
    name: string,
    { perSecond, burst }: { perSecond: number | undefined; burst: number | undefined },
    workers: number,
  ) {
    this.name = name
    this.#perSecond = perSecond
    // A second's worth, but one at least.
    this.#burst = Math.max(1, Math.ceil(burst ?? perSecond ?? 1))
    this.#limit = new RateLimit(...this.#share(workers))
  }

  get unlimited(): boolean {
    return this.#perSecond === undefined
  }

  idle(now: number): boolean {
    return this.#limit.idle(now)
  }

  /** So many share it from now on. */
  share(workers: number, now: number): void {
    this.#limit.change(...this.#share(workers), now)
  }

  #share(workers: number): [perSecond: number | undefined, burst: number] {
    const perSecond = this.#perSecond
    const burst = Math.ceil(this.#burst / workers)
    return [perSecond === undefined ? undefined : perSecond / workers, burst]
  }

  /** Takes one, or says why not. */
  take(now: number): Refusal | undefined {
    const retryAfterMs = this.#limit.take(now)
    if (retryAfterMs === 0) return undefined
    const limit = limitText(this.name, 0, retryAfterMs)
    return {
      code: 'rate_limited',
      limit: this.name,
      retryAfterMs,
      rate: { limit, policy: this.policy },
    }
  }

  /** What is left, for an answer that was not refused. This worker knows its share alone. */
  fields(now: number): RateFields {
    const limit = limitText(this.name, this.#limit.remaining(now), this.#limit.wholeInMs(now))
    return { limit, policy: this.policy }
  }

  /** A burst at once, then as much again in the time in which it comes back. */
  get policy(): string {
    const perSecond = this.#perSecond ?? 1
    const windowMs = (this.#burst / perSecond) * 1_000
    this.#policy ??= policyText({ name: this.name, quota: this.#burst, windowMs })
    return this.#policy
  }
}

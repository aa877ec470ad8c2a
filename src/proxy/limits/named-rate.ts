/** A rate of a tenant by its name in the configuration: one worker's share of it, and what clients are told of it. */
import { limitText, policyText, RateFields, wholeSeconds } from './rate-fields.ts'
import { RateLimit } from './rate-limit.ts'
import type { Refusal } from './refusal.ts'

/** Of all workers. */
export interface ConfiguredRate {
  readonly perSecond: number | undefined
  readonly burst: number | undefined
}

/** What is told of a rate, and of which. */
interface Told {
  name: string
  burst: number
  perSecond: number | undefined
  remaining: number
  seconds: number
  fields: RateFields | undefined
}

/**
 * What was told last of all. Tenants have the same limits as a rule, and those that are far from them are told the same: the text
 * is made once, and not in twenty strings a tenant. Filled again and again: near a limit each call is told something else.
 */
const lastTold: Told = {
  name: '',
  burst: 0,
  perSecond: undefined,
  remaining: 0,
  seconds: 0,
  fields: undefined,
}

export class NamedRate {
  readonly name: string
  readonly #limit: RateLimit
  #perSecond: number | undefined
  #burst: number
  /** Made with the first answer that says it and that nobody was given just before. */
  #policy: string | undefined
  /** What was told last, and of what. */
  #told: RateFields | undefined
  #remaining = 0
  #seconds = 0

  /** `perSecond` and `burst` are those of all `workers`; without `perSecond` there is no limit. */
  constructor(name: string, rate: ConfiguredRate, workers: number) {
    this.name = name
    this.#perSecond = rate.perSecond
    this.#burst = burstOf(rate)
    this.#limit = new RateLimit(...this.#share(workers))
  }

  get unlimited(): boolean {
    return this.#perSecond === undefined
  }

  idle(now: number): boolean {
    return this.#limit.idle(now)
  }

  /** Another rate from now on; what was taken stays taken. */
  change(rate: ConfiguredRate, workers: number, now: number): void {
    this.#perSecond = rate.perSecond
    this.#burst = burstOf(rate)
    this.#policy = undefined
    this.#told = undefined
    this.share(workers, now)
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
    const rate = this.#tell(0, wholeSeconds(retryAfterMs))
    return { code: 'rate_limited', limit: this.name, retryAfterMs, rate }
  }

  /** What is left, for an answer that was not refused. This worker knows its share alone. */
  fields(now: number): RateFields {
    return this.#tell(this.#limit.remaining(now), wholeSeconds(this.#limit.wholeInMs(now)))
  }

  /** Whoever is far from a limit is told the same each time, as is whoever is beyond it. */
  #tell(remaining: number, seconds: number): RateFields {
    const told = this.#told
    if (told !== undefined && remaining === this.#remaining && seconds === this.#seconds)
      return told
    this.#remaining = remaining
    this.#seconds = seconds
    this.#told = this.#fieldsOf(remaining, seconds)
    return this.#told
  }

  #fieldsOf(remaining: number, seconds: number): RateFields {
    const last = lastTold
    if (
      last.fields !== undefined &&
      last.remaining === remaining &&
      last.seconds === seconds &&
      last.burst === this.#burst &&
      last.perSecond === this.#perSecond &&
      last.name === this.name
    )
      return last.fields
    last.name = this.name
    last.burst = this.#burst
    last.perSecond = this.#perSecond
    last.remaining = remaining
    last.seconds = seconds
    last.fields = new RateFields(limitText(this.name, remaining, seconds), this.policy)
    return last.fields
  }

  /** A burst at once, then as much again in the time in which it comes back. */
  get policy(): string {
    const perSecond = this.#perSecond ?? 1
    const windowMs = (this.#burst / perSecond) * 1_000
    this.#policy ??= policyText({ name: this.name, quota: this.#burst, windowMs })
    return this.#policy
  }
}

/** A second's worth where nothing is said, but one at least. */
function burstOf({ perSecond, burst }: ConfiguredRate): number {
  return Math.max(1, Math.ceil(burst ?? perSecond ?? 1))
}

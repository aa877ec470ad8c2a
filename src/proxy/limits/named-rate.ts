/**
 * A rate by its name in the configuration: one worker's share of it, and what clients are told of it. It is the same object for
 * all tenants that have the same rate; what each of them has taken of it is in a `RateLimit` of its own.
 */
import { limitText, policyText, RateFields, wholeSeconds } from './rate-fields.ts'
import { type Rate, type RateLimit, rateOf } from './rate-limit.ts'
import type { Refusal } from './refusal.ts'

/** Of all workers. */
export interface ConfiguredRate {
  readonly perSecond: number
  /** A second's worth by default. */
  readonly burst?: number | undefined
}

/** What is left, and until when. */
interface Told {
  readonly remaining: number
  readonly seconds: number
  readonly fields: RateFields
}

/** A power of two. */
const SLOTS = 64

function slotOf(remaining: number, seconds: number): number {
  return (remaining + seconds) & (SLOTS - 1)
}

export class NamedRate implements Rate {
  readonly name: string
  readonly intervalMs: number
  readonly toleranceMs: number
  readonly #configured: ConfiguredRate
  /** Made with the first answer that says it. */
  #policy: string | undefined
  /**
   * What was told before, by `slotOf`: clients that are far from their limits are told the same, and the text is made once, not in
   * twenty strings a tenant. Near a limit each call is told something else.
   */
  readonly #told: (Told | undefined)[] = Array.from({ length: SLOTS })

  constructor(name: string, configured: ConfiguredRate, workers: number) {
    const { intervalMs, toleranceMs } = rateShareOf(configured, workers)
    this.name = name
    this.intervalMs = intervalMs
    this.toleranceMs = toleranceMs
    this.#configured = configured
  }

  /** For who has to wait for so long. */
  refusal(retryAfterMs: number): Refusal {
    const rate = this.#tell(0, wholeSeconds(retryAfterMs))
    return { code: 'rate_limited', limit: this.name, retryAfterMs, rate }
  }

  /** What is left of `limit`, for an answer that was not refused. This worker knows its share alone. */
  fields(limit: RateLimit, now: number): RateFields {
    return this.#tell(limit.remaining(now), wholeSeconds(limit.wholeInMs(now)))
  }

  #tell(remaining: number, seconds: number): RateFields {
    const slot = slotOf(remaining, seconds)
    const told = this.#told[slot]
    if (told !== undefined && told.remaining === remaining && told.seconds === seconds)
      return told.fields
    const fields = new RateFields(limitText(this.name, remaining, seconds), this.policy)
    this.#told[slot] = { remaining, seconds, fields }
    return fields
  }

  /** A burst at once, then as much again in the time in which it comes back. */
  get policy(): string {
    const quota = burstOf(this.#configured)
    const windowMs = (quota / this.#configured.perSecond) * 1_000
    this.#policy ??= policyText({ name: this.name, quota, windowMs })
    return this.#policy
  }
}

/** What one of so many workers lets through. */
export function rateShareOf(configured: ConfiguredRate, workers: number): Rate {
  return rateOf(configured.perSecond / workers, Math.ceil(burstOf(configured) / workers))
}

/** One at least. */
function burstOf({ perSecond, burst }: ConfiguredRate): number {
  return Math.max(1, Math.ceil(burst ?? perSecond))
}

/**
 * What a client is told of a rate: `ratelimit` and `ratelimit-policy` (draft-ietf-httpapi-ratelimit-headers-10), which are
 * lists of structured fields (RFC 9651), one item a policy.
 */
import { HeaderField, INDEXED } from '../../codec/http2/header-field.ts'
import { flatCopy } from '../../codec/latin1.ts'

/** The largest integer of structured fields (RFC 9651 §3.3.1). */
const MOST = 999_999_999_999_999

export class RateFields {
  /** Value of `ratelimit`: what is left of it, and until when. */
  readonly limit: string
  /** Value of `ratelimit-policy`: what there is in all. */
  readonly policy: string
  #lines = ''
  /** Whether they are one text in memory, and not a tree of their parts. */
  #flat = false
  #list: readonly HeaderField[] | undefined

  constructor(limit: string, policy: string) {
    this.limit = limit
    this.policy = policy
  }

  /**
   * Of HTTP/1.1, each with its CRLF. Who is asked a second time will be asked again: a tree of parts would be walked with each
   * answer, a line of the CPU's cache for each part of it.
   */
  get lines(): string {
    if (this.#lines === '') {
      this.#lines = `ratelimit: ${this.limit}\r\nratelimit-policy: ${this.policy}\r\n`
    } else if (!this.#flat) {
      this.#flat = true
      this.#lines = flatCopy(this.#lines) ?? this.#lines
    }
    return this.#lines
  }

  /** Of HTTP/2. */
  get list(): readonly HeaderField[] {
    this.#list ??= [
      new HeaderField('ratelimit', this.limit, INDEXED),
      new HeaderField('ratelimit-policy', this.policy, INDEXED),
    ]
    return this.#list
  }
}

export interface RatePolicy {
  /** In ASCII without `"` and `\`. */
  readonly name: string
  /** How much there is in a window. */
  readonly quota: number
  readonly windowMs: number
  /** What is counted, where it is not requests. */
  readonly unit?: 'content-bytes' | undefined
}

/** The value of `ratelimit-policy`. A window is in whole seconds, and not shorter than it is: nobody is promised too much. */
export function policyText({ name, quota, windowMs, unit }: RatePolicy): string {
  const units = unit === undefined ? '' : `;qu="${unit}"`
  return `"${name}";q=${Math.min(MOST, quota)}${units};w=${wholeSeconds(windowMs)}`
}

/** The value of `ratelimit`: `remaining` of the policy `name` is left, and there is more in `seconds`. */
export function limitText(name: string, remaining: number, seconds: number): string {
  return `"${name}";r=${remaining};t=${seconds}`
}

/** Of a reset in `ms`: it is not promised too early. */
export function wholeSeconds(ms: number): number {
  return Math.ceil(ms / 1_000)
}

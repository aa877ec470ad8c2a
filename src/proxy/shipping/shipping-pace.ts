/**
 * When the next report may go. Where little is used it goes each second; where it grows, it is gathered for longer, so that
 * all reports of a proxy together stay below a megabyte a minute: the longer, the more a record sums up.
 */

/** A little less than the poll of the folder twice, so that it is each second poll. */
export const SHORTEST_MS = 900
/** The longest that usage is held back by this. */
const LONGEST_MS = 30_000
const BYTES_PER_MS = 12_000 / 1_000
/** What HTTP adds to a report and its answer. */
const OVERHEAD_BYTES = 600

export class ShippingPace {
  readonly #shortestMs: number
  /** Up to when what was sent is paid for. */
  #paidUntil = Number.NEGATIVE_INFINITY

  constructor(shortestMs: number = SHORTEST_MS) {
    this.#shortestMs = shortestMs
  }

  /** A report with a body of so many bytes was sent; returns when the next one of its journal may go. */
  sent(bytes: number, now: number): number {
    const cost = (bytes + OVERHEAD_BYTES) / BYTES_PER_MS
    this.#paidUntil = Math.min(Math.max(this.#paidUntil, now) + cost, now + LONGEST_MS)
    return Math.max(this.#paidUntil, now + this.#shortestMs)
  }
}

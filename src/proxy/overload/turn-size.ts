/**
 * How many calls one turn of the event loop begins, so that turns take as long as they should. A fixed number is no good: a call
 * of HTTP/1.1 takes some 19 µs, one of many streams on a connection 5.5 if they come together, and 8.9 in turns of 32.
 */

/** A turn that took this many times too long or too short changes the size by as much: one long collection of garbage is no trend. */
const FASTEST_SHRINK = 0.5
const FASTEST_GROWTH = 1.25
const FEWEST = 8
const MOST = 2_048
const AT_FIRST = 32

export class TurnSize {
  readonly #targetMs: number
  #calls = AT_FIRST

  /** `targetMs`: how long a turn should take. */
  constructor(targetMs: number) {
    this.#targetMs = targetMs
  }

  /** Calls that the next turn begins, about. */
  get calls(): number {
    return Math.floor(this.#calls)
  }

  /** A turn has taken `ms`, all that happened in it, and began as many calls as it might (`full`), or there were no more. */
  observe(ms: number, full: boolean): void {
    const change = Math.min(FASTEST_GROWTH, Math.max(FASTEST_SHRINK, this.#targetMs / ms))
    // Who had less to do than it might has not shown that it can do more.
    if (change > 1 && !full) return
    this.#calls = Math.min(MOST, Math.max(FEWEST, this.#calls * change))
  }
}

/**
 * The time of the present turn of the event loop. A call asks for the time a dozen times (1.5 % of its CPU by perf); what
 * happens in one turn may happen at one moment. Whoever begins a turn by an event of a socket calls `refresh`; a timer
 * does so too, so that time is never staler than that.
 */
import type { Clock } from '../core/clock.ts'

export class TurnClock implements Clock {
  readonly #clock: Clock
  #monotonic = 0
  /** Of the time of day over the monotonic one. */
  #offset = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.synchronize()
  }

  now(): number {
    return Math.floor(this.#offset + this.#monotonic)
  }

  monotonic(): number {
    return this.#monotonic
  }

  refresh(): void {
    this.#monotonic = this.#clock.monotonic()
  }

  /** The same, and looks at the time of day, which may jump. In between it goes by the monotonic clock: one question, not two. */
  synchronize(): void {
    this.refresh()
    this.#offset = this.#clock.now() - this.#monotonic
  }
}

/**
 * The time of the present turn of the event loop. A call asks for the time a dozen times (1.5 % of its CPU by perf); what
 * happens in one turn may happen at one moment. Whoever begins a turn by an event of a socket calls `refresh`; a timer
 * does so too, so that time is never staler than that.
 */
import type { Clock } from '../core/clock.ts'

export class TurnClock implements Clock {
  readonly #clock: Clock
  #now: number
  #monotonic: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#now = clock.now()
    this.#monotonic = clock.monotonic()
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#monotonic
  }

  refresh(): void {
    this.#now = this.#clock.now()
    this.#monotonic = this.#clock.monotonic()
  }
}

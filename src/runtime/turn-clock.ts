/**
 * The time of the present turn of the event loop. A call asks for the time a dozen times (1.5 % of its CPU by perf); what
 * happens in one turn may happen at one moment. What comes by a socket calls `arrived`, and whatever else begins a turn, a
 * timer above all, `refresh`: so time is never staler than that.
 */
import type { Clock } from '../core/clock.ts'

export interface Turn {
  /** Whether something of this turn has looked at the clock, and waits for its end. */
  readonly underWay: boolean
}

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

  /** Something has come. What else comes in a turn that is under way was there with it: one look for all (0.4 % of a call). */
  arrived({ underWay }: Turn): void {
    if (!underWay) this.refresh()
  }

  /** The same, and looks at the time of day, which may jump. In between it goes by the monotonic clock: one question, not two. */
  synchronize(): void {
    this.refresh()
    this.#offset = this.#clock.now() - this.#monotonic
  }
}

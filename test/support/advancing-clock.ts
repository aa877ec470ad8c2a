/** The clock of the machine, ahead of it by as much as a test says: what happens once a minute happens now. */
import type { Clock } from '../../src/core/clock.ts'
import { systemClock } from '../../src/runtime/clock.ts'

export class AdvancingClock implements Clock {
  #aheadMs = 0

  advance(ms: number): void {
    this.#aheadMs += ms
  }

  now(): number {
    return systemClock.now() + this.#aheadMs
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#aheadMs
  }
}

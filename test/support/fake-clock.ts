/** A clock that moves when the test says so. */
import type { Clock } from '../../src/core/clock.ts'

export class FakeClock implements Clock {
  ms: number

  constructor(ms = 1_000_000) {
    this.ms = ms
  }

  now(): number {
    return this.ms
  }

  monotonic(): number {
    return this.ms
  }
}

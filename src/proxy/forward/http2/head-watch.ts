/**
 * Watches that what a client of HTTP/2 begins to say it also ends: its greeting, a frame, a header block. An octet now and
 * then would hold the connection for as long as it likes. DATA is not watched here: the body of each call is, by itself.
 */
import { Timer, type TimerOwner } from '../../../core/timer-wheel.ts'
import type { WorkerContext } from '../../worker/context.ts'

/** What it looks at; of a session. */
export interface Progress {
  /** Whether something has begun and not ended. */
  readonly midway: boolean
  /** Streams so far: where there are new ones, it is not the same that is midway. */
  readonly begun: number
}

export class HeadWatch implements TimerOwner {
  readonly #context: WorkerContext
  readonly #progress: Progress
  readonly #late: () => void
  readonly #timer = new Timer(this)
  #midway = false
  #since = 0
  #begun = 0

  constructor(context: WorkerContext, progress: Progress, late: () => void) {
    this.#context = context
    this.#progress = progress
    this.#late = late
  }

  /** Something has arrived, or nothing yet. */
  look(): void {
    if (!this.#progress.midway) this.#midway = false
    else if (!this.#midway) this.#begin()
  }

  #begin(): void {
    const { clock } = this.#context
    this.#midway = true
    this.#since = clock.monotonic()
    this.#begun = this.#progress.begun
    // One that runs from an earlier time is not moved, which would cost more: it looks again.
    if (!this.#timer.armed) this.#arm(this.#context.config.timeouts.header)
  }

  #arm(ms: number): void {
    const { wheel, clock } = this.#context
    wheel.arm(this.#timer, ms, clock.monotonic())
  }

  timerExpired(): void {
    if (!this.#midway) return
    const { clock, config } = this.#context
    if (this.#begun !== this.#progress.begun) {
      this.#begin()
      return
    }
    const left = config.timeouts.header - (clock.monotonic() - this.#since)
    if (left > 0) this.#arm(left)
    else this.#late()
  }

  close(): void {
    this.#context.wheel.cancel(this.#timer)
  }
}

/**
 * Watches that what a client of HTTP/2 begins to say it also ends: its greeting, a frame, a header block. An octet now and
 * then would hold the connection for as long as it likes. DATA is not watched here: the body of each call is, by itself.
 */
import { Timer, type TimerOwner, type TimerWheel } from '../../../core/timer-wheel.ts'

/** What it looks at; of a session. */
export interface Progress {
  /** Whether something has begun and not ended. */
  readonly midway: boolean
  /** Streams so far: where there are new ones, it is not the same that is midway. */
  readonly begun: number
}

interface HeadWatchContext {
  readonly clock: { monotonic(): number }
  readonly wheel: TimerWheel
}

export interface HeadWatchOptions {
  /** How long it may take, in milliseconds. */
  readonly time: number
  /** It has taken longer. */
  readonly late: () => void
}

export class HeadWatch implements TimerOwner {
  readonly #context: HeadWatchContext
  readonly #progress: Progress
  readonly #options: HeadWatchOptions
  readonly #timer = new Timer(this)
  #midway = false
  #since = 0
  #begun = 0

  constructor(context: HeadWatchContext, progress: Progress, options: HeadWatchOptions) {
    this.#context = context
    this.#progress = progress
    this.#options = options
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
    if (!this.#timer.armed) this.#arm(this.#options.time)
  }

  #arm(ms: number): void {
    const { wheel, clock } = this.#context
    wheel.arm(this.#timer, ms, clock.monotonic())
  }

  timerExpired(): void {
    if (!this.#midway) return
    if (this.#begun !== this.#progress.begun) {
      this.#begin()
      return
    }
    const left = this.#since + this.#options.time - this.#context.clock.monotonic()
    if (left > 0) this.#arm(left)
    else this.#options.late()
  }

  close(): void {
    this.#context.wheel.cancel(this.#timer)
  }
}

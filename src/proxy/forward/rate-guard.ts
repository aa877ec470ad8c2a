/**
 * Watches that a transfer moves at no less than a rate: a peer that sends, or takes, a byte now and then holds a place for
 * as long as it likes (slowloris, slow body, slow read). It looks once a window, on the worker's timer wheel.
 */
import { Timer, type TimerOwner } from '../../core/timer-wheel.ts'
import type { Outbox } from '../wire/outbox.ts'
import type { WorkerContext } from '../worker/context.ts'

export interface Transfer {
  /** Bytes that have moved since the beginning of anything. */
  moved(): number
  /** Whether it is us, or the other side, who holds it up at the moment: the peer is not to blame then. */
  heldUp(): boolean
  /** A window has passed with too few; the guard has stopped. */
  tooSlow(): void
}

export class RateGuard implements TimerOwner {
  readonly #context: WorkerContext
  readonly #transfer: Transfer
  readonly #windowMs: number
  readonly #leastBytes: number
  readonly #timer = new Timer(this)
  #mark = 0
  #excused = false

  /** `rate` in bytes a second, 0 for none: then it never finds fault. */
  constructor(context: WorkerContext, rate: number, transfer: Transfer) {
    this.#context = context
    this.#transfer = transfer
    this.#windowMs = context.config.minimumRate.window
    this.#leastBytes = (rate * this.#windowMs) / 1_000
  }

  /** Begins to watch, or goes on. */
  watch(): void {
    if (this.#timer.armed || this.#leastBytes === 0) return
    this.#excused = false
    this.#nextWindow()
  }

  /** It was held up in the present window, for however short a time. */
  excuse(): void {
    this.#excused = true
  }

  stop(): void {
    if (this.#timer.armed) this.#context.wheel.cancel(this.#timer)
  }

  timerExpired(): void {
    const moved = this.#transfer.moved() - this.#mark
    if (moved < this.#leastBytes && !this.#excused && !this.#transfer.heldUp()) {
      this.#transfer.tooSlow()
      return
    }
    this.#excused = false
    this.#nextWindow()
  }

  #nextWindow(): void {
    const { wheel, clock } = this.#context
    this.#mark = this.#transfer.moved()
    wheel.arm(this.#timer, this.#windowMs, clock.monotonic())
  }
}

/** Of a client that is to take what `outbox` has for it. */
export function readerGuard(
  context: WorkerContext,
  outbox: Pick<Outbox, 'total' | 'unsent'>,
  tooSlow: () => void,
): RateGuard {
  return new RateGuard(context, context.config.minimumRate.response, {
    moved: () => outbox.total - outbox.unsent,
    heldUp: () => false,
    tooSlow,
  })
}

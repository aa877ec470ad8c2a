/**
 * Holds the calls of one connection to the bandwidth of their tenant: who sends too fast is not read for as long as the
 * account says.
 */
import { Timer, type TimerOwner } from '../../core/timer-wheel.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { UpstreamCall } from './upstream-call.ts'

/** The connection from downstream. */
export interface PacedDownstream {
  readonly context: WorkerContext
  /** Stops or resumes reading; what was read is not used meanwhile either. */
  pauseForPace(paused: boolean): void
  pump(): void
  /** The deployment may be read again. */
  upstreamFree(): void
}

export class BandwidthPause implements TimerOwner {
  /** Whether the deployment is not read because of it. */
  holdsUpstream = false
  readonly #downstream: PacedDownstream
  #timer: Timer | undefined

  constructor(downstream: PacedDownstream) {
    this.#downstream = downstream
  }

  /** The client rests for `ms`. */
  holdDownstream(ms: number): void {
    this.#downstream.pauseForPace(true)
    this.#arm(ms)
  }

  /** The deployment rests for `ms`; the caller stops reading. */
  holdUpstream(ms: number, upstream: UpstreamCall | undefined): void {
    this.holdsUpstream = true
    upstream?.staySmall()
    this.#arm(ms)
  }

  #arm(ms: number): void {
    const { wheel, clock } = this.#downstream.context
    this.#timer ??= new Timer(this)
    wheel.arm(this.#timer, ms, clock.monotonic())
  }

  cancel(): void {
    this.holdsUpstream = false
    if (this.#timer) this.#downstream.context.wheel.cancel(this.#timer)
  }

  timerExpired(): void {
    this.#downstream.pauseForPace(false)
    this.#downstream.pump()
    if (!this.holdsUpstream) return
    this.holdsUpstream = false
    this.#downstream.upstreamFree()
  }
}

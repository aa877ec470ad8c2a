/** The clocks of a caller: what it waits for, how long the whole call may take, and how fast its client must be. */
import { Timer, type TimerOwner } from '../../core/timer-wheel.ts'
import type { WorkerContext } from '../worker/context.ts'
import { BandwidthPause, type PacedDownstream } from './bandwidth-pause.ts'
import type { Exchange } from './exchange.ts'
import { RateGuard } from './rate-guard.ts'
import type { UpstreamCall } from './upstream-call.ts'

/** What the timer is waiting for: the first five are the call's, the others those of a connection without one. */
export type Waiting =
  | 'bandwidth'
  | 'body'
  | 'response'
  | 'answer'
  | 'tunnel'
  | 'idle'
  | 'header'
  | 'linger'
  | 'penalty'

export interface WatchedCaller extends PacedDownstream {
  readonly context: WorkerContext
  /** Of the call that is under way. */
  readonly exchange: Exchange
  /** Whether the client takes no more of the answer. */
  readonly blocked: boolean
  /** Why no more of the request is read. */
  readonly pausedByPace: boolean
  readonly pausedByUpstream: boolean
  readonly paused: boolean
  /** The time of something that is no call's is over. */
  late(what: Waiting): void
}

export class CallWatch implements TimerOwner {
  waiting: Waiting = 'idle'
  readonly #caller: WatchedCaller
  readonly #timer: Timer
  /** Of the whole call; made where there is such a limit. */
  #deadline: Timer | undefined
  /** Of a body that is on its way; made when there is one. */
  #upload: RateGuard | undefined
  /** Made when the tenant's bandwidth bites for the first time. */
  #bandwidth: BandwidthPause | undefined

  constructor(caller: WatchedCaller) {
    this.#caller = caller
    this.#timer = new Timer(this)
  }

  /** The next thing has to happen within `ms`. */
  wait(what: Waiting, ms: number): void {
    const { wheel, clock } = this.#caller.context
    this.waiting = what
    wheel.arm(this.#timer, ms, clock.monotonic())
  }

  /** The stream of the call is over: nothing is waited for, and what it has used of a bandwidth holds up no other one, which may be another tenant's. */
  rest(): void {
    this.#caller.context.wheel.suspend(this.#timer)
    this.#bandwidth?.cancel()
  }

  timerExpired(): void {
    const { exchange } = this.#caller
    switch (this.waiting) {
      case 'bandwidth':
        exchange.bandwidthPaid()
        return
      case 'body':
        this.#bodyLate()
        return
      case 'response':
        exchange.fail('upstream_timeout')
        return
      case 'answer':
        // Begun and not gone on: held up by a client that takes nothing, or by the deployment.
        exchange.fail(this.#caller.blocked ? 'read_too_slow' : 'upstream_timeout')
        return
      case 'tunnel':
        exchange.fail('idle_timeout')
        return
      case 'idle':
      case 'header':
      case 'linger':
      case 'penalty':
        this.#caller.late(this.waiting)
    }
  }

  /** No more of a body came: whose fault that is depends on who held it up. */
  #bodyLate(): void {
    const { context, exchange, pausedByPace, pausedByUpstream } = this.#caller
    if (pausedByPace) this.wait('body', context.config.timeouts.body)
    else exchange.fail(pausedByUpstream ? 'upstream_timeout' : 'body_timeout')
  }

  /** A call begins, and with it the time that it may take; `ownMs` is what it allows itself, or 0. */
  beginDeadline(ownMs: number): void {
    const { wheel, clock, config } = this.#caller.context
    const { call } = config.timeouts
    if (call === 0 && ownMs === 0) return
    this.#deadline ??= new Timer({
      timerExpired: () => this.#caller.exchange.fail('call_timeout'),
    })
    const ms = call === 0 || ownMs === 0 ? call + ownMs : Math.min(call, ownMs)
    wheel.arm(this.#deadline, ms, clock.monotonic())
  }

  /** Nothing of the call has to happen in time any more. */
  callEnds(): void {
    this.endDeadline()
    this.unwatchUpload()
  }

  endDeadline(): void {
    if (this.#deadline !== undefined) this.#caller.context.wheel.cancel(this.#deadline)
  }

  /** A body is on its way, and more of it is wanted. */
  watchUpload(): void {
    const caller = this.#caller
    const { context } = caller
    this.#upload ??= new RateGuard(context, context.config.minimumRate.request, {
      moved: () => caller.exchange.bodyBytes,
      heldUp: () => caller.paused,
      tooSlow: () => caller.exchange.fail('body_too_slow'),
    })
    this.#upload.watch()
  }

  unwatchUpload(): void {
    this.#upload?.stop()
  }

  /** That nothing comes is not the client's fault for now. */
  excuseUpload(): void {
    this.#upload?.excuse()
  }

  /** The client rests for `ms`, by the bandwidth of its tenant. */
  holdDownstream(ms: number): void {
    if (ms < 1) return
    this.#bandwidth ??= new BandwidthPause(this.#caller)
    this.#bandwidth.holdDownstream(ms)
  }

  /** The deployment rests for `ms`. */
  holdUpstream(ms: number, upstream: UpstreamCall | undefined): void {
    this.#bandwidth ??= new BandwidthPause(this.#caller)
    this.#bandwidth.holdUpstream(ms, upstream)
  }

  /** The call is over: what it has had beyond a bandwidth is its tenant's to pay, and the connection may carry others. */
  endPace(): void {
    if (this.#bandwidth === undefined) return
    this.#bandwidth.cancel()
    this.#caller.pauseForPace(false)
  }

  get holdsUpstream(): boolean {
    return this.#bandwidth?.holdsUpstream ?? false
  }

  /** There is nothing more to watch, ever. */
  close(): void {
    this.#caller.context.wheel.cancel(this.#timer)
    this.endDeadline()
    this.#upload?.stop()
    this.#bandwidth?.cancel()
  }
}

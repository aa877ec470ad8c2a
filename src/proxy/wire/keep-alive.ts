/**
 * Finds out whether the other end of a quiet HTTP/2 connection is still there: a machine that lost its power says nothing,
 * and neither does a middlebox that has forgotten the connection. Any octet that arrives is a sign of life and costs a field;
 * where none has come for a while the other end is asked by PING (RFC 9113 §6.7).
 */
import { Timer, type TimerOwner, type TimerWheel } from '../../core/timer-wheel.ts'

/** A PING of the keep-alive, as its answer brings it back. */
export const KEEP_ALIVE_PING: Buffer = Buffer.from('amt-live', 'latin1')

/** Servers of gRPC close a connection at the third PING in five minutes in which they sent nothing of a call. */
export const PINGS_WITHOUT_CALLS = 2

/** Connections that were made together do not end together. */
const JITTER = 0.1

/** An age, give or take a tenth; `random` is 0 up to, and without, 1. */
export function spread(ms: number, random: number): number {
  return ms * (1 - JITTER + 2 * JITTER * random)
}

/** The connection that is watched. */
export interface WatchedPeer {
  /** Whether what it says would be heard: not while we do not read, nor while it has yet to take what we have sent. */
  readonly audible: boolean
  /** Sends `KEEP_ALIVE_PING`. */
  ping(): void
  /** It has not answered in time; nothing more is asked. */
  vanished(): void
}

export interface KeepAliveOptions {
  /** ms of silence after which it is asked; 0 is never. */
  readonly interval: number
  /** ms that an answer may take. */
  readonly timeout: number
  /** PINGs that are sent at most until `called`; without a bound by default. */
  readonly most?: number
}

export interface KeepAliveDeps {
  readonly wheel: TimerWheel
  readonly clock: { monotonic(): number }
}

export class KeepAlive implements TimerOwner {
  readonly #deps: KeepAliveDeps
  readonly #peer: WatchedPeer
  readonly #interval: number
  readonly #timeout: number
  readonly #most: number
  readonly #timer = new Timer(this)
  #heardAt: number
  /** When it was asked; undefined where no answer is awaited. */
  #askedAt: number | undefined
  #pings = 0

  /** Watches at once. */
  constructor(deps: KeepAliveDeps, peer: WatchedPeer, options: KeepAliveOptions) {
    this.#deps = deps
    this.#peer = peer
    this.#interval = options.interval
    this.#timeout = options.timeout
    this.#most = options.most ?? Number.POSITIVE_INFINITY
    this.#heardAt = deps.clock.monotonic()
    if (this.#interval > 0) this.#wait(this.#interval)
  }

  /** Something has arrived. Called for every arrival. */
  heard(now: number): void {
    this.#heardAt = now
  }

  /** Something of a call has arrived: it may be asked again. */
  called(): void {
    this.#pings = 0
  }

  close(): void {
    this.#deps.wheel.cancel(this.#timer)
  }

  timerExpired(): void {
    const now = this.#deps.clock.monotonic()
    if (!this.#peer.audible) this.#heardAt = now
    const askedAt = this.#askedAt
    const rest = this.#heardAt + this.#interval - now
    if (askedAt !== undefined && this.#heardAt < askedAt) {
      this.#peer.vanished()
      return
    }
    this.#askedAt = undefined
    if (rest > 0) this.#wait(rest)
    else if (this.#pings >= this.#most) this.#wait(this.#interval)
    else this.#ask(now)
  }

  #ask(now: number): void {
    this.#askedAt = now
    this.#pings++
    this.#wait(this.#timeout)
    this.#peer.ping()
  }

  #wait(ms: number): void {
    this.#deps.wheel.arm(this.#timer, ms, this.#deps.clock.monotonic())
  }
}

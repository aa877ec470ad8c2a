/**
 * The polite end of a client's connection, in two steps (RFC 9113 §6.8). First the client is told to open no more streams,
 * with the largest stream there can be as the last one: those that are on their way are still served. A round trip later,
 * when the answer to a PING behind it has come, no more can be on their way, and the client is told which the last one
 * was. So no call is lost, and none is in doubt.
 */
import { Timer, type TimerOwner } from '../../../core/timer-wheel.ts'
import { type KeepAliveDeps, spread } from '../../wire/keep-alive.ts'

/** The PING between the steps. */
export const FAREWELL_PING: Buffer = Buffer.from('amt-last', 'latin1')

/** The connection that ends; `ServerSession` has the steps. */
export interface Departing {
  announceEnd(): void
  ping(octets: Buffer): void
  endAfterStreams(): void
}

/** `timeout`: ms after which the second step comes without the answer; `age`: ms after which it begins by itself, 0 is never. */
export interface FarewellOptions {
  readonly timeout: number
  readonly age: number
  /** Calls after which it begins by itself; 0 is never. */
  readonly streams: number
  /** A step was taken, by time or by an answer: there is something to send, and the connection may be over. */
  readonly moved: () => void
}

export class Farewell implements TimerOwner {
  readonly #deps: KeepAliveDeps & { readonly random: () => number }
  readonly #session: Departing
  readonly #options: FarewellOptions
  readonly #timer = new Timer(this)
  #step: 'none' | 'announced' | 'said' = 'none'

  constructor(
    deps: KeepAliveDeps & { readonly random: () => number },
    session: Departing,
    options: FarewellOptions,
  ) {
    this.#deps = deps
    this.#session = session
    this.#options = options
    const { age } = options
    if (age > 0) this.#wait(spread(age, deps.random()))
  }

  /** Both steps are done: the connection may be closed as soon as its streams are over. */
  get said(): boolean {
    return this.#step === 'said'
  }

  /** First step; nothing happens where it was taken before. What it writes has yet to be sent. */
  begin(): void {
    if (this.#step !== 'none') return
    this.#step = 'announced'
    this.#session.announceEnd()
    this.#session.ping(FAREWELL_PING)
    this.#wait(this.#options.timeout)
  }

  /** So many calls were begun on the connection. */
  began(calls: number): void {
    const { streams } = this.#options
    if (streams > 0 && calls >= streams) this.begin()
  }

  /** A PING was answered. */
  ponged(octets: Buffer): void {
    if (this.#step === 'announced' && octets.equals(FAREWELL_PING)) this.finish()
  }

  /** Second step, whether the first was taken or not; nothing happens where it was. */
  finish(): void {
    if (this.#step === 'said') return
    this.#step = 'said'
    this.#deps.wheel.cancel(this.#timer)
    this.#session.endAfterStreams()
    this.#options.moved()
  }

  timerExpired(): void {
    if (this.#step !== 'none') this.finish()
    else {
      this.begin()
      this.#options.moved()
    }
  }

  close(): void {
    this.#deps.wheel.cancel(this.#timer)
  }

  #wait(ms: number): void {
    this.#deps.wheel.arm(this.#timer, ms, this.#deps.clock.monotonic())
  }
}

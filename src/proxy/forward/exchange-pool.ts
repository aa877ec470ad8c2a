/**
 * The exchanges of a worker: a connection has one for as long as a call of it is under way. So there are as many as there
 * are calls, not connections (2.3 KB each), and those in use are the ones that are still in the cache of the CPU.
 */
import type { WorkerContext } from '../worker/context.ts'
import type { Caller } from './caller.ts'
import { Exchange } from './exchange.ts'

/** Kept for the next calls; more are made as they are needed. */
const MAX_FREE = 1_024

export class ExchangePool {
  readonly #context: () => WorkerContext
  readonly #free: Exchange[] = []
  #idle: Exchange | undefined
  #most = MAX_FREE

  /** `context` is asked with the first connection. */
  constructor(context: () => WorkerContext) {
    this.#context = context
  }

  /** Stands for the exchange of a connection without a call: it is never active, and whatever it is told changes nothing. */
  get idle(): Exchange {
    this.#idle ??= new Exchange(this.#context())
    return this.#idle
  }

  /** One that serves `caller` from now on. */
  take(caller: Caller): Exchange {
    const exchange = this.#free.pop() ?? new Exchange(this.#context())
    exchange.serve(caller)
    return exchange
  }

  /** Lets go of those that are kept and keeps no more, or does so again. */
  shrink(on: boolean): void {
    this.#most = on ? 0 : MAX_FREE
    this.#free.length = 0
  }

  /** Takes it back; its call is over. */
  give(exchange: Exchange): void {
    if (this.#free.length < this.#most) this.#free.push(exchange)
  }
}

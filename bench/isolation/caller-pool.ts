/** Kept connections of one client, for calls that do not wait for one another. */
import { Caller } from '../harness/caller.ts'

/** Until a connection that does not come has failed. */
const CONNECT_MS = 5_000

export interface CallerPoolOptions {
  /** Of the proxy, on 127.0.0.1. */
  readonly port: number
  /** Address that they come from. */
  readonly from: string
  readonly most: number
}

export class CallerPool {
  readonly #options: CallerPoolOptions
  readonly #free: Caller[] = []
  readonly #callers = new Set<Caller>()
  #opening = 0

  constructor(options: CallerPoolOptions) {
    this.#options = options
  }

  /** One that is free, else a new one. Rejected where `most` are in use, or none can be had. */
  async take(): Promise<Caller> {
    for (;;) {
      const caller = this.#free.pop()
      if (caller !== undefined) return caller
      if (this.#callers.size + this.#opening >= this.#options.most)
        throw new Error('no connection is free')
      await this.#open()
    }
  }

  /** Gives back what was taken: to be used again, or to be closed. */
  put(caller: Caller, isGood: boolean): void {
    if (isGood) {
      this.#free.push(caller)
      return
    }
    this.#callers.delete(caller)
    void caller.close()
  }

  /** Also those in use. */
  async close(): Promise<void> {
    const callers = [...this.#callers]
    this.#callers.clear()
    this.#free.length = 0
    await Promise.all(callers.map(async caller => caller.close()))
  }

  async #open(): Promise<void> {
    const { port, from } = this.#options
    this.#opening += 1
    try {
      const caller = await Caller.open({ tls: undefined }, port, { from, patienceMs: CONNECT_MS })
      this.#callers.add(caller)
      this.#free.push(caller)
    } finally {
      this.#opening -= 1
    }
  }
}

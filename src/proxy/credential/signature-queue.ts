/**
 * Signatures are checked on the threads of the crypto pool, off the event loop. What waits for them waits here, a queue a
 * source, and the sources take turns: whoever sends many tokens waits behind their own, and a token of anybody else is
 * next. How much may wait is the business of `CheckAdmission`.
 */
export class SignatureQueue {
  readonly #maxRunning: number
  /** By source. The first source is the next to be served; it goes to the end with each turn. */
  readonly #waiting = new Map<string, (() => void)[]>()
  #running = 0

  /** `maxRunning`: twice the threads keep them busy; more would only take the order out of our hands. */
  constructor(maxRunning: number) {
    this.#maxRunning = maxRunning
  }

  /** Does `check` in its turn. Rejects as it does. */
  async run<T>(source: string, check: () => Promise<T>): Promise<T> {
    if (this.#running < this.#maxRunning) this.#running += 1
    else await this.#turnOf(source)
    try {
      return await check()
    } finally {
      this.#next()
    }
  }

  #turnOf(source: string): Promise<void> {
    return new Promise(resolve => {
      const queue = this.#waiting.get(source)
      if (queue === undefined) this.#waiting.set(source, [resolve])
      else queue.push(resolve)
    })
  }

  /** Passes the place of a check that is done on. */
  #next(): void {
    for (const [source, queue] of this.#waiting) {
      const start = queue.shift()
      this.#waiting.delete(source)
      if (queue.length > 0) this.#waiting.set(source, queue)
      if (start !== undefined) {
        start()
        return
      }
    }
    this.#running -= 1
  }
}

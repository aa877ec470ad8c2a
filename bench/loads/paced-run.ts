/** One round of a paced load: sends each call when it is due, and measures from then. */
import type { Call, Caller } from '../harness/caller.ts'
import { percentile } from '../harness/statistics.ts'
import type { PacedResult } from './paced.ts'

/** What is not answered by then never will be. */
const LAST_ANSWER_MS = 10_000

export class PacedRun {
  readonly #calls: readonly Call[]
  readonly #idle: Caller[]
  /** When each call is due, in ms from the start. */
  readonly #due: Float64Array
  /** From when it was due until it was answered. */
  readonly #times: Float64Array
  /** From when it was due until it was sent although a connection was free. */
  readonly #lateness: Float64Array
  readonly #done = Promise.withResolvers<void>()
  #started = 0
  #sent = 0
  #answered = 0
  /** Whether a call had to wait for a connection since the last one was sent. */
  #starved = false

  /** `due` are times in ms from the start, ascending; calls are sent in turn, each on a connection that is free. */
  constructor(calls: readonly Call[], callers: readonly Caller[], due: Float64Array) {
    this.#calls = calls
    this.#idle = [...callers]
    this.#due = due
    this.#times = new Float64Array(due.length)
    this.#lateness = new Float64Array(due.length)
  }

  async result(): Promise<PacedResult> {
    this.#started = performance.now()
    this.#turn()
    await this.#done.promise
    const seconds = (performance.now() - this.#started) / 1_000
    const times = this.#times.toSorted()
    return {
      calls: times.length,
      seconds,
      p50Ms: percentile(times, 0.5),
      p99Ms: percentile(times, 0.99),
      lateMs: percentile(this.#lateness.toSorted(), 0.99),
    }
  }

  /** Once in each turn of the event loop, without a pause: a timer would be up to a millisecond late. */
  #turn(): void {
    const now = performance.now() - this.#started
    this.#sendDue(now)
    if (this.#answered === this.#due.length) this.#done.resolve()
    else if (now > (this.#due.at(-1) ?? 0) + LAST_ANSWER_MS)
      this.#done.reject(new Error(`${this.#due.length - this.#answered} calls had no answer`))
    else setImmediate(() => this.#turn())
  }

  #sendDue(now: number): void {
    while (this.#sent < this.#due.length && (this.#due[this.#sent] as number) <= now) {
      const caller = this.#idle.pop()
      if (!caller) {
        this.#starved = true
        return
      }
      if (!this.#starved) this.#lateness[this.#sent] = now - (this.#due[this.#sent] as number)
      this.#starved = false
      this.#send(caller, this.#sent++)
    }
  }

  #send(caller: Caller, index: number): void {
    const call = this.#calls[index % this.#calls.length] as Call
    caller.call(call.text, answer => {
      try {
        if (answer instanceof Error) throw answer
        call.check(answer)
      } catch (error) {
        this.#done.reject(error)
        return
      }
      this.#times[index] = performance.now() - this.#started - (this.#due[index] as number)
      this.#answered += 1
      this.#idle.push(caller)
    })
  }
}

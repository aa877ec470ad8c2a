/**
 * The quiet tenant's client: calls at a fixed rate, whatever becomes of those before, each timed from the moment at which it
 * was to be made. So a proxy that stalls is charged with every call that comes meanwhile. Calls share kept connections; one
 * that finds none free opens another.
 */
import { Worker } from 'node:worker_threads'
import type { Answer } from '../harness/answer.ts'
import { Call } from '../harness/caller.ts'
import { CallerPool } from './caller-pool.ts'
import { answerQuestions } from './ipc-program.ts'
import { monotonicMs } from './monotonic.ts'
import { PATHS, type Tenant } from './scene.ts'

/** For `answerQuestions`: one run. */
export interface QuietRun {
  readonly tenant: Tenant
  /** Of the proxy, on 127.0.0.1. */
  readonly port: number
  /** Calls a second, and for how long. */
  readonly rate: number
  readonly seconds: number
  /** The same number gives the same moments. */
  readonly seed: number
}

export interface QuietOutcome {
  /** Milliseconds from the moment of each call to its right answer. */
  readonly times: readonly number[]
  /** How late each call was made. */
  readonly late: readonly number[]
  /** What went wrong, and how often. */
  readonly errors: Readonly<Record<string, number>>
}

/** Open before the first call that counts. */
const CONNECTIONS = 4
const MAX_CONNECTIONS = 256
/** A call that waits so long has failed. */
const PATIENCE_MS = 5_000
/** Until the clock's thread is there and the first moment comes. */
const LEAD_MS = 200

class QuietClient {
  readonly #pool: CallerPool
  readonly #call: Call
  readonly #times: number[] = []
  readonly #late: number[] = []
  readonly #errors = new Map<string, number>()

  constructor({ port, tenant }: QuietRun) {
    this.#pool = new CallerPool({ port, from: tenant.source, most: MAX_CONNECTIONS })
    this.#call = new Call({ field: 'x-api-key', path: PATHS.call }, tenant)
  }

  async run(moments: Float64Array): Promise<QuietOutcome> {
    // Connections that never make a call are closed by some proxies, and rightly.
    await Promise.all(Array.from({ length: CONNECTIONS }, async () => this.#ask()))
    const start = monotonicMs() + LEAD_MS
    const schedule = moments.map(moment => start + moment)
    const calls: Promise<void>[] = []
    const clock = new Worker(new URL('clock.ts', import.meta.url), { workerData: schedule })
    await new Promise<void>((resolve, reject) => {
      clock.once('error', reject)
      clock.on('message', (index: number) => {
        calls.push(this.#make(schedule[index] as number))
        if (calls.length === schedule.length) resolve()
      })
    })
    await Promise.all(calls)
    await this.#pool.close()
    return { times: this.#times, late: this.#late, errors: Object.fromEntries(this.#errors) }
  }

  async #make(moment: number): Promise<void> {
    this.#late.push(monotonicMs() - moment)
    const answered = await this.#ask()
    if (answered !== undefined) this.#times.push(answered - moment)
  }

  /** When the right answer was there; undefined where it was another, or none, which is counted. */
  async #ask(): Promise<number | undefined> {
    try {
      const caller = await this.#pool.take()
      const late = setTimeout(() => void caller.close(), PATIENCE_MS)
      const answer = await new Promise<Answer | Error>(resolve => {
        caller.call(this.#call.text, resolve)
      })
      clearTimeout(late)
      const now = monotonicMs()
      this.#pool.put(caller, !(answer instanceof Error || answer.closes))
      if (answer instanceof Error) throw answer
      this.#call.check(answer)
      return now
    } catch (error) {
      const text = (error instanceof Error ? error.message : String(error)).slice(0, 120)
      this.#errors.set(text, (this.#errors.get(text) ?? 0) + 1)
      return undefined
    }
  }
}

/** One moment in each interval, anywhere in it: so that no timer of a proxy is hit, or missed, each time. */
function momentsOf({ rate, seconds, seed }: QuietRun): Float64Array {
  const interval = 1_000 / rate
  let state = seed >>> 0
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  return Float64Array.from(
    { length: Math.round(rate * seconds) },
    (_, index) => (index + random()) * interval,
  )
}

answerQuestions(async (question): Promise<QuietOutcome> => {
  const run = question as QuietRun
  return new QuietClient(run).run(momentsOf(run))
})

/** Single calls beside the load, read byte by byte: what wrk does not look at. */
import { setTimeout as sleep } from 'node:timers/promises'
import { WrongAnswer } from './answer.ts'
import { Call, Caller, headOf } from './caller.ts'
import type { Work } from './work.ts'

/** Few enough that they are no load, many enough that each round has hundreds. */
const PAUSE_MS = 10

/** By how much answers may differ: request ids that are counted get longer. */
const MAX_GROWTH_BYTES = 8

/** Bytes of a whole answer, head and body. */
export interface AnswerLengths {
  readonly min: number
  readonly max: number
}

export class Sampler {
  readonly #work: Work
  readonly #port: number
  readonly #calls: readonly Call[]
  /** Whether each call has a connection of its own. */
  readonly #closes: boolean
  #caller: Caller
  #turn = 0
  #lengths: AnswerLengths = { min: Infinity, max: 0 }

  private constructor(target: { work: Work; port: number; closes: boolean }, caller: Caller) {
    this.#work = target.work
    this.#port = target.port
    this.#closes = target.closes
    this.#caller = caller
    const more = target.closes ? 'Connection: close\r\n' : ''
    this.#calls = target.work.tenants.map(tenant => new Call(target.work, tenant, more))
  }

  /** With `closes`, each call has a connection of its own. */
  static async open(work: Work, port: number, closes = false): Promise<Sampler> {
    return new Sampler({ work, port, closes }, await Caller.open(work, port))
  }

  /** Of all right answers so far. */
  get lengths(): AnswerLengths {
    return this.#lengths
  }

  /** A call as the next tenant. Throws `WrongAnswer` unless all of the answer is as it must be. */
  async next(): Promise<void> {
    const call = this.#calls[this.#turn % this.#calls.length]
    if (!call) throw new Error('a lane without tenants')
    this.#turn += 1
    const answer = await this.#caller.ask(call.text)
    call.check(answer)
    const [min, max] = [
      Math.min(this.#lengths.min, answer.bytes),
      Math.max(this.#lengths.max, answer.bytes),
    ]
    if (max - min > MAX_GROWTH_BYTES) throw new WrongAnswer(`answers of ${min} and ${max} bytes`)
    this.#lengths = { min, max }
    if (!this.#closes) return
    // wrk would go on with the old connection.
    if (!answer.closes) throw new WrongAnswer('a connection was kept that should have been closed')
    await this.#caller.close()
    this.#caller = await Caller.open(this.#work, this.#port)
  }

  /** Every tenant once. */
  async all(): Promise<void> {
    for (const _ of this.#calls) await this.next()
  }

  /** A credential of nobody must be refused. */
  async refused(): Promise<void> {
    const { path, foreignCredential } = this.#work
    const { status } = await this.#caller.ask(headOf(this.#work, foreignCredential, `GET ${path}`))
    if (status !== 401) throw new WrongAnswer(`a foreign credential got ${status} instead of 401`)
  }

  /** Calls until `running` is settled; gives their number. */
  async during(running: Promise<unknown>): Promise<number> {
    const end = Promise.allSettled([running]).then(() => true)
    let calls = 0
    do {
      await this.next()
      calls += 1
    } while (!(await Promise.race([end, sleep(PAUSE_MS, false)])))
    return calls
  }

  async close(): Promise<void> {
    await this.#caller.close()
  }
}

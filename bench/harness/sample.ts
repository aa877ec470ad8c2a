/** Single calls beside the load, read byte by byte: what wrk does not look at. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { answerTo } from './upstream.ts'
import type { Work } from './work.ts'

/** Few enough that they are no load, many enough that each round has hundreds. */
const PAUSE_MS = 10
const ANSWER_MS = 10_000
const MAX_ANSWER_BYTES = 65_536

/** By how much answers may differ: request ids that are counted get longer. */
const MAX_GROWTH_BYTES = 8

/** Bytes of a whole answer, head and body. */
export interface AnswerLengths {
  readonly min: number
  readonly max: number
}

/** A proxy answered otherwise than it must: its round counts for nothing. */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer'
}

export interface Answer {
  readonly status: number
  readonly body: string
  /** Head and body, as they came. */
  readonly bytes: number
}

/** The answer at the start of `text` (Latin-1), or nothing as long as it is not complete. Throws `WrongAnswer` where there is none. */
export function parseAnswer(text: string): Answer | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const head = text.slice(0, end)
  const status = /^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (status === undefined || length === undefined)
    throw new WrongAnswer(`an answer without status or content-length: ${head.slice(0, 300)}`)
  const bytes = end + 4 + Number(length)
  if (text.length < bytes) return undefined
  if (text.length > bytes) throw new WrongAnswer(`bytes behind an answer: ${text.slice(bytes)}`)
  return { status: Number(status), body: text.slice(end + 4), bytes }
}

/** One connection for one call at a time. */
export class Sampler {
  readonly #work: Work
  readonly #socket: Socket
  #turn = 0
  #lengths: AnswerLengths = { min: Infinity, max: 0 }

  private constructor(work: Work, socket: Socket) {
    this.#work = work
    this.#socket = socket
    // Each call looks at the socket; between calls nobody would, and an error must not end the benchmark.
    socket.on('error', () => {})
    socket.setTimeout(ANSWER_MS, () => socket.destroy())
  }

  static async open(work: Work, port: number): Promise<Sampler> {
    const socket = work.tls
      ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }) // who it is was decided by us
      : connect(port, '127.0.0.1')
    await once(socket, work.tls ? 'secureConnect' : 'connect')
    socket.setNoDelay(true)
    return new Sampler(work, socket)
  }

  /** Of all right answers so far. */
  get lengths(): AnswerLengths {
    return this.#lengths
  }

  /** A call as the next tenant. Throws `WrongAnswer` unless all of the answer is as it must be. */
  async next(): Promise<void> {
    const tenant = this.#work.tenants[this.#turn % this.#work.tenants.length]
    if (!tenant) throw new Error('a lane without tenants')
    this.#turn += 1
    const { status, body, bytes } = await this.#call(tenant.credential)
    if (status !== 200 || body !== answerTo(tenant.id, ''))
      throw new WrongAnswer(`a call as ${tenant.id} got ${status} ${body.slice(0, 200)}`)
    const [min, max] = [Math.min(this.#lengths.min, bytes), Math.max(this.#lengths.max, bytes)]
    if (max - min > MAX_GROWTH_BYTES) throw new WrongAnswer(`answers of ${min} and ${max} bytes`)
    this.#lengths = { min, max }
  }

  /** Every tenant once. */
  async all(): Promise<void> {
    for (const _ of this.#work.tenants) await this.next()
  }

  /** A credential of nobody must be refused. */
  async refused(): Promise<void> {
    const { status } = await this.#call(this.#work.foreignCredential)
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

  close(): void {
    this.#socket.destroy()
  }

  async #call(credential: string): Promise<Answer> {
    const { path, field } = this.#work
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: bench\r\n${field}: ${credential}\r\n\r\n`)
    return new Promise((resolve, reject) => {
      let text = ''
      const settle = (act: () => void): void => {
        this.#socket.off('data', onData).off('close', onClose)
        act()
      }
      const onClose = (): void =>
        settle(() => reject(new WrongAnswer(`no answer; so far ${text.slice(0, 200)}`)))
      const onData = (chunk: Buffer): void => {
        text += chunk.toString('latin1')
        try {
          const answer = parseAnswer(text)
          if (answer) settle(() => resolve(answer))
          else if (text.length > MAX_ANSWER_BYTES) throw new WrongAnswer('an answer without end')
        } catch (error) {
          settle(() => reject(error))
        }
      }
      if (this.#socket.destroyed) onClose()
      else this.#socket.on('data', onData).on('close', onClose)
    })
  }
}

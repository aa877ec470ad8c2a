/** One connection of a client that makes one call at a time, and sees each byte of the answer. */
import { once } from 'node:events'
import { connect, type OnReadOpts, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, TLSSocket } from 'node:tls'
import { answerTo } from '../deployments/deployment.ts'
import { type Answer, parseAnswer, WrongAnswer } from './answer.ts'
import type { Work, WorkTenant } from './work.ts'

const ANSWER_MS = 10_000
const MAX_ANSWER_BYTES = 65_536

export interface SocketOptions {
  /** For sockets without TLS alone. */
  readonly onread?: OnReadOpts
  /** Of TLS, to be resumed. */
  readonly session?: Buffer | undefined
  /** Address that it comes from; by default the system chooses. */
  readonly from?: string | undefined
  /** Until a connection that does not come has failed; by default that is for the system to say. */
  readonly patienceMs?: number
}

/** Connects to a proxy as the work asks for: over TLS or not. */
export async function openSocket(
  { tls }: Pick<Work, 'tls'>,
  port: number,
  { onread, session, from, patienceMs }: SocketOptions = {},
): Promise<Socket> {
  const source = from === undefined ? {} : { localAddress: from }
  const socket = tls
    ? connectTls({
        port,
        host: '127.0.0.1',
        ...source,
        ecdhCurve: 'X25519', // the same for all: newer libraries would agree on a dearer one
        ...tlsOptionsOf(tls),
        ...(session && { session }),
      })
    : connect({ port, host: '127.0.0.1', ...source, ...(onread && { onread }) })
  const late = (): void => void socket.destroy(new Error(`no connection within ${patienceMs} ms`))
  const timer = patienceMs === undefined ? undefined : setTimeout(late, patienceMs)
  try {
    await once(socket, tls ? 'secureConnect' : 'connect')
  } finally {
    clearTimeout(timer)
  }
  socket.setNoDelay(true)
  return socket
}

function tlsOptionsOf({ client }: NonNullable<Work['tls']>): ConnectionOptions {
  // Who it is was decided by us; but sessions are those of a server that was verified.
  if (client === undefined) return { rejectUnauthorized: false }
  return { ca: client.authority, cert: client.cert, key: client.key }
}

/** The head of a request with this credential; `more` are lines, each with its CRLF. */
export function headOf(
  { field }: Pick<Work, 'field'>,
  credential: string,
  line: string,
  more = '',
): string {
  const identity = field === '' ? '' : `${field}: ${credential}\r\n`
  return `${line} HTTP/1.1\r\nHost: bench\r\n${identity}${more}\r\n`
}

/** A small call and what is wrong with its answer. */
export class Call {
  readonly text: string
  readonly #tenant: string
  readonly #body: string

  constructor(work: Pick<Work, 'field' | 'path'>, { id, credential }: WorkTenant, more?: string) {
    this.text = headOf(work, credential, `GET ${work.path}`, more)
    this.#tenant = id
    this.#body = answerTo(work.field === '' ? '' : id, '')
  }

  /** Throws `WrongAnswer` unless all of the answer is as it must be. */
  check({ status, body }: Answer): void {
    if (status !== 200 || body !== this.#body)
      throw new WrongAnswer(`a call as ${this.#tenant} got ${status} ${body.slice(0, 200)}`)
  }
}

export type Answered = (answer: Answer | Error) => void

export class Caller {
  readonly #socket: Socket
  #text = ''
  #answered: Answered | undefined
  #closing = false
  #session: Buffer | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    // Each call looks at the connection; between calls nobody would, and an error must not end the benchmark.
    socket.on('error', () => {})
    socket.on('close', () => this.#settle(this.#lost()))
    socket.on('session', (session: Buffer) => {
      this.#session = session
    })
    socket.setTimeout(ANSWER_MS, () => {
      if (this.#answered) socket.destroy()
    })
  }

  static async open(
    work: Pick<Work, 'tls'>,
    port: number,
    options: Omit<SocketOptions, 'onread'> = {},
  ): Promise<Caller> {
    return new Caller(await openSocket(work, port, options))
  }

  /** To be resumed by the next connection; there once an answer is. */
  get session(): Buffer | undefined {
    return this.#session
  }

  /** Whether its own session is one that was resumed. */
  get isResumed(): boolean {
    return this.#socket instanceof TLSSocket && this.#socket.isSessionReused()
  }

  /** Sends `request` and gives its answer to `answered`, once. The call before must have been answered. */
  call(request: string, answered: Answered): void {
    this.#answered = answered
    if (this.#socket.destroyed) this.#settle(this.#lost())
    else this.#socket.write(request, 'latin1')
  }

  /** The same as a promise. */
  async ask(request: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.call(request, answer => {
        if (answer instanceof Error) reject(answer)
        else resolve(answer)
      })
    })
  }

  /** Sends more of the request; fulfilled when the system has it, or when the connection is gone: then the call fails. */
  async send(bytes: Buffer): Promise<void> {
    return new Promise(resolve => {
      if (this.#socket.destroyed) resolve()
      else this.#socket.write(bytes, () => resolve())
    })
  }

  /** Fulfilled when it is closed. */
  async close(): Promise<void> {
    this.#closing = true
    if (this.#socket.closed) return
    const closed = once(this.#socket, 'close')
    this.#socket.destroy()
    await closed
  }

  #received(chunk: Buffer): void {
    this.#text += chunk.toString('latin1')
    try {
      const answer = parseAnswer(this.#text)
      if (answer) this.#settle(answer)
      else if (this.#text.length > MAX_ANSWER_BYTES) throw new WrongAnswer('an answer without end')
    } catch (error) {
      this.#settle(error instanceof Error ? error : new Error(String(error)))
      this.#socket.destroy()
    }
  }

  #settle(answer: Answer | Error): void {
    const answered = this.#answered
    if (!answered) return // nothing was asked for: the next call finds it in the text
    this.#text = ''
    this.#answered = undefined
    answered(answer)
  }

  #lost(): WrongAnswer {
    const why = this.#closing
      ? 'closed by the load'
      : `no answer; so far ${this.#text.slice(0, 200)}`
    return new WrongAnswer(why)
  }
}

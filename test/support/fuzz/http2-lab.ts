/**
 * A proxy between ends that send any frames: a client that sends what damage left of a session, towards deployments that
 * judge what reaches them, or a deployment that answers so, with clients that judge what they get. Beside them somebody
 * makes ordinary calls, which must not notice.
 */
import { once } from 'node:events'
import net from 'node:net'
import { CLIENT_PREFACE } from '../../../src/codec/http2/frame-writer.ts'
import { HeaderField, INDEXED } from '../../../src/codec/http2/header-field.ts'
import { ServerSession } from '../../../src/codec/http2/server-session.ts'
import { DEFAULT_SESSION, type SessionOptions } from '../../../src/codec/http2/session-options.ts'
import { readAnswers } from '../http1-verdict.ts'
import { FramePeer } from '../http2/frame-peer.ts'
import { framesOf } from '../http2/wire-frames.ts'
import { RawClient, turns } from '../raw-client.ts'
import { type RecordingDeployment, recordingDeployment } from '../raw-peer.ts'
import { type RunningProxy, startProxy } from '../start-proxy.ts'
import { ruling } from './http2-rules.ts'

const PATIENCE_MS = 8_000
const TURNS = 400
/** All that there can be: which of them were begun is not looked at. */
const MANY = 2 ** 30
const OK = [new HeaderField(':status', '200', INDEXED)]
const ANSWER = Buffer.from('an answer\n')
/** The proxy says more than we would. */
const READER: SessionOptions = {
  ...DEFAULT_SESSION,
  frames: { frameSize: 16_384, blockSize: 1024 * 1024, continuations: 1_000 },
  headers: { tableSize: 4_096, listSize: 1024 * 1024, fields: 1_000 },
  frameBudget: { burst: 1e9, rate: 0 },
  resetBudget: { burst: 1e9, rate: 0 },
}

/** What is wrong with bytes that the proxy has sent, or ''. */
function sentFault(bytes: Buffer, role: 'server' | 'client'): string {
  const { must, at } = ruling(bytes, {
    role,
    streams: MANY,
    options: READER,
    takesIdleResets: true,
  })
  return must.length === 0 ? '' : `the proxy sent ${at} to a ${role}`
}

/** A deployment of HTTP/2 that answers every request, and keeps what no client may send. */
export interface JudgingDeployment {
  readonly port: number
  readonly faults: string[]
  readonly requests: number
  forget(): void
  close(): Promise<void>
}

async function judgingDeployment(): Promise<JudgingDeployment> {
  const faults: string[] = []
  let requests = 0
  let received: Buffer[][] = []
  const closed = new WeakSet<Buffer[]>()
  const { port, close } = await listen(socket => {
    const chunks: Buffer[] = []
    received.push(chunks)
    socket.on('close', () => closed.add(chunks))
    const session: ServerSession<undefined> = new ServerSession<undefined>(
      {
        request: stream => {
          requests++
          session.respond(stream, OK, { endStream: false })
        },
        malformed: ({ error }) => void faults.push(`a malformed request: ${error}`),
        data: (stream, _bytes, ...[start, end]) => session.consumed(stream, end - start),
        trailers: () => {},
        ended: stream => {
          session.send(stream, ANSWER, { start: 0, end: ANSWER.length, endStream: true })
        },
        reset: () => {},
        writable: () => {},
        goingAway: () => {},
        pong: () => {},
        failed: (code, why) => void faults.push(`the deployment ends with ${code}: ${why}`),
      },
      0,
      READER,
    )
    const flush = (): void => {
      for (const piece of session.take()) socket.write(piece)
    }
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      session.receive(chunk, 0)
      flush()
    })
    flush()
  })
  return {
    port,
    get faults() {
      const judged = received.map(chunks => sentFault(Buffer.concat(chunks), 'server'))
      return [...faults, ...judged.filter(fault => fault !== '')]
    },
    get requests() {
      return requests
    },
    forget: () => {
      faults.length = 0
      // A connection that goes on is judged from its beginning, for as long as it is not too long.
      received = received.filter(chunks => !closed.has(chunks) && chunks.length < 200)
    },
    close,
  }
}

async function listen(
  accept: (socket: net.Socket) => void,
): Promise<{ port: number; close: () => Promise<void> }> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ noDelay: true }, socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    accept(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as net.AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

export class Http2FuzzLab {
  readonly proxy: RunningProxy
  readonly #internalErrors: () => number
  readonly #strict: RecordingDeployment
  readonly #judging: JudgingDeployment
  readonly #damaged: { port: number; close: () => Promise<void> }
  /** What the next connection of the proxy to the deployment `damaged` gets once so many streams have come. */
  #answer: { readonly pieces: readonly Buffer[]; readonly streams: number } | undefined
  #bystander: FramePeer | undefined

  private constructor(
    proxy: RunningProxy,
    deployments: {
      readonly strict: RecordingDeployment
      readonly judging: JudgingDeployment
      readonly damaged: { port: number; close: () => Promise<void> }
    },
    internalErrors: () => number,
  ) {
    this.proxy = proxy
    this.#internalErrors = internalErrors
    this.#strict = deployments.strict
    this.#judging = deployments.judging
    this.#damaged = deployments.damaged
  }

  static async start(): Promise<Http2FuzzLab> {
    const strict = await recordingDeployment()
    const judging = await judgingDeployment()
    let lab: Http2FuzzLab | undefined
    const damaged = await listen(socket => lab?.answerWithDamage(socket))
    const tenant = (id: string, endpoint: string): Record<string, unknown> => ({
      id,
      hosts: [`${id}.example`],
      // An endpoint that fails is all that there is.
      deployment: { endpoints: [endpoint] },
    })
    let internalErrors = 0
    const input = {
      listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
      // Whoever closed a window for good has to be given up on. Bystanders have to be answered in that time, on a busy machine too.
      timeouts: { idle: '200ms', body: '200ms', response: '500ms' },
      // A search on a fast machine makes more connections than an address may.
      sources: { badCredentials: 'off', newConnections: 'off' },
      minimumRate: { request: '1KiB/s', response: '1KiB/s', window: '200ms' },
      tenants: [
        tenant('a', `http://127.0.0.1:${strict.port}`),
        tenant('b', `h2c://127.0.0.1:${judging.port}`),
        tenant('damaged', `h2c://127.0.0.1:${damaged.port}`),
      ],
    }
    // To keep every report would be to grow.
    const proxy = await startProxy(input, {
      report: ({ rejected }) => {
        for (const { reason, count } of rejected)
          if (reason === 'internal_error') internalErrors += count
      },
    })
    lab = new Http2FuzzLab(proxy, { strict, judging, damaged }, () => internalErrors)
    return lab
  }

  get #port(): number {
    return this.proxy.port('public')
  }

  /** Calls that failed by a fault of the proxy. */
  get internalErrors(): number {
    this.proxy.worker.reportNow()
    return this.#internalErrors()
  }

  /** Requests that reached a deployment. */
  get arrived(): number {
    return this.#strict.requests.length + this.#judging.requests
  }

  /** A client sends these pieces, and then no more. @returns what is wrong. */
  async fromClient(pieces: readonly Buffer[]): Promise<string[]> {
    const socket = net.connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', () => {})
    const closed = once(socket, 'close').catch(() => {})
    for (const piece of [CLIENT_PREFACE, ...pieces]) {
      socket.write(piece)
      await turns(1)
    }
    socket.end()
    const faults = (await inTime(closed)) ? [] : ['the connection was never closed']
    socket.destroy()
    faults.push(sentFault(Buffer.concat(chunks), 'client'))
    faults.push(...this.#strict.violations.map(rule => `the deployment got ${rule}`))
    faults.push(...this.#judging.faults)
    faults.push(...(await this.#bystanders()))
    this.#forget()
    return faults.filter(fault => fault !== '')
  }

  #forget(): void {
    this.#strict.forget()
    this.#judging.forget()
  }

  /** A deployment answers so many streams with these pieces, and then ends. @returns what is wrong. */
  async fromDeployment(pieces: readonly Buffer[], streams: number): Promise<string[]> {
    this.#answer = { pieces, streams }
    const faults: string[] = []
    const client = await FramePeer.connect({ host: '127.0.0.1', port: this.#port })
    const received: Buffer[] = []
    client.socket.on('data', (chunk: Buffer) => received.push(chunk))
    const calls = Array.from({ length: streams }, () =>
      client.request(requestTo('damaged.example'), { end: true }),
    )
    const over = Promise.all(calls.map(call => call.until(() => call.over || call.remoteEnded)))
    if (!(await inTime(over))) faults.push('a call was never over')
    client.abort('end')
    // The rest goes to a client of HTTP/1.1, on another connection.
    const old = await RawClient.connect(this.#port)
    this.#answer = { pieces, streams: 1 }
    old.send('GET / HTTP/1.1\r\nhost: damaged.example\r\nconnection: close\r\n\r\n')
    if (!(await old.until(() => false))) faults.push('a connection was never closed')
    const answers = readAnswers(old.received, old.ended, ['GET'])
    if (typeof answers === 'string') faults.push(`the client got what breaks a rule: ${answers}`)
    old.close()
    faults.push(sentFault(Buffer.concat(received), 'client'), ...(await this.#bystanders()))
    this.#forget()
    return faults.filter(fault => fault !== '')
  }

  answerWithDamage(socket: net.Socket): void {
    const chunks: Buffer[] = []
    const answer = this.#answer
    let answered = false
    // Until it has said what it takes, no call comes.
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      const { frames } = framesOf(Buffer.concat(chunks).subarray(CLIENT_PREFACE.length))
      const streams = frames.filter(({ type }) => type === 1).length
      if (answer === undefined || answered || streams < answer.streams) return
      answered = true
      void this.#sendAll(socket, answer.pieces)
    })
  }

  async #sendAll(socket: net.Socket, pieces: readonly Buffer[]): Promise<void> {
    for (const piece of pieces) {
      if (socket.destroyed) return
      socket.write(piece)
      await turns(1)
    }
    socket.end()
  }

  /** Ordinary calls of others, on a connection that lasts for as long as it is not idle. */
  async #bystanders(): Promise<string[]> {
    const faults: string[] = []
    for (const host of ['a.example', 'b.example']) {
      const fault = (await this.#bystand(host)) ?? (await this.#bystand(host))
      if (fault !== '') faults.push(fault ?? `a call of ${host} finds no connection`)
    }
    return faults
  }

  /** What is wrong with a call, or ''; undefined where its connection was closed before it came, for being idle. */
  async #bystand(host: string): Promise<string | undefined> {
    if (this.#bystander === undefined || this.#bystander.over) {
      // The proxy has closed it, for being idle.
      this.#bystander?.abort('end')
      this.#bystander = await FramePeer.connect({ host: '127.0.0.1', port: this.#port })
    }
    const peer = this.#bystander
    const call = peer.request(requestTo(host), { end: true })
    if (!(await inTime(call.until(() => call.over)))) return `a call of ${host} hangs`
    // Its connection lasts for as long as the search, which looks for what comes to stay.
    peer.streams.delete(call.id)
    if (call.status === 0 && peer.goneAway?.code === 0 && peer.goneAway.lastStreamId < call.id)
      return undefined
    if (call.status === 200 && call.remoteEnded) return ''
    return `a call of ${host} ends with ${call.status}, ${call.resetByPeer}`
  }

  async close(): Promise<void> {
    this.#bystander?.abort('end')
    for (let turn = 0; turn < TURNS && this.proxy.worker.openConnections > 0; turn++) await turns(5)
    await this.proxy.close()
    for (const each of [this.#strict, this.#judging, this.#damaged]) await each.close()
  }
}

function requestTo(authority: string): readonly (readonly [string, string])[] {
  return [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':authority', authority],
    [':path', '/'],
  ]
}

/** Whether it comes about before patience ends. */
async function inTime(promise: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>(resolve => {
    timer = setTimeout(resolve, PATIENCE_MS, false)
  })
  const held = await Promise.race([promise.then(() => true), late])
  clearTimeout(timer)
  return held
}

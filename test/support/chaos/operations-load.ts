/** Clients that notice every call that fails: by kept connections, by new ones over TLS, over HTTP/2, and through upgrades. */
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import type { SeededRandom } from '../seeded-random.ts'
import type { OperationsLog } from './operations-log.ts'

export const LOAD_KINDS = ['keep', 'post', 'download', 'fresh', 'streams', 'upgrade'] as const
export type LoadKind = (typeof LOAD_KINDS)[number]

export interface LoadTarget {
  readonly plain: number
  readonly tls: number
  /** Of the authority that listeners have their certificates from. */
  readonly ca: string
}

const MOST_PAUSE_MS = 10
/** A call that is not answered then has failed. */
const PATIENCE_MS = 20_000
const BODY = Buffer.alloc(20_000, 'p')
const STREAMS = 4
/** Rounds of an upgrade, or calls on a connection of HTTP/2, before there is a new one. */
const MOST_ROUNDS = 2_000

/** One client of one tenant; it calls until it is told to stop. */
export class OperationsClient {
  readonly #tenant: string
  readonly #kind: LoadKind
  readonly #target: LoadTarget
  readonly #log: OperationsLog
  readonly #random: SeededRandom
  /** A socket that is gone does not say its port any more. */
  readonly #ports = new WeakMap<Socket, number>()
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  #stopping = false
  readonly ended: Promise<void>

  constructor(
    tenant: string,
    kind: LoadKind,
    { target, log, random }: { target: LoadTarget; log: OperationsLog; random: SeededRandom },
  ) {
    this.#tenant = tenant
    this.#kind = kind
    this.#target = target
    this.#log = log
    this.#random = random
    this.ended = this.#run().finally(() => this.#agent.destroy())
  }

  stop(): void {
    this.#stopping = true
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      if (this.#kind === 'streams') await this.#session()
      else if (this.#kind === 'upgrade') await this.#tunnel()
      else await this.#call()
      await pause(this.#random.below(MOST_PAUSE_MS))
    }
  }

  get #headers(): http.OutgoingHttpHeaders {
    return { host: `${this.#tenant}.test` }
  }

  async #call(): Promise<void> {
    const { plain, tls, ca } = this.#target
    const secure = this.#kind === 'fresh'
    const path = this.#kind === 'download' ? '/download' : `/${this.#kind}`
    const options = {
      host: '127.0.0.1',
      path,
      method: this.#kind === 'post' ? 'POST' : 'GET',
      headers: this.#headers,
      timeout: PATIENCE_MS,
    }
    await this.#noting(async connected => {
      const request = secure
        ? https.request({
            ...options,
            port: tls,
            ca,
            agent: false,
            servername: `${this.#tenant}.test`,
          })
        : http.request({ ...options, port: plain, agent: this.#agent })
      request.on('socket', (socket: Socket) => connected(socket))
      request.on('timeout', () => request.destroy(new Error('no answer in time')))
      request.end(this.#kind === 'post' ? BODY : undefined)
      const [response] = (await once(request, 'response')) as [http.IncomingMessage]
      const body = await buffer(response)
      expectAnswer(response.statusCode, body, path)
    })
  }

  /** Connections of HTTP/2 with some calls at once. */
  async #session(): Promise<void> {
    const { tls, ca } = this.#target
    const servername = `${this.#tenant}.test`
    const socket = connectTls({
      host: '127.0.0.1',
      port: tls,
      ca,
      servername,
      ALPNProtocols: ['h2'],
    })
    const session = http2.connect(`https://${servername}`, { createConnection: () => socket })
    session.on('error', () => {})
    let rounds = this.#random.between(1, MOST_ROUNDS)
    const lane = async (): Promise<void> => {
      // A session that is told to go takes no more calls, which is no failure.
      while (!this.#stopping && rounds-- > 0 && !session.closed && !session.destroyed) {
        await this.#noting(async connected => {
          connected(socket)
          const stream = session.request({
            ':path': '/streams',
            ':authority': `${this.#tenant}.test`,
          })
          stream.setTimeout(PATIENCE_MS, () => stream.close())
          const closed = Promise.withResolvers<never>()
          // A stream that ends with its session may close without an error.
          stream.once('close', () => closed.reject(new Error('the stream was closed')))
          const [headers] = (await Promise.race([once(stream, 'response'), closed.promise])) as [
            http2.IncomingHttpHeaders,
          ]
          closed.promise.catch(() => {})
          expectAnswer(Number(headers[':status']), await buffer(stream), '/streams')
        })
        await pause(this.#random.below(MOST_PAUSE_MS))
      }
    }
    await Promise.all(Array.from({ length: STREAMS }, lane))
    session.destroy()
  }

  /** An upgrade that lives long: what goes in comes back. */
  async #tunnel(): Promise<void> {
    let socket: Duplex | undefined
    await this.#noting(async connected => {
      const request = http.request({
        host: '127.0.0.1',
        port: this.#target.plain,
        headers: { ...this.#headers, connection: 'upgrade', upgrade: 'echo' },
        agent: false,
      })
      request.on('socket', (opened: Socket) => connected(opened))
      request.end()
      request.on('response', response =>
        request.destroy(new Error(`status ${response.statusCode}`)),
      )
      ;[, socket] = (await once(request, 'upgrade')) as [http.IncomingMessage, Duplex]
    })
    if (socket === undefined) return
    const tunnel = socket as Socket
    const cut = gone(tunnel)
    // Nobody waits for it between two rounds.
    cut.catch(() => {})
    let well = true
    for (
      let round = this.#random.between(1, MOST_ROUNDS);
      well && round > 0 && !this.#stopping;
      round--
    ) {
      well = await this.#noting(async connected => {
        connected(tunnel)
        if (tunnel.destroyed || tunnel.readableEnded) throw new Error('the tunnel is gone')
        tunnel.write('x')
        await Promise.race([once(tunnel, 'data'), cut])
      }, false)
      await pause(this.#random.below(MOST_PAUSE_MS))
    }
    tunnel.destroy()
  }

  /** Notes how it ended; false where it failed. `counts`: it is a call. */
  async #noting(
    make: (connected: (socket: Socket) => void) => Promise<void>,
    counts = true,
  ): Promise<boolean> {
    const began = performance.now()
    let port: number | undefined
    const connected = (socket: Socket): void => {
      const see = (): void => {
        port = socket.localPort ?? this.#ports.get(socket)
        if (port !== undefined) this.#ports.set(socket, port)
      }
      if (socket.connecting) socket.once('connect', see)
      else see()
    }
    try {
      await make(connected)
      if (counts) this.#log.receive(this.#tenant)
      return true
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      const { failures } = this.#log
      const kind = this.#kind
      failures.push({ tenant: this.#tenant, kind, port, began, ended: performance.now(), what })
      return false
    }
  }
}

function expectAnswer(status: number | undefined, body: Buffer, path: string): void {
  if (status !== 200) throw new Error(`status ${status}: ${body.toString().slice(0, 200)}`)
  const whole = path === '/download' ? body.length === 200_000 : body.toString() === path
  if (!whole) throw new Error(`${body.length} bytes are not the answer to ${path}`)
}

async function gone(socket: Socket): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  socket.once('close', () => reject(new Error('the tunnel was cut')))
  socket.once('end', () => reject(new Error('the tunnel was ended')))
  return promise
}

async function pause(ms: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, ms))
}

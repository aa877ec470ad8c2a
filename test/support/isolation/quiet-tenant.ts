/**
 * A tenant that nothing happens to: a deployment that answers at once, and a client that calls it so often a second, however
 * long answers take. Connections end now and then, so that it also needs new ones.
 */
import { once } from 'node:events'
import http from 'node:http'
import http2, { type ClientHttp2Session } from 'node:http2'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

export type Version = 1 | 2

const CALLS_A_SECOND = 100
/** Each such call is the last one on its connection. */
const CALLS_A_CONNECTION = 10
/** A call that takes longer is held by something, on the busiest machine. */
const PATIENCE_MS = 120_000
/** No more are under way, where the machine is too slow for so many a second. */
const MAX_UNDER_WAY = 100

/** A deployment that answers each call with `body`; the URL for a configuration. */
export async function quietDeployment(t: Test, version: Version, body: string): Promise<string> {
  const sockets = new Set<Socket>()
  let calls = 0
  const server: Server =
    version === 1
      ? http.createServer((_, response) => {
          calls += 1
          if (calls % CALLS_A_CONNECTION === 0) response.setHeader('connection', 'close')
          response.end(body)
        })
      : http2.createServer((_, response) => response.end(body))
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  const { port } = server.address() as AddressInfo
  return `${version === 1 ? 'http' : 'h2c'}://127.0.0.1:${port}`
}

export interface QuietFigures {
  readonly calls: number
  /** Answers that were not its own deployment's. */
  readonly failures: readonly string[]
  /** In ms, in ascending order. */
  readonly latencies: readonly number[]
}

export interface QuietPlace {
  readonly port: number
  readonly host: string
  readonly version: Version
  /** What each answer has to be. */
  readonly body: string
}

/** Calls until it is told to end, and then waits for the answers. */
export class QuietClient {
  readonly #place: QuietPlace
  readonly #latencies: number[] = []
  readonly #failures: string[] = []
  readonly #underWay = new Set<Promise<void>>()
  readonly #timer: NodeJS.Timeout
  readonly #agent = new http.Agent({ keepAlive: true })
  #session: ClientHttp2Session | undefined
  readonly #dueFrom = performance.now()
  #due = 0
  #calls = 0
  #over = 0
  #waiting: (() => void)[] = []

  constructor(place: QuietPlace) {
    this.#place = place
    this.#timer = setInterval(() => this.#callDue(), 1_000 / CALLS_A_SECOND)
  }

  /** So many of the calls that begin from now on are answered; true, or false where one is held. */
  async served(calls: number): Promise<boolean> {
    const least = this.#calls + calls
    const begun = performance.now()
    while (this.#over < least) {
      if (performance.now() - begun > PATIENCE_MS) return false
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
    return true
  }

  async end(): Promise<QuietFigures> {
    clearInterval(this.#timer)
    await Promise.all(this.#underWay)
    this.#agent.destroy()
    this.#session?.destroy()
    return {
      calls: this.#calls,
      failures: this.#failures,
      latencies: this.#latencies.toSorted((a, b) => a - b),
    }
  }

  /** All calls that are due by now, also where the timer came late. */
  #callDue(): void {
    const now = performance.now()
    let due = Math.floor(((now - this.#dueFrom) / 1_000) * CALLS_A_SECOND) - this.#due
    this.#due += due
    while (due-- > 0 && this.#underWay.size < MAX_UNDER_WAY) {
      this.#calls += 1
      const call = this.#call().finally(() => {
        this.#underWay.delete(call)
        this.#over += 1
        for (const resolve of this.#waiting.splice(0)) resolve()
      })
      this.#underWay.add(call)
    }
  }

  async #call(): Promise<void> {
    const begun = performance.now()
    const last = this.#calls % CALLS_A_CONNECTION === 0
    const answer = await (this.#place.version === 1 ? this.#ask(last) : this.#askHttp2(last))
    this.#latencies.push(performance.now() - begun)
    if (answer !== `200 ${this.#place.body}`) this.#failures.push(answer)
  }

  #ask(last: boolean): Promise<string> {
    const { port, host } = this.#place
    return new Promise(resolve => {
      const headers = last ? { host, connection: 'close' } : { host }
      const signal = AbortSignal.timeout(PATIENCE_MS)
      const request = http.get(
        { port, host: '127.0.0.1', headers, agent: this.#agent, signal },
        response => {
          let body = ''
          response.setEncoding('latin1')
          response.on('data', (chunk: string) => {
            body += chunk
          })
          response.on('end', () => resolve(`${response.statusCode} ${body}`))
          response.on('error', error => resolve(error.message))
        },
      )
      request.on('error', error => resolve(error.message))
    })
  }

  #askHttp2(last: boolean): Promise<string> {
    const session = this.#openSession()
    const stream = session.request({ ':path': '/', ':authority': this.#place.host })
    if (last) {
      this.#session = undefined
      stream.on('close', () => session.close())
    }
    return new Promise(resolve => {
      let status: number | undefined
      let body = ''
      const timer = setTimeout(() => stream.destroy(new Error('no answer')), PATIENCE_MS)
      stream.setEncoding('latin1')
      stream.on('response', headers => {
        status = headers[':status']
      })
      stream.on('data', (chunk: string) => {
        body += chunk
      })
      stream.on('error', error => resolve(error.message))
      stream.on('close', () => {
        clearTimeout(timer)
        resolve(`${status} ${body}`)
      })
    })
  }

  #openSession(): ClientHttp2Session {
    if (this.#session?.closed === false) return this.#session
    const { port } = this.#place
    const session = http2.connect('http://quiet.test', {
      createConnection: () => connect({ port, host: '127.0.0.1', noDelay: true }),
    })
    session.on('error', () => {})
    session.on('goaway', () => {
      if (this.#session === session) this.#session = undefined
    })
    this.#session = session
    return session
  }
}

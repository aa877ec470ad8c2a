/** Calls of all kinds that go on while something is done to a proxy, and tunnels beside them. */
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { readUntil } from './running-amt.ts'

/** On a machine that may be busy. */
const PATIENCE_MS = 60_000

export interface LoadTarget {
  readonly port: number
  /** An API key of a tenant. */
  readonly key: string
}

/** Over a connection of its own, or one of the agent's. Rejects with what went wrong. */
export async function callOnce({ port, key }: LoadTarget, agent?: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    request(
      { host: '127.0.0.1', port, agent: agent ?? false, headers: { 'x-api-key': key } },
      response => {
        response.once('error', reject)
        response.resume().once('end', () => resolve(response.statusCode ?? 0))
      },
    )
      .once('error', reject)
      .end()
  })
}

/** Calls all the time: each over a new connection, over kept ones, and over HTTP/2. */
export class SteadyLoad {
  calls = 0
  readonly #target: LoadTarget
  readonly #failed: string[] = []
  readonly #rows: Promise<void>[]
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 })
  #over = false
  #session: ClientHttp2Session | undefined

  constructor(target: LoadTarget) {
    this.#target = target
    const fresh = async (): Promise<number> => callOnce(target)
    const kept = async (): Promise<number> => callOnce(target, this.#agent)
    const streams = async (): Promise<number> => this.#callOrRepeat()
    this.#rows = [
      ...[fresh, fresh, fresh, fresh].map(async call => this.#row('new', call)),
      ...[kept, kept, kept, kept].map(async call => this.#row('kept', call)),
      ...[streams, streams].map(async call => this.#row('http2', call)),
    ]
  }

  /** Resolves when all rows have made some calls since. */
  async more(): Promise<void> {
    const before = this.calls
    await readUntil(
      async () => Promise.resolve(this.calls),
      calls => calls > before + 100,
      PATIENCE_MS,
    )
  }

  /** What failed. */
  async end(): Promise<readonly string[]> {
    this.#over = true
    await Promise.all(this.#rows)
    this.#agent.destroy()
    this.#session?.close()
    return this.#failed
  }

  async #row(name: string, call: () => Promise<number>): Promise<void> {
    while (!this.#over) {
      this.calls += 1
      try {
        const status = await call()
        if (status !== 200) this.#failed.push(`${name}: ${status}`)
      } catch (error) {
        this.#failed.push(`${name}: ${String(error)}`)
      }
    }
  }

  /** What comes too late for a connection that ends is refused unseen, and a client tries it elsewhere (RFC 9113 §8.7). */
  async #callOrRepeat(): Promise<number> {
    for (;;) {
      const session = this.#openSession()
      try {
        return await this.#callHttp2(session)
      } catch (error) {
        if (!String(error).includes('NGHTTP2_REFUSED_STREAM')) throw error
        // This one, not the one that another row may have opened since.
        session.close()
      }
    }
  }

  #openSession(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = connectHttp2(`http://127.0.0.1:${this.#target.port}`)
      this.#session.on('error', () => {})
    }
    return this.#session
  }

  async #callHttp2(session: ClientHttp2Session): Promise<number> {
    return new Promise((resolve, reject) => {
      const stream = session.request({ ':path': '/', 'x-api-key': this.#target.key })
      let status = 0
      stream.once('response', headers => {
        status = headers[':status'] ?? 0
      })
      stream.once('error', reject)
      stream.resume().once('end', () => resolve(status))
    })
  }
}

/** A connection through a tunnel to a deployment that says everything again. */
export class EchoTunnel {
  readonly socket: Socket

  constructor(socket: Socket) {
    this.socket = socket
  }

  static async open(port: number): Promise<EchoTunnel> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    const tunnel = new EchoTunnel(socket)
    await tunnel.echo()
    return tunnel
  }

  async echo(): Promise<boolean> {
    this.socket.write('hello')
    const [bytes] = (await once(this.socket, 'data')) as [Buffer]
    return bytes.toString() === 'hello'
  }
}

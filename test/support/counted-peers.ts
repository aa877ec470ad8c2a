/** A client and a deployment on raw sockets that count every byte, for what must be exact to the byte. */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import type { Test } from 'tap'
import { readStrictAnswer, readStrictRequest, type StrictRequest } from './strict-http1.ts'

/** A client's socket. Whoever opens it need not close it: the test does at its end. */
export class CountedClient {
  /** Bytes written, inside TLS. */
  sent = 0
  readonly socket: net.Socket
  readonly #chunks: Buffer[] = []
  #received = 0
  readonly #waiting = new Set<() => void>()

  private constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#received += chunk.length
      this.#look()
    })
    socket.on('end', () => this.#look())
    socket.on('close', () => this.#look())
    // A reset is an end as well; what came before it counts.
    socket.on('error', () => {})
  }

  static async connect(
    t: Test,
    options: net.TcpNetConnectOpts | tls.ConnectionOptions,
  ): Promise<CountedClient> {
    const secure = 'ca' in options
    const all = { host: '127.0.0.1', noDelay: true, allowHalfOpen: true, ...options }
    const socket = secure ? tls.connect(all) : net.connect(all as net.TcpNetConnectOpts)
    t.teardown(() => socket.destroy())
    await once(socket, secure ? 'secureConnect' : 'connect')
    return new CountedClient(socket)
  }

  /** Bytes read, inside TLS. */
  get received(): number {
    return this.#received
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  /** Resolves when the kernel has it. */
  async write(data: Buffer | string): Promise<void> {
    const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data
    this.sent += bytes.length
    await new Promise<void>(resolve => {
      this.socket.write(bytes, () => resolve())
    })
  }

  /** Looks at every arrival until `condition` holds. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.socket.destroyed) throw new Error(`closed after ${this.#received} bytes`)
      await new Promise<void>(resolve => this.#waiting.add(resolve))
    }
  }

  async untilReceived(bytes: number): Promise<void> {
    await this.until(() => this.#received >= bytes)
  }

  /** The peer will send no more, however it said so. */
  async untilEnd(): Promise<void> {
    await this.until(() => this.socket.readableEnded || this.socket.destroyed)
  }

  /** Statuses of the complete answers so far, each read strictly; `methods` are those of the requests. */
  answers(methods: readonly string[]): number[] {
    const statuses: number[] = []
    const all = this.bytes
    let at = 0
    for (const method of methods) {
      let status = 0
      while (status < 200) {
        const result = readStrictAnswer(all.subarray(at), {
          method,
          closed: this.socket.readableEnded,
        })
        if (result.kind === 'violation') throw new Error(result.rule)
        if (result.kind === 'incomplete') return statuses
        at += result.length
        status = result.message.status
      }
      statuses.push(status)
    }
    if (at !== all.length) throw new Error(`${all.length - at} bytes that belong to no answer`)
    return statuses
  }

  #look(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

export interface CountedDeployment {
  readonly port: number
  /** Bytes of all connections. */
  received: number
  sent: number
}

type Serve = (socket: net.Socket, deployment: CountedDeployment) => void

/** A server on a port of its own, with TLS where it gets a certificate; `serve` gets each connection. */
export async function countedDeployment(
  t: Test,
  serve: Serve,
  secure?: { readonly cert: string; readonly key: string },
): Promise<CountedDeployment> {
  const sockets = new Set<net.Socket>()
  const accept = (socket: net.Socket): void => {
    sockets.add(socket)
    socket.on('data', (chunk: Buffer) => {
      deployment.received += chunk.length
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      sockets.delete(socket)
      deployment.sent += socket.bytesWritten
    })
    serve(socket, deployment)
  }
  const options = { noDelay: true, allowHalfOpen: true }
  const server =
    secure === undefined
      ? net.createServer(options, accept)
      : tls.createServer({ ...options, ...secure }, accept)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  const deployment = {
    port: (server.address() as net.AddressInfo).port,
    received: 0,
    sent: 0,
  }
  return deployment
}

/** Serves HTTP: `answer` gets each whole request, in order. */
export function serveHttp(answer: (request: StrictRequest, socket: net.Socket) => void): Serve {
  return socket => {
    let unread: Buffer = Buffer.alloc(0)
    let ended = false
    socket.on('data', (chunk: Buffer) => {
      if (ended) return
      unread = Buffer.concat([unread, chunk])
      while (unread.length > 0) {
        const result = readStrictRequest(unread)
        if (result.kind === 'incomplete') return
        if (result.kind === 'violation') {
          socket.destroy(new Error(result.rule))
          return
        }
        unread = unread.subarray(result.length)
        // What follows an upgrade is no longer HTTP.
        ended = result.message.fields.some(([name]) => name === 'upgrade')
        answer(result.message, socket)
        if (ended) {
          if (unread.length > 0) socket.emit('data', unread)
          return
        }
      }
    })
    socket.on('end', () => {
      if (!ended) socket.end()
    })
  }
}

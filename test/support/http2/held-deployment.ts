/**
 * A deployment that answers as its test says, step by step, in whatever version of HTTP: what a call looks like from here is
 * the same in all of them.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import net from 'node:net'
import tls from 'node:tls'
import type { Test } from 'tap'
import { INTERNAL_ERROR } from './codes.ts'
import { FramePeer } from './frame-peer.ts'
import type { Fields, FrameStream } from './frame-stream.ts'

/** Schemes of endpoints. */
export type Upstream = 'http' | 'h2c' | 'h2'

export interface HeldCall {
  readonly path: string
  /** Octets of the body so far. */
  readonly received: number
  /** The request is whole. */
  readonly ended: boolean
  readonly trailers: Fields
  /** The proxy has given it up. */
  readonly aborted: boolean
  /** Resolves as soon as `holds`, and when it is aborted. */
  until(holds: () => boolean): Promise<void>
  answer(fields?: Fields, status?: number): void
  data(bytes: Buffer): void
  end(trailers?: Fields): void
  /** Gives it up, whatever has been said. */
  reset(): void
}

export interface HeldDeployment {
  readonly url: string
  /** All so far. */
  readonly calls: readonly HeldCall[]
  /** The next call that nobody has asked for yet. */
  next(): Promise<HeldCall>
}

export interface Secret {
  readonly cert: string
  readonly key: string
}

/** Starts it on a port of its own; `serve` gets each call. `secret` is for `h2`. */
export async function heldDeployment(
  t: Test,
  upstream: Upstream,
  secret: Secret,
  serve: (call: HeldCall) => void = () => {},
): Promise<HeldDeployment> {
  const calls: HeldCall[] = []
  let asked = 0
  let wake: (() => void)[] = []
  const take = (call: HeldCall): void => {
    calls.push(call)
    serve(call)
    for (const resolve of wake) resolve()
    wake = []
  }
  const sockets = new Set<net.Socket>()
  const server = serverOf(upstream, secret, take)
  server.on(upstream === 'h2' ? 'secureConnection' : 'connection', (socket: net.Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  return {
    url: `${upstream}://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    calls,
    next: async () => {
      const index = asked++
      while (calls.length <= index) await new Promise<void>(resolve => wake.push(resolve))
      return calls[index] as HeldCall
    },
  }
}

function serverOf(upstream: Upstream, secret: Secret, take: (call: HeldCall) => void): net.Server {
  if (upstream === 'http')
    return createServer((request, response) => take(new Http1Call(request, response)))
  const accept = (socket: net.Socket): void => {
    const peer = new FramePeer(socket, 'server')
    peer.onStream = stream => take(new StreamCall(stream))
    socket.on('end', () => socket.end())
  }
  const options = { noDelay: true, allowHalfOpen: true }
  return upstream === 'h2c'
    ? net.createServer(options, accept)
    : tls.createServer({ ...options, ...secret, ALPNProtocols: ['h2'] }, accept)
}

class StreamCall implements HeldCall {
  readonly #stream: FrameStream

  constructor(stream: FrameStream) {
    this.#stream = stream
  }

  get path(): string {
    return this.#stream.sections[0]?.find(([name]) => name === ':path')?.[1] ?? ''
  }

  get received(): number {
    return this.#stream.dataReceived
  }

  get ended(): boolean {
    return this.#stream.remoteEnded
  }

  get trailers(): Fields {
    return this.#stream.trailers ?? []
  }

  get aborted(): boolean {
    return this.#stream.resetByPeer !== undefined
  }

  async until(holds: () => boolean): Promise<void> {
    await this.#stream.until(() => holds() || this.aborted)
  }

  answer(fields: Fields = [], status = 200): void {
    this.#stream.section([[':status', String(status)], ...fields])
  }

  data(bytes: Buffer): void {
    this.#stream.write(bytes)
  }

  end(trailers?: Fields): void {
    this.#stream.end(trailers ?? 'frame')
  }

  reset(): void {
    this.#stream.reset(INTERNAL_ERROR)
  }
}

class Http1Call implements HeldCall {
  readonly path: string
  received = 0
  ended = false
  aborted = false
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  #waiting: (() => void)[] = []

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.path = request.url ?? ''
    this.#request = request
    this.#response = response
    request.on('data', (chunk: Buffer) => {
      this.received += chunk.length
      this.#wake()
    })
    request.on('end', () => {
      this.ended = true
      this.#wake()
    })
    const gone = (): void => {
      this.aborted ||= !response.writableFinished
      this.#wake()
    }
    request.on('error', gone)
    response.on('error', gone)
    response.on('close', gone)
  }

  get trailers(): Fields {
    return Object.entries(this.#request.trailers).map(([name, value = '']) => [name, value])
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds() && !this.aborted)
      await new Promise<void>(resolve => this.#waiting.push(resolve))
  }

  answer(fields: Fields = [], status = 200): void {
    this.#response.writeHead(status, fields.flat())
    this.#response.flushHeaders()
  }

  data(bytes: Buffer): void {
    this.#response.write(bytes)
  }

  end(trailers: Fields = []): void {
    if (trailers.length > 0)
      this.#response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]))
    this.#response.end()
  }

  reset(): void {
    this.#request.socket.resetAndDestroy()
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}

/** Clients and deployments of HTTP/2, frame by frame, for a test with a proxy in the middle. */
import { once } from 'node:events'
import net from 'node:net'
import type tls from 'node:tls'
import type { Test } from 'tap'
import { type ProxyLab, proxyTest } from '../proxy-lab.ts'
import type { RunningProxy } from '../start-proxy.ts'
import { FramePeer, type FramePeerOptions } from './frame-peer.ts'
import type { Fields, FrameStream } from './frame-stream.ts'

/** An `h2c` deployment. */
export interface FrameDeployment {
  readonly url: string
  /** All connections that there were. */
  readonly connections: readonly FramePeer[]
  /** All streams that came, in order, with the connection that they came on. */
  readonly streams: readonly { readonly stream: FrameStream; readonly peer: FramePeer }[]
  /** Resolves when so many streams have come. */
  came(count: number): Promise<void>
}

export class Http2Lab {
  readonly #peers: FramePeer[] = []
  readonly #servers: net.Server[] = []

  /** A client of the listener `public`. */
  async client(
    proxy: RunningProxy,
    secure?: tls.ConnectionOptions,
    listener = 'public',
    options: FramePeerOptions = {},
  ): Promise<FramePeer> {
    const place = { host: '127.0.0.1', port: proxy.port(listener), tls: secure }
    const peer = await FramePeer.connect(place, options)
    this.#peers.push(peer)
    return peer
  }

  /** `serve` gets each stream as soon as its first section is there; `greet` each connection. */
  async deployment(
    serve: (stream: FrameStream, peer: FramePeer) => void = () => {},
    greet: (peer: FramePeer) => void = () => {},
    options: FramePeerOptions = {},
  ): Promise<FrameDeployment> {
    const connections: FramePeer[] = []
    const streams: { stream: FrameStream; peer: FramePeer }[] = []
    let waiting: (() => void)[] = []
    const server = net.createServer({ noDelay: true, allowHalfOpen: true }, socket => {
      const peer = new FramePeer(socket, 'server', options)
      connections.push(peer)
      this.#peers.push(peer)
      socket.on('end', () => socket.end())
      peer.onStream = stream => {
        streams.push({ stream, peer })
        serve(stream, peer)
        const wake = waiting
        waiting = []
        for (const resolve of wake) resolve()
      }
      greet(peer)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    this.#servers.push(server)
    return {
      url: `h2c://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
      connections,
      streams,
      came: async count => {
        while (streams.length < count) await new Promise<void>(resolve => waiting.push(resolve))
      },
    }
  }

  close(): void {
    for (const peer of this.#peers) peer.abort('end')
    for (const server of this.#servers) server.close()
  }
}

/** A test with a lab for proxies, and one for what speaks HTTP/2 to them. */
export async function http2Test(
  name: string,
  body: (t: Test, lab: ProxyLab, http2: Http2Lab) => Promise<void>,
): Promise<void> {
  await proxyTest(name, async (t, lab) => {
    const http2 = new Http2Lab()
    try {
      await body(t, lab, http2)
    } finally {
      http2.close()
    }
  })
}

/** A request without a body unless `more` says otherwise. */
export function request(
  peer: FramePeer,
  { method = 'GET', authority = 'acme.test', path = '/', more = [], end = true }: RequestShape = {},
): FrameStream {
  const fields: Fields = [
    [':method', method],
    [':scheme', 'http'],
    [':authority', authority],
    [':path', path],
    ...more,
  ]
  const stream = peer.request(fields, { end })
  gather(stream)
  return stream
}

export interface RequestShape {
  readonly method?: string
  readonly authority?: string
  readonly path?: string
  readonly more?: Fields
  readonly end?: boolean
}

/** Answers with `body`, and ends. */
export function respond(stream: FrameStream, body = 'ok', status = 200): void {
  stream.section([
    [':status', String(status)],
    ['content-length', String(body.length)],
  ])
  stream.write(Buffer.from(body))
  stream.end()
}

/** Status and body of an answer, once it is whole: `200 ok`; or `reset N`, or `lost`. */
export async function outcomeOf(stream: FrameStream): Promise<string> {
  const body = gather(stream)
  await stream.until(() => stream.remoteEnded || stream.resetByPeer !== undefined)
  // A reset behind a whole answer says that the rest of the request is not wanted.
  if (stream.remoteEnded) return `${stream.status} ${body.text}`
  return stream.resetByPeer === undefined ? 'lost' : `reset ${stream.resetByPeer}`
}

const bodies = new WeakMap<FrameStream, { text: string }>()

/** Keeps the body from the first time on. */
function gather(stream: FrameStream): { readonly text: string } {
  const known = bodies.get(stream)
  if (known !== undefined) return known
  const body = { text: '' }
  bodies.set(stream, body)
  stream.onData = bytes => {
    body.text += bytes.toString()
  }
  return body
}

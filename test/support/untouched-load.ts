/**
 * Load that must not notice anything: connections of all kinds that were opened once and are used again and again, and some that
 * are opened for each call. Whatever ends, is refused or answers wrongly is told by name.
 */
import http from 'node:http'
import http2, { type ClientHttp2Stream, type ServerHttp2Stream } from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { Http2Client } from './http2/http2-client.ts'
import { connectPeer, type Peer } from './peer.ts'

/** Between two steps of a load: the proxy shares its cores with what drives it. */
const PAUSE_MS = 3
/** Nothing that it waits for takes a tenth of it on an idle machine. */
const PATIENCE_MS = 10_000
const MESSAGE = 'ping'

/** One client that does the same thing all of the time. */
export class SteadyClient {
  readonly name: string
  /** How often it has done it. */
  done = 0
  /** Why it could not go on. */
  fault: string | undefined
  readonly #step: () => Promise<void>
  #running: Promise<void> | undefined
  #stopped = false

  constructor(name: string, step: () => Promise<void>) {
    this.name = name
    this.#step = step
  }

  start(): this {
    this.#running = this.#run()
    return this
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#step()
      } catch (error) {
        this.fault = `after ${this.done}: ${String(error)}`
        return
      }
      this.done += 1
      await pause(PAUSE_MS)
    }
  }
}

async function called(peer: Peer, host: string, lines = ''): Promise<void> {
  await peer.send(`GET / HTTP/1.1\r\nhost: ${host}\r\n${lines}\r\n`)
  const head = await peer.readHead()
  const length = /^content-length: (\d+)\r$/im.exec(head)?.[1] ?? '0'
  const body = await peer.readBytes(Number(length))
  if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(`${head.slice(0, 30)} ${body}`)
}

async function echoed(peer: Peer): Promise<void> {
  await peer.send(MESSAGE)
  const answer = await peer.readBytes(MESSAGE.length)
  if (answer !== MESSAGE) throw new Error(`${answer} instead of ${MESSAGE}`)
}

/** Calls over one kept connection. */
export async function kept(
  name: string,
  peer: Promise<Peer>,
  host: string,
  lines = '',
): Promise<SteadyClient> {
  const open = await peer
  return new SteadyClient(name, () => called(open, host, lines))
}

/** A connection a call. */
export function fresh(name: string, open: () => Promise<Peer>, host: string): SteadyClient {
  return new SteadyClient(name, async () => {
    const peer = await open()
    await called(peer, host)
    peer.destroy()
  })
}

/** A WebSocket as far as a proxy looks at it. */
export async function webSocket(port: number, host: string): Promise<SteadyClient> {
  const peer = await connectPeer(port)
  await peer.send(
    `GET /socket HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n` +
      'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  const head = await peer.readHead()
  if (!head.startsWith('HTTP/1.1 101 ')) throw new Error(head)
  return new SteadyClient('a WebSocket', () => echoed(peer))
}

export async function tunnel(port: number, address: string): Promise<SteadyClient> {
  const peer = await connectPeer(port, address)
  return new SteadyClient('a tunnel', () => echoed(peer))
}

/** Calls over one connection of HTTP/2, to two tenants at a time. */
export async function streams(
  port: number,
  hosts: readonly string[],
): Promise<{ readonly client: Http2Client; readonly steady: SteadyClient }> {
  const client = await Http2Client.connect(port)
  const steady = new SteadyClient('calls over HTTP/2', async () => {
    for (const { status } of await Promise.all(hosts.map(host => client.call({ host }))))
      if (status !== 200) throw new Error(`status ${status}`)
    if (client.goaways.length > 0 || client.session.closed) throw new Error('the session ends')
  })
  return { client, steady }
}

/** One call that goes on for as long as the load does. */
export function longStream(client: Http2Client, host: string): SteadyClient {
  const stream = client.open({ host, method: 'POST', path: '/echo' })
  return new SteadyClient('a stream of HTTP/2', () => echoedOn(stream))
}

async function echoedOn(stream: ClientHttp2Stream): Promise<void> {
  if (stream.closed) throw new Error(`the stream ended with ${String(stream.rstCode)}`)
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const ended = (): void => reject(new Error(`the stream ends with ${String(stream.rstCode)}`))
  stream.once('data', chunk => resolve(String(chunk)))
  stream.once('close', ended)
  stream.write(MESSAGE)
  const timer = setTimeout(reject, PATIENCE_MS, new Error('no echo'))
  const answer = await promise
  clearTimeout(timer)
  stream.off('close', ended)
  if (answer !== MESSAGE) throw new Error(`${answer} instead of ${MESSAGE}`)
}

/** A deployment that answers calls, and echoes what comes over a WebSocket. Gives its port. */
export async function httpDeployment(t: Test): Promise<number> {
  const server = http.createServer((_request, response) => response.end('ok'))
  const upgraded = new Set<Duplex>()
  server.keepAliveTimeout = 0
  server.on('upgrade', (_request, socket: Duplex) => {
    upgraded.add(socket)
    socket.on('error', () => {})
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    )
    socket.pipe(socket)
  })
  t.teardown(() => {
    for (const socket of upgraded) socket.destroy()
    server.closeAllConnections()
    server.close()
  })
  return listeningPort(server)
}

/** One that speaks HTTP/2 in cleartext, and echoes bodies. */
export async function http2Deployment(t: Test): Promise<number> {
  const sessions = new Set<http2.ServerHttp2Session>()
  const server = http2.createServer()
  server.on('session', session => sessions.add(session))
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {})
    if (headers[':method'] === 'GET') {
      stream.respond({ ':status': 200, 'content-length': '2' })
      stream.end('ok')
      return
    }
    stream.respond({ ':status': 200 })
    stream.pipe(stream)
  })
  t.teardown(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return listeningPort(server)
}

export async function echoDeployment(t: Test): Promise<number> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return listeningPort(server)
}

async function listeningPort(server: net.Server | http2.Http2Server): Promise<number> {
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return (server.address() as AddressInfo).port
}

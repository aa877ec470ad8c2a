/** Deployments of `node:http` and `node:http2`, in cleartext and over TLS, with an application in them. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import http2, { type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import https from 'node:https'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Test } from 'tap'
import type { CertificateFiles } from '../certificates.ts'
import { Application } from './application.ts'

export interface DeploymentPlan {
  readonly version: 1 | 2
  /** TLS with this certificate. */
  readonly certificate?: CertificateFiles | undefined
  readonly settings?: http2.Settings
  /** 0, or one that was free a moment ago. */
  readonly port?: number
}

export interface RunningDeployment {
  readonly application: Application
  readonly port: number
  /** As a configuration names it. */
  readonly endpoint: string
  /** Connections that there ever were. */
  readonly connections: readonly Socket[]
  /** Of connections of HTTP/2. */
  readonly sessions: readonly ServerHttp2Session[]
  /** Heads of extended CONNECT and of plain CONNECT that came, and of upgrades. */
  readonly tunnels: readonly http.IncomingHttpHeaders[]
  /** Of HTTP/2. */
  readonly tunnelStreams: readonly ServerHttp2Stream[]
  /** Accepts no more, and cuts what is open. */
  close(): Promise<void>
}

const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Starts one; the end of the test closes it. */
export async function startDeployment(
  t: Test,
  name: string,
  { version, certificate, settings, port = 0 }: DeploymentPlan,
): Promise<RunningDeployment> {
  const application = new Application(name)
  const connections: Socket[] = []
  const sessions: ServerHttp2Session[] = []
  const tunnels: http.IncomingHttpHeaders[] = []
  const tunnelStreams: ServerHttp2Stream[] = []
  const server: Server =
    version === 1
      ? http1Server(application, certificate, tunnels)
      : http2Server(application, { certificate, settings, sessions, tunnels, tunnelStreams })
  server.on(certificate === undefined ? 'connection' : 'secureConnection', (socket: Socket) =>
    connections.push(socket),
  )
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const bound = (server.address() as AddressInfo).port
  const scheme = SCHEMES[version][certificate === undefined ? 0 : 1]
  const close = async (): Promise<void> => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    for (const session of sessions) session.destroy()
    for (const socket of connections) socket.destroy()
    await closed
  }
  t.teardown(close)
  return {
    application,
    port: bound,
    endpoint: `${scheme}://127.0.0.1:${bound}`,
    connections,
    sessions,
    tunnels,
    tunnelStreams,
    close,
  }
}

const SCHEMES = { 1: ['http', 'https'], 2: ['h2c', 'h2'] } as const

function http1Server(
  application: Application,
  certificate: CertificateFiles | undefined,
  tunnels: http.IncomingHttpHeaders[],
): Server {
  const server =
    certificate === undefined
      ? http.createServer(application.serve)
      : https.createServer(
          { cert: certificate.cert, key: certificate.key },
          application.serve as http.RequestListener,
        )
  server.on('checkContinue', application.serveExpecting)
  server.on('upgrade', (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    tunnels.push(request.headers)
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}${WEBSOCKET_GUID}`)
      .digest('base64')
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n' +
        `sec-websocket-accept: ${accept}\r\nx-from: ${application.name}\r\n\r\n`,
    )
    echoBytes(socket, head)
  })
  server.on('connect', (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    tunnels.push({ ...request.headers, ':authority': request.url ?? '' })
    socket.write(`HTTP/1.1 200 Connected\r\nx-from: ${application.name}\r\n\r\n`)
    echoBytes(socket, head)
  })
  return server
}

interface Http2Plan {
  readonly certificate: CertificateFiles | undefined
  readonly settings: http2.Settings | undefined
  readonly sessions: ServerHttp2Session[]
  readonly tunnels: http.IncomingHttpHeaders[]
  readonly tunnelStreams: ServerHttp2Stream[]
}

function http2Server(
  application: Application,
  { certificate, settings, sessions, tunnels, tunnelStreams }: Http2Plan,
): Server {
  const options = { settings: { enableConnectProtocol: true, ...settings } }
  const server =
    certificate === undefined
      ? http2.createServer(options)
      : http2.createSecureServer({ ...options, cert: certificate.cert, key: certificate.key })
  // The interface of `node:http2` that is made to look like that of `node:http`.
  server.on('request', application.serve as unknown as () => void)
  server.on('checkContinue', application.serveExpecting as unknown as () => void)
  server.on('connect', (request: http2.Http2ServerRequest) => {
    tunnels.push(request.headers)
    tunnelStreams.push(request.stream)
    acceptTunnel(request.stream, application.name)
  })
  server.on('session', session => {
    sessions.push(session)
    session.on('error', () => {})
  })
  server.on('sessionError', () => {})
  return server
}

function acceptTunnel(stream: ServerHttp2Stream, name: string): void {
  stream.on('error', () => {})
  stream.respond({ ':status': 200, 'x-from': name })
  stream.pipe(stream)
}

function echoBytes(socket: Duplex, head: Buffer): void {
  socket.on('error', () => socket.destroy())
  if (head.length > 0) socket.write(head)
  socket.pipe(socket)
}

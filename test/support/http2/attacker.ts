/** Attackers on either side of the proxy that speak HTTP/2 frame by frame: clients, and deployments. */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import type { Test } from 'tap'
import { SETTINGS } from '../../../src/codec/http2/frame.ts'
import { CLIENT_PREFACE } from '../../../src/codec/http2/frame-writer.ts'
import { AttackPeer, type AttackPeerOptions } from './attack-peer.ts'
import { frame } from './frames.ts'

export interface AttackerOptions extends AttackPeerOptions {
  readonly port: number
  /** TLS with ALPN `h2`, else cleartext with prior knowledge. */
  readonly tls?: tls.ConnectionOptions
  /** What it says first; by default the preface and settings that change nothing. */
  readonly greeting?: Buffer
  /** The other end may not be read at all. */
  readonly paused?: boolean
}

const GREETING = Buffer.concat([CLIENT_PREFACE, frame(SETTINGS, 0)])

/** A new connection, greeted; the end of the test closes it. */
export async function connectAttacker(t: Test, options: AttackerOptions): Promise<AttackPeer> {
  const to = { port: options.port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true }
  const socket =
    options.tls === undefined
      ? net.connect(to)
      : tls.connect({ ALPNProtocols: ['h2'], ...options.tls, ...to })
  socket.on('error', () => {})
  await once(socket, options.tls === undefined ? 'connect' : 'secureConnect')
  const peer = new AttackPeer(socket, options)
  if (options.paused === true) socket.pause()
  peer.send(options.greeting ?? GREETING)
  t.teardown(() => peer.destroy())
  return peer
}

export interface FrameDeployment {
  readonly port: number
  /** All connections that there ever were. */
  readonly peers: readonly AttackPeer[]
  close(): Promise<void>
}

export interface FrameDeploymentOptions {
  readonly tls?: tls.TlsOptions
  /** What it says first; by default settings that change nothing. */
  readonly greeting?: Buffer
}

/** A deployment that speaks frames: `serve` is called with each connection. */
export async function startFrameDeployment(
  t: Test,
  serve: (peer: AttackPeer) => void | Promise<void>,
  { tls: secure, greeting = frame(SETTINGS, 0) }: FrameDeploymentOptions = {},
): Promise<FrameDeployment> {
  const peers: AttackPeer[] = []
  const accept = (socket: net.Socket): void => {
    socket.setNoDelay(true)
    const peer = new AttackPeer(socket, { skip: CLIENT_PREFACE.length, grants: true })
    peers.push(peer)
    peer.send(greeting)
    // It rejects where the proxy gives the connection up, which is what the test looks at from the other side.
    void Promise.resolve(serve(peer)).catch(() => {})
  }
  const server =
    secure === undefined
      ? net.createServer(accept)
      : tls.createServer({ ALPNProtocols: ['h2'], ...secure }, accept)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    for (const peer of peers) peer.destroy()
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }
  t.teardown(close)
  return { port: (server.address() as net.AddressInfo).port, peers, close }
}

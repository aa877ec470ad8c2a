/** A deployment whose every byte the test sends itself: connections come as peers, in the order in which they were made. */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { Peer } from './peer.ts'

const PATIENCE_MS = 8_000

export interface ManualDeployment {
  readonly port: number
  /** All connections that there ever were. */
  readonly peers: readonly Peer[]
  /** The next connection that nobody has asked for yet. */
  next(): Promise<Peer>
  /** Accepts no more, and resets what is open. */
  close(): Promise<void>
}

export interface DeploymentOptions {
  /** TLS with this certificate. */
  readonly tls?: tls.TlsOptions
  /** Called with every connection; else the test asks for them with `next`. */
  readonly serve?: (peer: Peer) => void | Promise<void>
  readonly host?: string
  /** 0, or one that was free a moment ago: a deployment that comes back. */
  readonly port?: number
}

export async function manualDeployment(options: DeploymentOptions = {}): Promise<ManualDeployment> {
  const peers: Peer[] = []
  const asked: ((peer: Peer) => void)[] = []
  let given = 0
  const accept = (socket: net.Socket): void => {
    socket.setNoDelay(true)
    const peer = new Peer(socket)
    peers.push(peer)
    void options.serve?.(peer)
    const waiting = asked.shift()
    if (waiting === undefined) return
    given++
    waiting(peer)
  }
  const server =
    options.tls === undefined
      ? net.createServer({ allowHalfOpen: true }, accept)
      : tls.createServer({ allowHalfOpen: true, ...options.tls }, accept)
  server.on('tlsClientError', () => {})
  // Handshakes that never end are no peers, and are closed all the same.
  const sockets = new Set<net.Socket>()
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as net.AddressInfo).port,
    peers,
    next: () => {
      const ready = peers[given]
      if (ready !== undefined) {
        given++
        return Promise.resolve(ready)
      }
      return new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error('no connection to the deployment')),
          PATIENCE_MS,
        )
        asked.push(peer => {
          clearTimeout(timer)
          resolve(peer)
        })
      })
    },
    close: async () => {
      for (const peer of peers) peer.destroy()
      for (const socket of sockets) socket.destroy()
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
}

/** Serves every bodiless request on a connection with `answer`, one after the other. */
export function answering(answer: string): (peer: Peer) => Promise<void> {
  return async peer => {
    try {
      for (;;) {
        await peer.until(
          () => peer.text.includes('\r\n\r\n') || peer.ended || peer.closed,
          'a request',
          // A kept connection may rest for as long as it likes.
          Number.POSITIVE_INFINITY,
        )
        if (!peer.text.includes('\r\n\r\n')) return
        await peer.readHead()
        await peer.send(answer)
      }
    } catch {
      // The test is over, or never sent anything.
    }
  }
}

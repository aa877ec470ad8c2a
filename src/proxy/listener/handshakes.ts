/** The TLS handshakes of a listener: from an accepted socket to one that is secured. */
import type { Socket } from 'node:net'
import type { TLSSocket, Server as TlsServer } from 'node:tls'
import { readClientCertificate } from '../credential/client-certificate.ts'
import type { WorkerContext } from '../worker/context.ts'
import { type Addresses, type Drainable, ignore, type Secure } from './arrival.ts'

export interface HandshakeOptions {
  /** Index of the listener. */
  readonly listener: number
  /** A server that does handshakes and listens nowhere. */
  readonly tls: TlsServer
  /** Takes what is secured; the addresses are those that the handshake was started with. */
  readonly secured: (socket: TLSSocket, addresses: Addresses, secure: Secure) => void
}

interface Handshake extends Drainable {
  readonly addresses: Addresses
}

export class Handshakes {
  readonly #context: WorkerContext
  readonly #options: HandshakeOptions
  readonly #connections: Set<Drainable>
  /** By the addresses of their sockets. */
  readonly #running = new Map<string, Handshake>()

  /** `connections` holds everything that is open, for the drain. */
  constructor(context: WorkerContext, options: HandshakeOptions, connections: Set<Drainable>) {
    this.#context = context
    this.#options = options
    this.#connections = connections
    options.tls.on('secureConnection', socket => this.#secured(socket))
    options.tls.on('tlsClientError', (_error, socket) => this.#failed(socket))
  }

  /** From here on the socket is guarded: it ends with the worker, or with its handshake. */
  start(socket: Socket, addresses: Addresses): void {
    const key = addressKey(socket)
    const destroy = (): void => {
      socket.destroy()
    }
    const handshake = { addresses, drain: destroy, destroy }
    this.#running.set(key, handshake)
    this.#connections.add(handshake)
    socket.once('close', () => this.#end(key))
    this.#options.tls.emit('connection', socket)
  }

  #secured(socket: TLSSocket): void {
    this.#context.clock.refresh()
    socket.on('error', ignore)
    const context = this.#context
    const trustDomain = context.config.authentication.spiffe?.trustDomain
    const certificate = readClientCertificate(socket, trustDomain, context.clock.now())
    // A certificate that is shown must be valid, also where none is needed.
    if (!socket.authorized && socket.getPeerX509Certificate() !== undefined) {
      this.#failed(socket)
      return
    }
    const addresses = this.#end(addressKey(socket))
    if (addresses === undefined) {
      socket.destroy()
      return
    }
    this.#options.secured(socket, addresses, {
      certificate,
      serverName: typeof socket.servername === 'string' ? socket.servername : '',
    })
  }

  #failed(socket: TLSSocket): void {
    this.#context.stats.rejected('tls_handshake_failed', this.#options.listener)
    socket.destroy()
  }

  /** What is known of a connection whose handshake is over; undefined where it closed meanwhile. */
  #end(key: string): Addresses | undefined {
    const handshake = this.#running.get(key)
    if (handshake === undefined) return undefined
    this.#running.delete(key)
    this.#connections.delete(handshake)
    return handshake.addresses
  }
}

/** The same for an accepted socket and for the TLS socket on top of it. */
function addressKey({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}

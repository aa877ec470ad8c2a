/** The TLS handshakes of a listener: from an accepted socket to one that is secured. */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { Timer } from '../../core/timer-wheel.ts'
import { socketBeneath } from '../../runtime/tls-internals.ts'
import { readClientCertificate } from '../credential/client-certificate.ts'
import type { ClientTrust } from '../credential/client-trust.ts'
import type { HandshakeFailure } from '../ipc.ts'
import type { WaitingTurn } from '../limits/source-turns.ts'
import type { Source } from '../limits/sources.ts'
import type { WorkerContext } from '../worker/context.ts'
import { type Addresses, type Drainable, ignore, type Origin, type Secure } from './arrival.ts'
import { failureOfError, failureOfVerification } from './handshake-failures.ts'
import type { Refusals } from './refusals.ts'
import type { TlsServers } from './tls.ts'

export interface HandshakeOptions {
  /** Index of the listener. */
  readonly listener: number
  readonly servers: TlsServers
  /** At once; a connection beyond is closed. */
  readonly most: number
  /** Who writes of those that fail. */
  readonly refusals: Refusals
  /** Takes what is secured; the addresses are those that the handshake was started with. */
  readonly secured: (socket: TLSSocket, addresses: Addresses, secure: Secure) => void
}

export class Handshakes {
  readonly #context: WorkerContext
  readonly #options: HandshakeOptions
  readonly #connections: Set<Drainable>
  readonly #running = new Map<Socket, Handshake>()
  #servers: TlsServers
  #most: number

  /** `connections` holds everything that is open, for the drain. */
  constructor(context: WorkerContext, options: HandshakeOptions, connections: Set<Drainable>) {
    this.#context = context
    this.#options = options
    this.#connections = connections
    this.#servers = this.#listenTo(options.servers)
    this.#most = options.most
  }

  /** From now on handshakes are those of `servers`; the running ones end with the certificates that they began with. */
  use(servers: TlsServers, most: number): void {
    this.#servers = this.#listenTo(servers)
    this.#most = most
  }

  /**
   * From here on the socket is guarded: it ends with the worker, with its handshake, or where that takes too long, for which
   * the time before it begins counts as well. False where there are too many: then it is closed.
   */
  take(socket: Socket, addresses: Addresses): boolean {
    if (this.#running.size >= this.#most) {
      this.#count('too_many', addresses)
      socket.destroy()
      return false
    }
    const refusal = addresses.source?.beginHandshake(this.#context.clock.monotonic())
    if (refusal !== undefined) {
      this.#options.refusals.refuse(socket, addresses, refusal)
      return false
    }
    const handshake = new Handshake(socket, addresses, name => this.#begin(socket, name))
    this.#running.set(socket, handshake)
    this.#connections.add(handshake)
    const { wheel, clock, config } = this.#context
    // From the first moment to the last: also a client that sends a byte now and then is through by then, or gone.
    wheel.arm(handshake.timer, config.timeouts.handshake, clock.monotonic())
    socket.once('close', () => this.#closed(socket))
    return true
  }

  /**
   * The handshake of a socket that was taken may begin when its turn comes; `name` is what the client asks for, or `''`.
   * Its ClientHello is all there: what is computed for it is computed then.
   */
  begin(socket: Socket, name: string): void {
    const handshake = this.#running.get(socket)
    if (handshake === undefined) return
    handshake.name = name
    this.#context.handshakeTurns.join(handshake)
  }

  #begin(socket: Socket, name: string): void {
    this.#context.clock.refresh()
    // A client that sends no more can end no handshake; the TLS socket takes this over.
    socket.allowHalfOpen = false
    this.#servers.find(name).emit('connection', socket)
  }

  /** There will be none: the socket is somebody else's. */
  letGo(socket: Socket): void {
    this.#end(socket)
  }

  /** There will be none, for this reason; the socket is still to be closed. */
  refuse(socket: Socket, failure: HandshakeFailure): void {
    this.#ended(socket, failure)
  }

  #listenTo(servers: TlsServers): TlsServers {
    for (const server of servers.all) {
      server.on('secureConnection', socket => this.#secured(socket, servers.trust))
      server.on('tlsClientError', (error, socket) => this.#failed(error, socket))
    }
    return servers
  }

  /** `trust`: that of the server with which the handshake began. */
  #secured(socket: TLSSocket, trust: ClientTrust): void {
    const context = this.#context
    context.clock.refresh()
    socket.on('error', ignore)
    socket.allowHalfOpen = true
    const handshake = this.#end(socketBeneath(socket))
    if (handshake === undefined) {
      socket.destroy()
      return
    }
    const certificate = readClientCertificate(socket, trust, context.clock.now())
    const failure = certificate === undefined ? faultOf(socket) : undefined
    if (failure !== undefined) {
      this.#count(failure, handshake.addresses)
      socket.destroy()
      return
    }
    context.stats.handshake(this.#options.listener, socket.isSessionReused())
    this.#options.secured(socket, handshake.addresses, {
      certificate,
      serverName: typeof socket.servername === 'string' ? socket.servername : '',
    })
  }

  #failed(error: Error, socket: TLSSocket): void {
    this.#ended(socketBeneath(socket), reasonOf(error, socket))
    socket.destroy()
  }

  /** The socket closes before the TLS on top of it says why; where it says nothing, the client went. */
  #closed(socket: Socket): void {
    const handshake = this.#running.get(socket)
    if (handshake === undefined) return
    this.#connections.delete(handshake)
    // Its turn may come before its end is told: TLS on a socket that is closed would wait for a client that has gone.
    this.#context.handshakeTurns.leave(handshake)
    if (handshake.ending === undefined) setImmediate(() => this.#ended(socket, 'client_closed'))
    else this.#ended(socket, handshake.ending)
  }

  #ended(socket: Socket | undefined, failure: HandshakeFailure | 'drained'): void {
    const handshake = this.#end(socket)
    if (handshake === undefined) return
    const why = handshake.ending ?? failure
    if (why !== 'drained') this.#count(why, handshake.addresses)
  }

  #count(failure: HandshakeFailure, origin: Origin): void {
    const { listener, refusals } = this.#options
    this.#context.stats.rejected('tls_handshake_failed', listener)
    this.#context.stats.handshakeFailed(failure, listener)
    refusals.log(origin, 'tls_handshake_failed', failure)
  }

  /** A handshake that is over, once. */
  #end(socket: Socket | undefined): Handshake | undefined {
    const handshake = socket && this.#running.get(socket)
    if (socket === undefined || handshake === undefined) return undefined
    this.#running.delete(socket)
    this.#connections.delete(handshake)
    this.#context.wheel.cancel(handshake.timer)
    this.#context.handshakeTurns.leave(handshake)
    handshake.addresses.source?.endHandshake()
    return handshake
  }
}

/** One that runs; it ends its socket where it takes too long, and with the worker. */
class Handshake implements Drainable, WaitingTurn {
  readonly kind = 'opening'
  readonly addresses: Addresses
  /** That the client asks for. */
  name = ''
  readonly timer = new Timer(this)
  /** Why we ended it ourselves. */
  ending: 'timeout' | 'drained' | undefined
  readonly #socket: Socket
  readonly #begin: (name: string) => void

  constructor(socket: Socket, addresses: Addresses, begin: (name: string) => void) {
    this.#socket = socket
    this.addresses = addresses
    this.#begin = begin
  }

  get source(): Source | undefined {
    return this.addresses.source
  }

  turnCame(): void {
    this.#begin(this.name)
  }

  timerExpired(): void {
    this.ending = 'timeout'
    this.#socket.destroy()
  }

  /** It goes on: see `FirstRead.drain`. */
  drain(): void {}

  destroy(): void {
    this.ending = 'drained'
    this.#socket.destroy()
  }
}

/** A listener that needs a certificate ends the connection without an error where that does not verify. */
function reasonOf({ code }: Error & { code?: string }, socket: TLSSocket): HandshakeFailure {
  const { authorizationError } = socket as { authorizationError: unknown }
  return typeof authorizationError === 'string'
    ? failureOfVerification(authorizationError)
    : failureOfError(code)
}

/** A certificate that is shown must be valid, also where none is needed. What it was once verified for it may be too old for now. */
function faultOf(socket: TLSSocket): HandshakeFailure | undefined {
  if (socket.authorized) return 'certificate_expired'
  const { authorizationError } = socket as { authorizationError: unknown }
  // No certificate was asked for.
  if (typeof authorizationError !== 'string') return undefined
  return socket.getPeerX509Certificate() === undefined
    ? undefined
    : failureOfVerification(authorizationError)
}

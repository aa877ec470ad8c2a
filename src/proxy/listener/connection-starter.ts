/**
 * From an accepted socket to what its own bytes begin with: PROXY header, whose it is by that already, and TLS. Until its
 * forwarder has it, the socket is guarded: against errors, against a peer that says nothing, and against the end of the
 * worker.
 */
import type { Socket } from 'node:net'
import type { ProxyHeader } from '../../codec/proxy-protocol.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { type ArrivalClaims, NO_CLAIMS } from '../credential/call-evidence.ts'
import { sourceOf } from '../credential/check-admission.ts'
import type { Source, SourceRefusal } from '../limits/sources.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { WorkerContext } from '../worker/context.ts'
import { type Addresses, type Drainable, ignore, type Origin } from './arrival.ts'
import { Forwarding, type ForwardingOptions } from './forwarding.ts'
import { type HandshakeOptions, Handshakes } from './handshakes.ts'
import { ProxyHeaderReader } from './proxy-header-reader.ts'
import { Refusals } from './refusals.ts'
import { type Opening, TlsOpening } from './tls-opening.ts'

export interface StartOptions extends ForwardingOptions {
  readonly proxyProtocol: 'off' | 'required'
  /** Of a listener with TLS. */
  readonly handshakes: Pick<HandshakeOptions, 'servers' | 'most'> | undefined
}

export class ConnectionStarter {
  readonly #context: WorkerContext
  readonly #options: StartOptions
  readonly #connections: Set<Drainable>
  readonly #refusals: Refusals
  readonly #forwarding: Forwarding
  /** Of a listener with TLS. */
  readonly handshakes: Handshakes | undefined

  /** `connections` holds everything that is open, for the drain. */
  constructor(context: WorkerContext, options: StartOptions, connections: Set<Drainable>) {
    this.#context = context
    this.#options = options
    this.#connections = connections
    const { handshakes, scope } = options
    this.#refusals = new Refusals(context, scope, connections)
    this.#forwarding = new Forwarding(context, options, connections, this.#refusals)
    if (handshakes === undefined) return
    const secured: HandshakeOptions['secured'] = (socket, addresses, secure) =>
      this.#forwarding.start(socket, addresses, secure)
    this.handshakes = new Handshakes(
      context,
      { ...handshakes, listener: scope.index, secured, refusals: this.#refusals },
      connections,
    )
  }

  /** Whether a connection from `address` is refused whatever it would say. Then it is counted. */
  refuses(address: string): boolean {
    const { clock } = this.#context
    clock.refresh()
    const origin = { peer: plainAddress(address), acceptedAt: clock.monotonic() }
    const code = this.#refusalOf(origin)
    if (code === undefined) return false
    this.#refusals.count(origin, code)
    return true
  }

  /** With a PROXY header only those that we trust may say whose a connection is: from anybody else no byte is read. */
  #refusalOf({ peer, acceptedAt }: Origin): ErrorCode | undefined {
    const { overload, sources, directory } = this.#context
    const { proxyProtocol, trusted } = this.#options
    if (overload.refusesConnections) return 'overloaded'
    if (trusted.has(peer)) return undefined
    if (proxyProtocol === 'required') return 'proxy_protocol_untrusted'
    // What is passed through has no handshake here.
    const shakes = this.handshakes !== undefined && !directory.hasPassthrough
    return sources.refusal(sourceOf(peer), shakes, acceptedAt)
  }

  /** Takes an accepted socket. */
  accept(socket: Socket): void {
    this.#context.clock.refresh()
    const { proxyProtocol, scope } = this.#options
    // A socket can fail at any moment before it has its owner.
    socket.on('error', ignore)
    // Gone before it was here.
    if (socket.remoteAddress === undefined) {
      socket.destroy()
      return
    }
    const origin = {
      peer: plainAddress(socket.remoteAddress),
      acceptedAt: this.#context.clock.monotonic(),
    }
    if (proxyProtocol === 'required') {
      this.#readHeader(socket, origin)
      return
    }
    // In shared mode nobody looks at the local address, and the socket would keep it.
    const claims = scope.mode === 'private' ? this.#claims(localAddress(socket), '') : NO_CLAIMS
    this.#arrived(socket, { ...origin, claims })
  }

  /** The door has asked whom we trust; that nobody else is believed must not depend on who keeps the door. */
  #readHeader(socket: Socket, origin: Origin): void {
    if (!this.#options.trusted.has(origin.peer)) {
      this.#refusals.refuse(socket, origin, 'proxy_protocol_untrusted')
      return
    }
    const done = (header: ProxyHeader | undefined): void => {
      if (header === undefined) this.#refusals.refuse(socket, origin, 'proxy_protocol_invalid')
      else this.#arrived(socket, this.#addressesIn(header, socket, origin))
    }
    new ProxyHeaderReader(this.#context, socket, this.#connections, done).start()
  }

  /** A header that names no addresses (LOCAL, UNKNOWN, UNSPEC, UNIX) leaves those of the connection. */
  #addressesIn(
    { source, destination, facts }: ProxyHeader,
    socket: Socket,
    { peer, acceptedAt }: Origin,
  ): Addresses {
    const ends = source && destination && { source, destination }
    const isPrivate = this.#options.scope.mode === 'private'
    const local = isPrivate ? (destination?.address ?? localAddress(socket)) : ''
    const claims = this.#claims(local, facts.privateLink ?? '')
    return { peer: source?.address ?? peer, acceptedAt, claims, ends, facts }
  }

  #claims(address: string, link: string): ArrivalClaims {
    const { directory } = this.#context
    return {
      address,
      addressOwner: address === '' ? undefined : directory.byAddress(address)?.id,
      link,
      linkOwner: link === '' ? undefined : directory.byPrivateLink(link)?.id,
    }
  }

  /**
   * The limits of where it comes from are first: they cost least. Where the address decides, nothing that the client could
   * say helps at an address of nobody.
   */
  #arrived(socket: Socket, arrival: Addresses): void {
    const source = this.#enter(socket, arrival.peer)
    if (typeof source === 'string') {
      this.#refusals.refuse(socket, arrival, source)
      return
    }
    const addresses = source === undefined ? arrival : { ...arrival, source }
    const { addressOwner, linkOwner } = addresses.claims
    const nobodys = addressOwner === undefined && linkOwner === undefined
    if (nobodys && this.#options.scope.mode === 'private')
      this.#refusals.refuse(socket, addresses, 'unroutable')
    else this.#open(socket, addresses)
  }

  /** Those that we trust speak for many, and are no source. */
  #enter(socket: Socket, peer: string): Source | SourceRefusal | undefined {
    if (this.#options.trusted.has(peer)) return undefined
    const { sources, clock } = this.#context
    const source = sources.enter(sourceOf(peer), clock.monotonic())
    if (typeof source !== 'string')
      socket.once('close', () => sources.leave(source, clock.monotonic()))
    return source
  }

  /** Before TLS is ended it must be known that it is to be ended here. */
  #open(socket: Socket, addresses: Addresses): void {
    const { scope, protocol } = this.#options
    const { directory } = this.#context
    const { handshakes } = this
    if (directory.hasPassthrough && this.#isOfPassthrough(addresses)) {
      this.#forwarding.startTunnel(socket, addresses, undefined)
      return
    }
    if (handshakes !== undefined && !handshakes.take(socket, addresses)) return
    const postgres = protocol !== 'http'
    const mayPass = postgres && scope.mode === 'shared' && directory.hasPassthrough
    if (handshakes === undefined && !mayPass) {
      this.#forwarding.start(socket, addresses, undefined)
      return
    }
    new TlsOpening(this.#context, socket, this.#connections, {
      ends: handshakes !== undefined,
      postgres,
      done: opening => this.#opened(socket, addresses, opening),
    }).start()
  }

  /** All that comes to the address, or through the private link, of a tenant with TLS of its own is its own. */
  #isOfPassthrough({ claims: { addressOwner, linkOwner } }: Addresses): boolean {
    const owner = addressOwner ?? linkOwner
    return owner !== undefined && this.#context.directory.byId(owner)?.passthrough === true
  }

  #opened(socket: Socket, addresses: Addresses, opening: Opening): void {
    switch (opening.kind) {
      case 'handshake':
        this.#beginHandshake(socket, addresses, opening.serverName)
        return
      case 'plain':
        this.#forwarding.start(socket, addresses, undefined)
        return
      case 'passthrough':
        this.handshakes?.letGo(socket)
        this.#forwarding.startPassthrough(socket, addresses, opening)
        return
      case 'refused':
        this.#refuseOpening(socket, addresses, opening)
    }
  }

  /** Whether handshakes of some tenant are limited: only then it matters whose one is. */
  get #countsHandshakes(): boolean {
    const { limits, directory } = this.#context
    return limits.handshakes !== undefined || directory.hasHandshakeLimits
  }

  /** Nothing has been computed for the client by now, and nothing is where its tenant has had as many as it may. */
  #beginHandshake(socket: Socket, addresses: Addresses, serverName: string): void {
    const tenant = this.#countsHandshakes ? this.#ownerOf(addresses, serverName) : undefined
    const { handshakeLimits, stats, clock } = this.#context
    if (tenant === undefined || handshakeLimits.take(tenant, clock.monotonic())) {
      this.handshakes?.begin(socket, serverName)
      return
    }
    stats.limited(tenant.id, 'handshakes')
    this.handshakes?.refuse(socket, 'tenant_limit')
    socket.destroy()
  }

  #ownerOf({ claims }: Addresses, serverName: string): Tenant | undefined {
    const { directory } = this.#context
    const owner = claims.addressOwner ?? claims.linkOwner
    return owner === undefined ? directory.byHost(serverName) : directory.byId(owner)
  }

  #refuseOpening(
    socket: Socket,
    addresses: Addresses,
    { why, alert }: Opening & { kind: 'refused' },
  ): void {
    if (this.handshakes === undefined) {
      // Who comes and goes without a word is not refused.
      if (why === 'client_closed') socket.destroy()
      else this.#refusals.refuse(socket, addresses, 'unroutable', alert)
      return
    }
    this.handshakes.refuse(socket, why === 'unroutable' ? 'other' : why)
    this.#refusals.close(socket, alert)
  }
}

function localAddress(socket: Socket): string {
  return plainAddress(socket.localAddress)
}

/** IPv4 in IPv6 (`::ffff:10.0.0.1`) as IPv4: a wildcard socket of both families reports it so. */
function plainAddress(address: string | undefined): string {
  if (address === undefined) return ''
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
}

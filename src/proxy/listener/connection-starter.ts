/**
 * From an accepted socket to a forwarder: PROXY header, TLS, detection, classification. Until the forwarder has it, the
 * socket is guarded here: against errors, against a peer that says nothing, and against the end of the worker.
 */
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ProxyHeader } from '../../codec/proxy-protocol.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { Timer } from '../../core/timer-wheel.ts'
import { classify } from '../classify/classify.ts'
import {
  type ArrivalClaims,
  CallEvidence,
  CredentialMemo,
  NO_CLAIMS,
} from '../credential/call-evidence.ts'
import type { Downstream, ListenerScope } from '../forward/downstream.ts'
import { Http1Connection } from '../forward/http1-connection.ts'
import type { PostgresPreamble } from '../forward/postgres-greeting.ts'
import { Tunnel } from '../forward/tunnel.ts'
import type { WorkerContext } from '../worker/context.ts'
import { type Addresses, type Drainable, ignore, type Secure } from './arrival.ts'
import { type Detected, Detection } from './detection.ts'
import { type HandshakeOptions, Handshakes } from './handshakes.ts'
import { ProxyHeaderReader } from './proxy-header-reader.ts'
import { type Opening, TlsOpening } from './tls-opening.ts'
import type { TrustedPeers } from './trusted-peers.ts'

/** HTTP/2 with prior knowledge: empty SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED (RFC 9113 §6.8, §7). */
const HTTP2_REFUSAL = Buffer.from('0000000400000000000000080700000000000000000000000d', 'hex')
/** How long a client may take to read why it is refused, and close. */
const REFUSAL_MS = 1_000

export interface StartOptions {
  readonly scope: ListenerScope
  readonly protocol: 'auto' | 'http' | 'tcp'
  readonly proxyProtocol: 'off' | 'required'
  /** Of a listener with TLS. */
  readonly handshakes: Pick<HandshakeOptions, 'servers' | 'most'> | undefined
  readonly trusted: TrustedPeers
}

export class ConnectionStarter {
  readonly #context: WorkerContext
  readonly #options: StartOptions
  readonly #connections: Set<Drainable>
  /** Of a listener with TLS. */
  readonly handshakes: Handshakes | undefined

  /** `connections` holds everything that is open, for the drain. */
  constructor(context: WorkerContext, options: StartOptions, connections: Set<Drainable>) {
    this.#context = context
    this.#options = options
    this.#connections = connections
    const { handshakes, scope } = options
    if (handshakes === undefined) return
    const secured: HandshakeOptions['secured'] = (socket, addresses, secure) =>
      this.#start(socket, addresses, secure)
    this.handshakes = new Handshakes(
      context,
      { ...handshakes, listener: scope.index, secured },
      connections,
    )
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
    const peer = plainAddress(socket.remoteAddress)
    if (proxyProtocol === 'required') {
      this.#readHeader(socket, peer)
      return
    }
    // In shared mode nobody looks at the local address, and the socket would keep it.
    const claims = scope.mode === 'private' ? this.#claims(localAddress(socket), '') : NO_CLAIMS
    this.#arrived(socket, { peer, claims })
  }

  /** Only those that we trust may say whose a connection is: from anybody else no byte is read. */
  #readHeader(socket: Socket, peer: string): void {
    if (!this.#options.trusted.has(peer)) {
      this.#refuse(socket, 'proxy_protocol_untrusted')
      return
    }
    const done = (header: ProxyHeader | undefined): void => {
      if (header === undefined) this.#refuse(socket, 'proxy_protocol_invalid')
      else this.#arrived(socket, this.#addressesIn(header, socket, peer))
    }
    new ProxyHeaderReader(this.#context, socket, this.#connections, done).start()
  }

  /** A header that names no addresses (LOCAL, UNKNOWN, UNSPEC, UNIX) leaves those of the connection. */
  #addressesIn(
    { source, destination, facts }: ProxyHeader,
    socket: Socket,
    peer: string,
  ): Addresses {
    const ends = source && destination && { source, destination }
    const isPrivate = this.#options.scope.mode === 'private'
    const local = isPrivate ? (destination?.address ?? localAddress(socket)) : ''
    const claims = this.#claims(local, facts.privateLink ?? '')
    return { peer: source?.address ?? peer, claims, ends, facts }
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

  /** Where the address decides, nothing that the client could say helps at an address of nobody. */
  #arrived(socket: Socket, addresses: Addresses): void {
    const { addressOwner, linkOwner } = addresses.claims
    const nobodys = addressOwner === undefined && linkOwner === undefined
    if (nobodys && this.#options.scope.mode === 'private') this.#refuse(socket, 'unroutable')
    else this.#open(socket, addresses)
  }

  /** Ends `socket` with the worker until the function that it returns is called, or the socket closes. */
  #guard(socket: Duplex): () => void {
    const destroy = (): void => {
      socket.destroy()
    }
    const guard = { drain: destroy, destroy }
    const letGo = (): void => {
      socket.off('close', letGo)
      this.#connections.delete(guard)
    }
    this.#connections.add(guard)
    socket.on('close', letGo)
    return letGo
  }

  /** Before TLS is ended it must be known that it is to be ended here. */
  #open(socket: Socket, addresses: Addresses): void {
    const { scope, protocol } = this.#options
    const { directory } = this.#context
    const { handshakes } = this
    if (directory.hasPassthrough && this.#isOfPassthrough(addresses)) {
      this.#startTunnel(socket, addresses, undefined)
      return
    }
    if (handshakes !== undefined && !handshakes.take(socket, addresses)) return
    const postgres = protocol !== 'http'
    const looks = handshakes
      ? postgres || directory.hasPassthrough || handshakes.needName
      : postgres && scope.mode === 'shared' && directory.hasPassthrough
    if (!looks) {
      if (handshakes === undefined) this.#start(socket, addresses, undefined)
      else handshakes.begin(socket, '')
      return
    }
    new TlsOpening(this.#context, socket, this.#connections, {
      ends: handshakes !== undefined,
      needName: handshakes?.needName === true,
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
        this.handshakes?.begin(socket, opening.serverName)
        return
      case 'plain':
        this.#start(socket, addresses, undefined)
        return
      case 'passthrough':
        this.handshakes?.letGo(socket)
        this.#startPassthrough(socket, addresses, opening)
        return
      case 'refused':
        this.#refuseOpening(socket, opening)
    }
  }

  #refuseOpening(socket: Socket, { why, alert }: Opening & { kind: 'refused' }): void {
    if (this.handshakes === undefined) {
      // Who comes and goes without a word is not refused.
      if (why === 'client_closed') socket.destroy()
      else this.#refuse(socket, 'unroutable', alert)
      return
    }
    this.handshakes.refuse(socket, why === 'unroutable' ? 'other' : why)
    this.#close(socket, alert)
  }

  #start(socket: Socket, addresses: Addresses, secure: Secure | undefined): void {
    const { protocol } = this.#options
    if (this.#context.draining) {
      socket.destroy()
      return
    }
    if (protocol === 'http') this.#startHttp(socket, addresses, secure)
    else if (protocol === 'tcp') this.#startTunnel(socket, addresses, secure)
    else this.#detect(socket, addresses, secure)
  }

  #detect(socket: Socket, addresses: Addresses, secure: Secure | undefined): void {
    const detected = (found: Detected, first: Buffer): void => {
      if (found === 'http1') this.#startHttp(socket, addresses, secure, first)
      else if (found === 'http2') this.#refuse(socket, 'http2_unsupported', HTTP2_REFUSAL)
      else this.#startTunnel(socket, addresses, secure, first)
    }
    new Detection(this.#context, socket, this.#connections, detected).start()
  }

  #startHttp(
    socket: Socket,
    addresses: Addresses,
    secure: Secure | undefined,
    first?: Buffer,
  ): void {
    const downstream = this.#downstream(socket, addresses, secure, true)
    new Http1Connection(this.#context, downstream, this.#connections).start(first)
  }

  #startTunnel(
    socket: Socket,
    addresses: Addresses,
    secure: Secure | undefined,
    first?: Buffer,
  ): void {
    const downstream = this.#downstream(socket, addresses, secure, false)
    const { evidence } = downstream
    evidence.resolve(this.#context.directory)
    evidence.hostTenant = evidence.serverTenant
    this.#tunnel(downstream, first)
  }

  #startPassthrough(socket: Socket, addresses: Addresses, asked: Passthrough): void {
    const { directory } = this.#context
    const downstream = this.#downstream(socket, addresses, undefined, false)
    const { evidence } = downstream
    evidence.resolve(directory)
    evidence.hostTenant = directory.byHost(asked.serverName)
    this.#tunnel(downstream, asked.first, asked.preamble)
  }

  #tunnel(downstream: Downstream, first?: Buffer, preamble?: PostgresPreamble): void {
    const { socket } = downstream
    if (this.#context.draining) {
      socket.destroy()
      return
    }
    const verdict = classify(downstream.evidence)
    if (verdict.kind === 'refused') {
      this.#refuse(socket, verdict.error)
      return
    }
    const tunnel = new Tunnel(this.#context, downstream, verdict, () =>
      this.#connections.delete(tunnel),
    )
    this.#connections.add(tunnel)
    tunnel.start(first, preamble)
  }

  #downstream(
    socket: Socket,
    { peer, claims, ends, facts }: Addresses,
    secure: Secure | undefined,
    http: boolean,
  ): Downstream {
    const { scope, trusted } = this.#options
    const certificate = secure?.certificate
    const isTrusted = trusted.has(peer)
    const isSecure = secure !== undefined || facts?.ssl?.tls === true
    return {
      socket,
      listener: scope,
      peerAddress: peer,
      ends,
      secure: isSecure,
      trusted: isTrusted,
      clientCertificate: certificate?.xfcc ?? '',
      evidence: new CallEvidence({
        mode: scope.mode,
        http,
        arrival: claims,
        certificate,
        // Where TLS ends at a balancer, the name that the client asked for comes in the PROXY header.
        serverName: secure?.serverName ?? facts?.authority ?? '',
        secure: isSecure,
        source: isTrusted ? '' : peer,
        memo: new CredentialMemo(),
      }),
    }
  }

  #refuse(socket: Duplex, code: ErrorCode, parting?: Buffer): void {
    this.#context.stats.rejected(code, this.#options.scope.index)
    this.#close(socket, parting)
  }

  /** `parting` is what the client may still read. */
  #close(socket: Duplex, parting: Buffer | undefined): void {
    if (parting === undefined) {
      socket.destroy()
      return
    }
    const { wheel, clock } = this.#context
    this.#guard(socket)
    socket.end(parting)
    // What the client says meanwhile is thrown away: unread bytes would reset the connection before it has the answer.
    socket.resume()
    const timer = new Timer({ timerExpired: () => socket.destroy() })
    wheel.arm(timer, REFUSAL_MS, clock.monotonic())
    socket.on('close', () => wheel.cancel(timer))
  }
}

type Passthrough = Extract<Opening, { kind: 'passthrough' }>

function localAddress(socket: Socket): string {
  return plainAddress(socket.localAddress)
}

/** IPv4 in IPv6 (`::ffff:10.0.0.1`) as IPv4: a wildcard socket of both families reports it so. */
function plainAddress(address: string | undefined): string {
  if (address === undefined) return ''
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
}

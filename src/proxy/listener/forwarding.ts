/** From a connection of which all is known that can be before its own bytes, to the forwarder that has it from then on. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { classify } from '../classify/classify.ts'
import { CallEvidence, CredentialMemo } from '../credential/call-evidence.ts'
import type { Downstream, ListenerScope } from '../forward/downstream.ts'
import { Http1Connection } from '../forward/http1/http1-connection.ts'
import { Http2Connection } from '../forward/http2/http2-connection.ts'
import type { PostgresPreamble } from '../forward/postgres-greeting.ts'
import { Tunnel } from '../forward/tunnel.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Addresses, Drainable, Origin, Secure } from './arrival.ts'
import { type Detected, Detection } from './detection.ts'
import type { Refusals } from './refusals.ts'
import type { Opening } from './tls-opening.ts'
import type { TrustedPeers } from './trusted-peers.ts'

export interface ForwardingOptions {
  readonly scope: ListenerScope
  readonly protocol: 'auto' | 'http' | 'tcp'
  readonly trusted: TrustedPeers
}

type Passthrough = Extract<Opening, { kind: 'passthrough' }>

export class Forwarding {
  readonly #context: WorkerContext
  readonly #options: ForwardingOptions
  readonly #connections: Set<Drainable>
  readonly #refusals: Refusals

  /** `connections` holds everything that is open, for the drain. */
  constructor(
    context: WorkerContext,
    options: ForwardingOptions,
    connections: Set<Drainable>,
    refusals: Refusals,
  ) {
    this.#context = context
    this.#options = options
    this.#connections = connections
    this.#refusals = refusals
  }

  /** What it speaks is configured, or its first bytes say it. */
  start(socket: Socket, addresses: Addresses, secure: Secure | undefined): void {
    const { protocol } = this.#options
    const chosen = socket instanceof TLSSocket ? socket.alpnProtocol : false
    if (protocol === 'tcp') this.startTunnel(socket, addresses, secure)
    else if (chosen === 'h2') this.#startHttp2(socket, addresses, secure)
    else if (chosen === 'http/1.1') this.#startHttp1(socket, addresses, secure)
    else this.#detect(socket, addresses, secure)
  }

  #detect(socket: Socket, addresses: Addresses, secure: Secure | undefined): void {
    const detected = (found: Detected, first: Buffer): void => {
      // Over TLS it is HTTP/2 by ALPN or not at all (RFC 9113 §3.2); as HTTP/1.1 it is answered with 505.
      if (found === 'http2' && secure === undefined)
        this.#startHttp2(socket, addresses, secure, first)
      else if (found !== 'tunnel' || this.#options.protocol === 'http')
        this.#startHttp1(socket, addresses, secure, first)
      else this.startTunnel(socket, addresses, secure, first)
    }
    new Detection(this.#context, socket, this.#connections, detected).start(this.#options.protocol)
  }

  #startHttp2(
    socket: Socket,
    addresses: Addresses,
    secure: Secure | undefined,
    first?: Buffer,
  ): void {
    const downstream = this.#downstream(socket, addresses, secure, true)
    new Http2Connection(this.#context, downstream, this.#connections).start(first)
  }

  #startHttp1(
    socket: Socket,
    addresses: Addresses,
    secure: Secure | undefined,
    first?: Buffer,
  ): void {
    const downstream = this.#downstream(socket, addresses, secure, true)
    new Http1Connection(this.#context, downstream, this.#connections).start(first)
  }

  /** Carries all of it as it is; `first` is what has been read of it. */
  startTunnel(
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

  /** The same for one that asks for a tenant with TLS of its own. */
  startPassthrough(socket: Socket, addresses: Addresses, asked: Passthrough): void {
    const { directory } = this.#context
    const downstream = this.#downstream(socket, addresses, undefined, false)
    const { evidence } = downstream
    evidence.resolve(directory)
    evidence.hostTenant = directory.byHost(asked.serverName)
    this.#tunnel(downstream, asked.first, asked.preamble)
  }

  #tunnel(downstream: Downstream, first?: Buffer, preamble?: PostgresPreamble): void {
    const { socket } = downstream
    const verdict = classify(downstream.evidence)
    if (verdict.kind === 'refused') {
      this.#refusals.refuse(socket, originOf(downstream), verdict.error)
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
    { peer, acceptedAt, claims, ends, facts, source }: Addresses,
    secure: Secure | undefined,
    http: boolean,
  ): Downstream {
    const { scope, trusted } = this.#options
    const certificate = secure?.certificate
    const isTrusted = trusted.has(peer)
    const isSecure = secure !== undefined || facts?.ssl?.tls === true
    return {
      socket,
      connection: this.#context.accessLog === undefined ? '' : this.#context.nextConnectionId(),
      acceptedAt,
      listener: scope,
      peerAddress: peer,
      openedAt: this.#context.clock.monotonic(),
      source,
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
}

function originOf({ peerAddress, acceptedAt }: Downstream): Origin {
  return { peer: peerAddress, acceptedAt }
}

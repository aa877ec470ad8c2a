/** What is known of a connection between its arrival and its forwarder. */
import type { ConnectionEnds } from '../../codec/proxy-header-writer.ts'
import type { ProxyFacts } from '../../codec/proxy-tlv.ts'
import type { ArrivalClaims } from '../credential/call-evidence.ts'
import type { ClientCertificate } from '../credential/client-certificate.ts'
import type { Source } from '../limits/sources.ts'

/** Something that can be told that the worker ends, or that its tenants have changed. */
export interface Drainable {
  /** It ends as soon as it may without anybody losing anything; nothing where it sees to that by itself. */
  drain(): void
  destroy(): void
  /** How long it has to end, by what it is. */
  readonly kind: 'opening' | 'calls' | 'tunnel'
  /** Other tenants may have the address or the private link that it came by. */
  directoryChanged?(): void
}

/** Where a connection comes from, and since when it is here. */
export interface Origin {
  /** With a PROXY header what that says. */
  readonly peer: string
  /** When it was accepted, by the monotonic clock. */
  readonly acceptedAt: number
}

/** What is known of a connection by where it comes from; with a PROXY header what that says. */
export interface Addresses extends Origin {
  /** By what it can be somebody's already. */
  readonly claims: ArrivalClaims
  /** Both ends, where a PROXY header names them; else they are those of the socket. */
  readonly ends?: ConnectionEnds | undefined
  /** What else a PROXY header says. */
  readonly facts?: ProxyFacts
  /** Whose limits the connection counts for; undefined for those of `trustedProxies`. */
  readonly source?: Source | undefined
}

/** What a handshake told. */
export interface Secure {
  readonly certificate: ClientCertificate | undefined
  readonly serverName: string
}

/** Listens to errors of sockets that end by their `close`. */
export function ignore(): void {}

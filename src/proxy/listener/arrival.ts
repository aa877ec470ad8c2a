/** What is known of a connection between its arrival and its forwarder. */
import type { ClientCertificate } from '../credential/client-certificate.ts'

/** Something that can be told that the worker ends. */
export interface Drainable {
  drain(): void
  destroy(): void
}

/** Addresses of a connection; with a PROXY header those that it says. */
export interface Addresses {
  readonly peer: string
  readonly local: string
}

/** What a handshake told. */
export interface Secure {
  readonly certificate: ClientCertificate | undefined
  readonly serverName: string
}

/** Listens to errors of sockets that end by their `close`. */
export function ignore(): void {}

/** Opens connections to endpoints, with TLS and with a PROXY header where they want them. */
import { connect as connectTcp, type Socket } from 'node:net'
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect as connectTls,
  type TLSSocket,
} from 'node:tls'
import { type ConnectionEnds, writeProxyHeader } from '../../codec/proxy-header-writer.ts'
import { otherProtocol } from '../../runtime/node-errors.ts'
import type { Endpoint } from './endpoint.ts'

export interface DialOptions {
  readonly allowHalfOpen: boolean
  /** For whom, where it is for one client alone; else a PROXY header says that the connection is our own. */
  readonly client?: ConnectionEnds | undefined
}

/** Connects at once. The header is the first thing that is sent, before TLS; it is nobody's traffic, and not counted. */
export function dial(endpoint: Endpoint, { allowHalfOpen, client }: DialOptions): Socket {
  const { host, port, tlsOptions, proxyProtocol } = endpoint
  const address = { host, port, noDelay: true, allowHalfOpen }
  if (proxyProtocol === undefined)
    return tlsOptions === undefined
      ? connectTcp(address)
      : secured(endpoint, { ...tlsOptions, ...address })
  const socket = connectTcp(address)
  // The stream keeps it until the socket is connected, and writes it before anybody is told so.
  socket.write(writeProxyHeader(proxyProtocol, client))
  if (tlsOptions === undefined) return socket
  // It may stay half open as `socket` may. Without a server name the certificate is verified for `host`.
  const secure = secured(endpoint, { ...tlsOptions, host, socket })
  socket.on('error', error => secure.destroy(error))
  return secure
}

/**
 * Where HTTP/2 is demanded, a deployment that did not agree to it has failed like one with a wrong certificate, so that
 * nobody is given a connection that speaks something else.
 */
function secured({ http2 }: Endpoint, options: ConnectionOptions): TLSSocket {
  if (!http2) return connectTls(options)
  const socket: TLSSocket = connectTls({
    ...options,
    checkServerIdentity: (name, certificate) =>
      checkServerIdentity(name, certificate) ??
      (socket.alpnProtocol === 'h2' ? undefined : otherProtocol()),
  })
  return socket
}

/** The event by which a socket of `dial` can be used. */
export function readyEvent({ tls }: Endpoint): 'secureConnect' | 'connect' {
  return tls ? 'secureConnect' : 'connect'
}

/** What a WebSocket needs to change between HTTP/1.1 (RFC 6455 §4) and HTTP/2 (RFC 8441 §5), which has no key to agree on. */
import { createHash } from 'node:crypto'
import type { CallRequest } from './call-request.ts'

/** As a protocol to change to. */
export const WEBSOCKET = 'websocket'
/** Of HTTP/1.1 alone. */
export const WEBSOCKET_KEY = 'sec-websocket-key'
export const WEBSOCKET_ACCEPT = 'sec-websocket-accept'
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Value of `Sec-WebSocket-Accept` to a key. */
export function acceptOf(key: string): string {
  return createHash('sha1')
    .update(key + GUID)
    .digest('base64')
}

/** The lines that an HTTP/1.1 deployment wants beside those of the client. */
export function keyLines(key: string, { fields }: CallRequest): string {
  const version =
    fields.valueOf('sec-websocket-version') === '' ? 'sec-websocket-version: 13\r\n' : ''
  return `${version}sec-websocket-key: ${key}\r\n`
}

/**
 * How a PostgreSQL client asks for encryption before it says anything else (PostgreSQL documentation, "SSL Session
 * Encryption" in "Message Flow"): eight bytes in plain, answered with one. Pure.
 */

export const POSTGRES_REQUEST_BYTES: number = 8
/** Its answer is `S`, and then TLS; or `N`. */
export const SSL_REQUEST: Buffer = Buffer.from('0000000804d2162f', 'hex')
/** For GSSAPI; its answer is `G`, or `N`. */
const GSS_REQUEST = Buffer.from('0000000804d21630', 'hex')

export type PostgresRequest =
  | 'ssl'
  | 'gss'
  /** Neither of them. */
  | 'other'
  /** More bytes are needed to tell. */
  | 'more'

/** Looks at the first bytes; what may stand behind a request is the caller's business, and suspicious. */
export function readPostgresRequest(bytes: Buffer): PostgresRequest {
  if (begins(bytes, SSL_REQUEST)) return bytes.length < POSTGRES_REQUEST_BYTES ? 'more' : 'ssl'
  if (begins(bytes, GSS_REQUEST)) return bytes.length < POSTGRES_REQUEST_BYTES ? 'more' : 'gss'
  return 'other'
}

function begins(bytes: Buffer, request: Buffer): boolean {
  const look = Math.min(bytes.length, POSTGRES_REQUEST_BYTES)
  return bytes.compare(request, 0, look, 0, look) === 0
}

/**
 * The one place that knows the error codes of Node, libuv and OpenSSL. Everything else asks here and branches on the
 * answer, so that a change of names in a new Node is a change of one file.
 */
import type { ErrorCode } from '../core/errors.ts'

/** The `code` of a Node error, if there is one. */
export function nodeErrorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

const LISTEN_PROBLEMS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is already in use by another process',
  EADDRNOTAVAIL: 'this machine does not have the address',
  EACCES: 'this user may not listen there; ports below 1024 need a privilege',
  ENOTFOUND: 'the name has no address',
  EINVAL: 'the address is not valid',
  EMFILE: 'the process has no file descriptors left (ulimit -n)',
  ENFILE: 'the machine has no file descriptors left',
}

/** One sentence for the log: `what` names thing and address, such as `listener "public": 127.0.0.1:8443`. */
export function describeListenError(error: unknown, what: string): string {
  const code = nodeErrorCode(error)
  const known = code === undefined ? undefined : LISTEN_PROBLEMS[code]
  if (known !== undefined) return `${what}: ${known} (${code})`
  return `${what}: cannot listen: ${error instanceof Error ? error.message : String(error)}`
}

/** OpenSSL's verification results (X509_V_ERR_*) as Node names them, and Node's own check of the name. */
const CERTIFICATE_CODES: ReadonlySet<string> = new Set([
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_GET_CRL',
  'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  'UNABLE_TO_DECRYPT_CRL_SIGNATURE',
  'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'PATH_LENGTH_EXCEEDED',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'HOSTNAME_MISMATCH',
  'UNSPECIFIED',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'ERR_TLS_CERT_ALTNAME_FORMAT',
])

function isCertificateCode(code: string): boolean {
  return CERTIFICATE_CODES.has(code) || /^(CERT|CRL)_/.test(code)
}

function isTlsCode(code: string): boolean {
  return isCertificateCode(code) || /^ERR_(SSL|TLS)_/.test(code) || code === 'EPROTO'
}

/** Ours: the deployment agreed to no protocol, or to another one. */
const OTHER_PROTOCOL = 'AMT_OTHER_PROTOCOL'
/** The alert by which most say the same in the handshake (RFC 7301 §3.2). */
const NO_PROTOCOL_ALERT = 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'

/** What a connection fails with whose other end does not speak what was demanded by ALPN. */
export function otherProtocol(): Error {
  return Object.assign(new Error('the other end did not agree to the protocol'), {
    code: OTHER_PROTOCOL,
  })
}

/** What a failed connection to a deployment is called, in the handshake of TLS too. */
export function upstreamConnectError(error: unknown): ErrorCode {
  const code = nodeErrorCode(firstCause(error))
  if (code === undefined) return 'upstream_connect'
  if (code === OTHER_PROTOCOL || code === NO_PROTOCOL_ALERT) return 'upstream_protocol'
  if (isTlsCode(code)) return 'upstream_tls'
  return code === 'ETIMEDOUT' ? 'upstream_connect_timeout' : 'upstream_connect'
}

/** A name with several addresses fails with an AggregateError; the first address is the one to speak of. */
function firstCause(error: unknown): unknown {
  return error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error
}

/** c-ares' words for "no such name", "no such record" and "cannot be a name"; `dns.lookup` uses the first one too. */
const UNKNOWN_NAME_CODES: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME'])

/** Whether a name has no address, by somebody who knows; any other failure says nothing of the name. */
export function isNameUnknown(error: unknown): boolean {
  const code = nodeErrorCode(error)
  return code !== undefined && UNKNOWN_NAME_CODES.has(code)
}

/** Codes, also undici's, of a connection that never came to be; nothing was sent then. */
const UNCONNECTED_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** Whether a request failed before any of it can have reached the other side. */
export function isNeverSent(error: unknown): boolean {
  const code = nodeErrorCode(firstCause(error))
  return code !== undefined && (UNCONNECTED_CODES.has(code) || isCertificateCode(code))
}

const RESET_CODES: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTCONN',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_WRITE_AFTER_END',
])

/** Whether the other side is simply gone, which is everyday life and worth no log line. */
export function isConnectionReset(error: unknown): boolean {
  const code = nodeErrorCode(error)
  return code !== undefined && RESET_CODES.has(code)
}

/** Why a handshake with a client failed: a closed set, for logs and metrics. */
export type TlsFailure =
  | 'not_tls'
  | 'version'
  | 'cipher'
  | 'certificate_missing'
  | 'certificate_expired'
  | 'certificate_untrusted'
  | 'certificate_invalid'
  | 'refused_by_client'
  | 'timeout'
  | 'closed'
  | 'other'

const TLS_FAILURES: readonly (readonly [RegExp, TlsFailure])[] = [
  [
    /^ERR_SSL_(HTTP_REQUEST|WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|INVALID_RECORD_HEADER)$/,
    'not_tls',
  ],
  [/^ERR_SSL_(UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|TLSV1_ALERT_PROTOCOL_VERSION)$/, 'version'],
  [/^ERR_SSL_NO_(SHARED_CIPHER|SUITABLE_.*|SHARED_SIGNATURE_ALGORITHMS)$/, 'cipher'],
  [/^ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE$/, 'certificate_missing'],
  [/^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/, 'certificate_expired'],
  [/^(UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|CERT_UNTRUSTED|INVALID_CA)/, 'certificate_untrusted'],
  [/^ERR_SSL_CERTIFICATE_VERIFY_FAILED$/, 'certificate_invalid'],
  // An alert of the client: it does not like our certificate.
  [/^ERR_SSL_.*ALERT/, 'refused_by_client'],
  [/^(ERR_TLS_HANDSHAKE_TIMEOUT|ETIMEDOUT)$/, 'timeout'],
]

export function tlsFailureReason(error: unknown): TlsFailure {
  const code = nodeErrorCode(error)
  if (code === undefined) return 'other'
  for (const [pattern, failure] of TLS_FAILURES) if (pattern.test(code)) return failure
  if (isCertificateCode(code)) return 'certificate_invalid'
  return isConnectionReset(error) ? 'closed' : 'other'
}

/** Whether there is a file of that name already. */
export function isPresent(error: unknown): boolean {
  return nodeErrorCode(error) === 'EEXIST'
}

/** Whether a file or directory is simply not there. */
export function isNotFound(error: unknown): boolean {
  return nodeErrorCode(error) === 'ENOENT'
}

/** What to answer to a request that node:http gave up on (its `clientError` event). */
export function httpRequestError(error: unknown): ErrorCode {
  const code = nodeErrorCode(error)
  if (code === 'HPE_HEADER_OVERFLOW') return 'head_too_large'
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'header_timeout' : 'malformed_request'
}

/** Whether this process may not do that, and another user's might. */
export function isNotPermitted(error: unknown): boolean {
  const code = nodeErrorCode(error)
  return code === 'EACCES' || code === 'EPERM'
}

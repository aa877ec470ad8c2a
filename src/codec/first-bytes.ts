/** Tells protocols apart by how a connection begins. Pure: the caller owns the bytes and the time. */

export type Detection =
  | 'tls'
  | 'http1'
  /** The preface of HTTP/2 with prior knowledge (RFC 9113 §3.4). */
  | 'http2'
  /** None of these: to be carried as it is. */
  | 'other'
  /** More bytes are needed to tell. */
  | 'more'

const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')
const TLS_HANDSHAKE = 0x16
const TLS_MAJOR = 0x03
/** The longest registered method, UPDATEREDIRECTREF, has 17 letters. */
const METHOD = /^[A-Z][A-Z-]{0,31}$/
/**
 * `*` is a target of OPTIONS alone (RFC 9112 §3.2.4), and of a damaged preface, which is refused; `KEYS *` is Redis.
 * A target of CONNECT begins with a name or an address (§3.2.3), the options of NATS with a brace.
 */
const REQUEST_START =
  /^(?:[A-Z][A-Z-]{0,31} (?:\/|https?:\/\/)|(?:OPTIONS|PRI) \*|CONNECT [0-9A-Z[])/i
const MAX_LOOK = 64

/**
 * Looks at the first bytes of a connection. `http1` means a method, one blank and the begin of a target: `PING\r\n`,
 * `CONNECT {"verbose":…}` (NATS) and RESP (`*1\r\n`) are `other`. The answer never depends on how the bytes were cut.
 */
export function detectProtocol(bytes: Buffer): Detection {
  if (bytes.length === 0) return 'more'
  if (bytes[0] === TLS_HANDSHAKE) {
    if (bytes.length === 1) return 'more'
    return bytes[1] === TLS_MAJOR ? 'tls' : 'other'
  }
  const look = Math.min(bytes.length, HTTP2_PREFACE.length)
  if (bytes.compare(HTTP2_PREFACE, 0, look, 0, look) === 0)
    return look === HTTP2_PREFACE.length ? 'http2' : 'more'
  return detectRequest(bytes.toString('latin1', 0, Math.min(bytes.length, MAX_LOOK)))
}

function detectRequest(text: string): Detection {
  const blank = text.indexOf(' ')
  if (blank < 0) return METHOD.test(text) ? 'more' : 'other'
  if (!METHOD.test(text.slice(0, blank))) return 'other'
  if (REQUEST_START.test(text)) return 'http1'
  const target = text.slice(blank + 1).toLowerCase()
  return 'http://'.startsWith(target) || 'https://'.startsWith(target) ? 'more' : 'other'
}

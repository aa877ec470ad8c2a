/** Character classes of HTTP/1.1 (RFC 9110 §5, RFC 9112 §3, RFC 3986) as tables: one load a byte on the hot path. */

export const CR = 0x0d
export const LF = 0x0a
export const SP = 0x20
export const HTAB = 0x09
export const COLON = 0x3a
export const SEMICOLON = 0x3b
export const UNDERSCORE = 0x5f

const TOKEN_PUNCTUATION = "!#$%&'*+-.^_`|~"

/**
 * For each byte of a field name: 0 where no token may have it, else the byte in lower case with `_` read as `-`.
 * Applications behind CGI-like interfaces cannot tell `x_amt_tenant` from `x-amt-tenant`, so neither may we.
 */
export const FIELD_NAME_FOLD: Uint8Array = buildFold()

/** 1 for bytes of a token (RFC 9110 §5.6.2). */
export const TOKEN: Uint8Array = FIELD_NAME_FOLD.map(byte => (byte === 0 ? 0 : 1))

/** 1 for bytes of a field value: visible, space, tab and obs-text (RFC 9110 §5.5). */
export const FIELD_VALUE: Uint8Array = table(byte => byte === HTAB || (byte >= SP && byte !== 0x7f))

/** 1 for bytes that may stand in a request target: visible ASCII but for `#`, which never goes on the wire (RFC 9112 §3.2). */
export const TARGET: Uint8Array = table(byte => byte > SP && byte < 0x7f && byte !== 0x23)

/** RFC 9110 §5.6.2; Latin-1, a character a byte. */
export function isToken(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (TOKEN[text.charCodeAt(at)] !== 1) return false
  return text.length > 0
}

/** Value of a hexadecimal digit, or 255. */
export const HEX: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  const digit = Number.parseInt(String.fromCharCode(byte), 16)
  return Number.isNaN(digit) ? 255 : digit
})

function table(has: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (has(byte) ? 1 : 0))
}

function buildFold(): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => {
    const character = String.fromCharCode(byte)
    if (byte === UNDERSCORE) return 0x2d
    if (/[0-9a-z]/.test(character) || TOKEN_PUNCTUATION.includes(character)) return byte
    return /[A-Z]/.test(character) ? byte + 32 : 0
  })
}

/**
 * API keys: `amt_<tenant>_<random>_<crc>`, as `amt key` makes them. Prefix and checksum let secret scanners and the proxy
 * tell a key from other text without a lookup; who a key belongs to is decided by its digest, and must be the tenant that
 * it names.
 */
import { TENANT_ID_HINT, TENANT_ID_PATTERN } from './tenant-id.ts'

/** 256 bits: a key needs no slow hash and no salt, nobody guesses it. */
export const API_KEY_RANDOM_BYTES = 32

export const API_KEY_PREFIX = 'amt_'
/** 62 characters without punctuation, so that a double click selects a whole key. */
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const LOWER_CASE = ALPHABET.indexOf('a')
const RANDOM_CHARS = 43 // 62 ** 43 > 2 ** 256
const CRC_CHARS = 6 // 62 ** 6 > 2 ** 32
const MAX_TENANT_CHARS = 63
/** All that stands behind the tenant: `_<random>_<crc>`. */
const TAIL_CHARS = 1 + RANDOM_CHARS + 1 + CRC_CHARS
const UNDERSCORE = 0x5f
const DASH = 0x2d

/** By character code: what the character stands for in base 62, or -1. */
const DIGITS = Int8Array.from({ length: 256 }, (_, code) =>
  ALPHABET.indexOf(String.fromCharCode(code)),
)
/** CRC-32 (ISO-HDLC, that of zip), a byte at a time. */
const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  return crc
})

/**
 * The key of `tenant` with the given randomness, `API_KEY_RANDOM_BYTES` of it.
 * Throws a `RangeError` for another length or an id that is none: both are mistakes of the caller.
 */
export function formatApiKey(tenant: string, random: Uint8Array): string {
  if (!TENANT_ID_PATTERN.test(tenant)) throw new RangeError(`tenant id must be ${TENANT_ID_HINT}`)
  if (random.length !== API_KEY_RANDOM_BYTES) {
    throw new RangeError(
      `an API key takes ${API_KEY_RANDOM_BYTES} random bytes, not ${random.length}`,
    )
  }
  let number = 0n
  for (const byte of random) number = (number << 8n) | BigInt(byte)
  const body = `${API_KEY_PREFIX}${tenant}_${base62(number, RANDOM_CHARS)}`
  return `${body}_${base62(BigInt(crc32(body, body.length)), CRC_CHARS)}`
}

/**
 * The tenant that a key names, or `undefined` where `text` is no key or was mistyped. It proves nothing: anybody can
 * compute the checksum. Allocates nothing for text that is refused, and reads no text that is longer than a key.
 */
export function tenantOfApiKey(text: string): string | undefined {
  const tenantEnd = text.length - TAIL_CHARS
  const bodyEnd = text.length - CRC_CHARS - 1
  if (tenantEnd <= API_KEY_PREFIX.length || tenantEnd > API_KEY_PREFIX.length + MAX_TENANT_CHARS)
    return undefined
  if (!text.startsWith(API_KEY_PREFIX)) return undefined
  if (text.charCodeAt(tenantEnd) !== UNDERSCORE || text.charCodeAt(bodyEnd) !== UNDERSCORE)
    return undefined
  if (base62At(text, bodyEnd + 1, text.length) !== crc32(text, bodyEnd)) return undefined
  return isTenant(text, tenantEnd) && base62At(text, tenantEnd + 1, bodyEnd) >= 0
    ? text.slice(API_KEY_PREFIX.length, tenantEnd)
    : undefined
}

/** A tenant id holds no "_", so the parts of a key cannot run into each other. */
function isTenant(text: string, end: number): boolean {
  for (let at = API_KEY_PREFIX.length; at < end; at += 1) {
    const code = text.charCodeAt(at)
    const digit = code < DIGITS.length ? (DIGITS[code] as number) : -1
    if ((digit < 0 && code !== DASH) || (digit > 9 && digit < LOWER_CASE)) return false
  }
  return true
}

/** Negative where another character is in between; exact up to 8 characters. */
function base62At(text: string, start: number, end: number): number {
  let number = 0
  for (let at = start; at < end; at += 1) {
    const code = text.charCodeAt(at)
    const digit = code < DIGITS.length ? (DIGITS[code] as number) : -1
    if (digit < 0) return -1
    number = number * 62 + digit
  }
  return number
}

function base62(number: bigint, width: number): string {
  let text = ''
  for (let rest = number; rest > 0n; rest /= 62n) text = ALPHABET.charAt(Number(rest % 62n)) + text
  return text.padStart(width, ALPHABET.charAt(0))
}

/** Of the first `end` characters of `text`; characters beyond Latin-1 are folded, and must be refused elsewhere. */
function crc32(text: string, end: number): number {
  let crc = -1
  for (let at = 0; at < end; at += 1)
    crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ text.charCodeAt(at)) & 0xff] as number)
  return ~crc >>> 0
}

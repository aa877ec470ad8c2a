/**
 * API keys: `amt_<tenant>_<random>_<crc>`, as `amt key` makes them. The prefix and the checksum let secret scanners and
 * the proxy tell a key from other text without a lookup; who a key belongs to is decided by its digest alone.
 */
import { TENANT_ID_HINT, TENANT_ID_PATTERN } from './tenant-id.ts'

/** 256 bits: a key needs no slow hash and no salt, nobody guesses it. */
export const API_KEY_RANDOM_BYTES = 32

/** 62 characters without punctuation, so that a double click selects a whole key. */
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const RANDOM_CHARS = 43 // 62 ** 43 > 2 ** 256
const CRC_CHARS = 6 // 62 ** 6 > 2 ** 32

/** A tenant id holds no "_", so the parts cannot run into each other. */
const API_KEY_PATTERN = /^(amt_([a-z0-9-]{1,63})_[0-9A-Za-z]{43})_([0-9A-Za-z]{6})$/

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
  const body = `amt_${tenant}_${base62(number, RANDOM_CHARS)}`
  return `${body}_${base62(BigInt(crc32(body)), CRC_CHARS)}`
}

/**
 * The tenant that a key says it is for, or `undefined` where `text` is no key or was mistyped.
 * It proves nothing: anybody can compute the checksum.
 */
export function parseApiKey(text: string): { readonly tenant: string } | undefined {
  const match = API_KEY_PATTERN.exec(text)
  if (!match) return undefined
  const [, body = '', tenant = '', checksum] = match
  return base62(BigInt(crc32(body)), CRC_CHARS) === checksum ? { tenant } : undefined
}

function base62(number: bigint, width: number): string {
  let text = ''
  for (let rest = number; rest > 0n; rest /= 62n) text = ALPHABET.charAt(Number(rest % 62n)) + text
  return text.padStart(width, ALPHABET.charAt(0))
}

/** CRC-32 (ISO-HDLC, that of zip) of ASCII text. */
function crc32(text: string): number {
  let crc = 0xffffffff
  for (let i = 0; i < text.length; i += 1) {
    crc ^= text.charCodeAt(i)
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}

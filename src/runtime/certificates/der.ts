/**
 * DER in the few shapes that certificates and PKCS#12 need: every writer returns the bytes of a whole element, and
 * `readDer` takes elements apart again. Only ever used on what this machine made; nothing from a peer comes here.
 */
import { Buffer } from 'node:buffer'

export const sequence = (...parts: Buffer[]): Buffer => element(0x30, parts)
export const set = (...parts: Buffer[]): Buffer => element(0x31, parts)
export const boolean = (value: boolean): Buffer => element(0x01, [Buffer.of(value ? 0xff : 0)])
export const octetString = (bytes: Buffer): Buffer => element(0x04, [bytes])
export const nothing = (): Buffer => element(0x05, [])
export const utf8String = (text: string): Buffer => element(0x0c, [Buffer.from(text, 'utf8')])
export const bmpString = (text: string): Buffer => element(0x1e, [bigEndian16(text)])

/** `unused` bits at the end of the last byte do not count. */
export const bitString = (bytes: Buffer, unused = 0): Buffer =>
  element(0x03, [Buffer.of(unused), bytes])

/** A number as its bytes, most significant first, without needless zeros; with the first bit set it is negative. */
export const bigInteger = (bytes: Buffer): Buffer => element(0x02, [bytes])

/** A number from 0 to 2^31 - 1. */
export function integer(value: number): Buffer {
  const bytes = Buffer.alloc(5)
  bytes.writeUInt32BE(value, 1)
  let start = 0
  while (start < 4 && bytes[start] === 0 && (bytes[start + 1] ?? 0) < 0x80) start += 1
  return bigInteger(bytes.subarray(start))
}

/** `[tag]` around whole elements: EXPLICIT. */
export const tagged = (tag: number, ...parts: Buffer[]): Buffer => element(0xa0 | tag, parts)

/** `[tag]` in place of the type of a string: IMPLICIT. */
export const taggedBytes = (tag: number, bytes: Buffer): Buffer => element(0x80 | tag, [bytes])

export function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second, ...rest].flatMap(arc => {
    const digits = [arc & 0x7f] // base 128, all but the last with the high bit
    for (let left = arc >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80)
    return digits
  })
  return element(0x06, [Buffer.from(bytes)])
}

/** Until 2049 a UTCTime, from 2050 on a GeneralizedTime (RFC 5280, 4.1.2.5). */
export function time(date: Date): Buffer {
  const digits = `${date
    .toISOString()
    .slice(0, 19)
    .replaceAll(/[^0-9]/g, '')}Z`
  return date.getUTCFullYear() < 2050
    ? element(0x17, [Buffer.from(digits.slice(2), 'latin1')])
    : element(0x18, [Buffer.from(digits, 'latin1')])
}

/** Text as PKCS#12 has it: two bytes a character, the high one first. */
export function bigEndian16(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16()
}

export interface DerElement {
  readonly tag: number
  readonly content: Buffer
  /** The whole element, as it stands. */
  readonly raw: Buffer
}

/** The elements that stand one after the other in `bytes`. Throws a `RangeError` where that is not so. */
export function readDer(bytes: Buffer): DerElement[] {
  const elements: DerElement[] = []
  let offset = 0
  while (offset < bytes.length) {
    const tag = bytes.readUInt8(offset)
    const short = bytes.readUInt8(offset + 1)
    const extra = short < 0x80 ? 0 : short & 0x7f
    const start = offset + 2 + extra
    const end = start + (extra === 0 ? short : bytes.readUIntBE(offset + 2, extra))
    if (end > bytes.length) throw new RangeError('DER element is cut off')
    elements.push({ tag, content: bytes.subarray(start, end), raw: bytes.subarray(offset, end) })
    offset = end
  }
  return elements
}

function element(tag: number, parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.of(tag), lengthOf(content), content])
}

function lengthOf(content: Buffer): Buffer {
  const { length } = content
  if (length < 0x80) return Buffer.of(length)
  if (length < 0x100) return Buffer.of(0x81, length)
  if (length > 0xffff) throw new RangeError('64 KiB is more than any element made here')
  return Buffer.of(0x82, length >>> 8, length & 0xff)
}

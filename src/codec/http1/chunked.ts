/**
 * The chunked coding (RFC 9112 §7.1), both ways. The decoder is a state machine over bytes that may end anywhere; it
 * gives out ranges of data and checks everything between them, so that what we write anew is the only framing that a
 * deployment or a client ever sees from us. Chunk extensions are checked, counted and dropped (RFC 9112 §7.1.1).
 */
import type { ErrorCode } from '../../core/errors.ts'
import { DEFAULT_CAPS, type Http1Caps } from './caps.ts'
import { CR, FIELD_VALUE, HEX, LF, SEMICOLON } from './characters.ts'
import { FieldSection, INCOMPLETE, INVALID } from './field-section.ts'
import type { FieldTable } from './field-table.ts'

/** 2^48: no overflow in any reader. */
const MAX_SIZE_DIGITS = 12

const SIZE = 0
const EXTENSION = 1
const SIZE_LF = 2
const DATA = 3
const DATA_CR = 4
const DATA_LF = 5
const TRAILER = 6

/** What one `next` found. */
export const CHUNK_MORE = 0
export const CHUNK_DATA = 1
export const CHUNK_END = 2
export const CHUNK_INVALID = 3

export class ChunkedDecoder {
  /** Position behind what the last `next` read. */
  position = 0
  /** The data that CHUNK_DATA found: `bytes[dataStart, position)`. */
  dataStart = 0
  error: ErrorCode = 'malformed_chunk'
  /** Trailer lines to forward, after CHUNK_END. */
  trailers = ''

  readonly #table: FieldTable
  readonly #caps: Http1Caps
  #state = SIZE
  #remaining = 0
  #digits = 0
  #extensionBytes = 0
  /** Bytes of an unfinished trailer section. */
  #trailer: Buffer | undefined

  /** `table` says which trailer fields may not be forwarded. */
  constructor(table: FieldTable, caps: Http1Caps = DEFAULT_CAPS) {
    this.#table = table
    this.#caps = caps
  }

  /** Begins a body. */
  reset(): void {
    this.#state = SIZE
    this.#remaining = 0
    this.#digits = 0
    this.#extensionBytes = 0
    this.#trailer = undefined
    this.trailers = ''
    this.error = 'malformed_chunk'
  }

  /** Reads on at `start` up to the next piece of data, the end of the body, an error, or the end of the bytes. */
  next(bytes: Buffer, start: number, end: number): number {
    let at = start
    while (at < end) {
      if (this.#state === DATA) return this.#data(at, end)
      if (this.#state === TRAILER) return this.#readTrailers(bytes, at, end)
      const byte = bytes[at] as number
      at++
      if (!this.#step(byte)) return CHUNK_INVALID
    }
    this.position = end
    return CHUNK_MORE
  }

  #data(start: number, end: number): number {
    this.dataStart = start
    this.position = Math.min(end, start + this.#remaining)
    this.#remaining -= this.position - start
    if (this.#remaining === 0) this.#state = DATA_CR
    return CHUNK_DATA
  }

  /** One byte of what stands between data; false where it may not stand there. */
  #step(byte: number): boolean {
    switch (this.#state) {
      case SIZE:
        return this.#sizeByte(byte)
      case EXTENSION:
        return this.#extensionByte(byte)
      case SIZE_LF:
        this.#state = this.#remaining > 0 ? DATA : TRAILER
        this.#digits = 0
        return byte === LF
      case DATA_CR:
        this.#state = DATA_LF
        return byte === CR
      default:
        this.#state = SIZE
        return byte === LF
    }
  }

  #extensionByte(byte: number): boolean {
    if (byte === CR) {
      this.#state = SIZE_LF
      return true
    }
    if (FIELD_VALUE[byte] !== 1) return false
    if (++this.#extensionBytes <= this.#caps.chunkExtensionBytes) return true
    this.error = 'chunk_extensions_too_large'
    return false
  }

  #sizeByte(byte: number): boolean {
    const value = HEX[byte] as number
    if (value !== 255) {
      this.#remaining = this.#remaining * 16 + value
      return ++this.#digits <= MAX_SIZE_DIGITS
    }
    if (this.#digits === 0) return false
    if (byte === CR) this.#state = SIZE_LF
    else if (byte === SEMICOLON) this.#state = EXTENSION
    else return false
    return true
  }

  #readTrailers(bytes: Buffer, start: number, end: number): number {
    // Nearly always there are none.
    if (
      this.#trailer === undefined &&
      bytes[start] === CR &&
      start + 1 < end &&
      bytes[start + 1] === LF
    ) {
      this.position = start + 2
      return CHUNK_END
    }
    const before = this.#trailer?.length ?? 0
    const section =
      this.#trailer === undefined
        ? bytes.subarray(start, end)
        : Buffer.concat([this.#trailer, bytes.subarray(start, end)])
    const fields = new FieldSection(this.#table, this.#caps.fields)
    const limit = Math.min(section.length, this.#caps.trailerBytes)
    const length = fields.scan(section, 0, limit)
    if (length === INVALID)
      return this.#invalid(
        fields.error === 'too_many_fields' ? 'trailers_too_large' : 'malformed_chunk',
      )
    if (length === INCOMPLETE) {
      if (limit < section.length) return this.#invalid('trailers_too_large')
      this.#trailer = Buffer.from(section)
      this.position = end
      return CHUNK_MORE
    }
    if (length > 2) {
      fields.collect(section, section.toString('latin1', 0, length), 0)
      this.trailers = fields.lines
    }
    this.position = start + length - before
    return CHUNK_END
  }

  #invalid(error: ErrorCode): number {
    this.error = error
    return CHUNK_INVALID
  }
}

/** What stands before `length` bytes of data; CRLF follows them. */
export function chunkHead(length: number): string {
  return `${length.toString(16)}\r\n`
}

/** The end of a chunked body; `trailers` are lines, each with its CRLF. */
export function chunkEnd(trailers: string): string {
  return `0\r\n${trailers}\r\n`
}

/** Reads the body of one message, however it is framed, as ranges of data. */
import type { ErrorCode } from '../../core/errors.ts'
import { DEFAULT_CAPS, type Http1Caps } from './caps.ts'
import { CHUNK_DATA, CHUNK_END, CHUNK_INVALID, ChunkedDecoder } from './chunked.ts'
import type { FieldTable } from './field-table.ts'
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_UNTIL_CLOSE, type BodyKind } from './framing.ts'

export interface BodySink {
  /** `bytes[start, end)` is data of the body; the bytes are only valid during the call. */
  bodyData(bytes: Buffer, start: number, end: number): void
}

export class BodyReader {
  /** Whether the body is complete; never of a body until close. */
  done = true
  /** Set once the body is broken; nothing can be read after it. */
  error: ErrorCode | undefined
  kind: BodyKind = BODY_NONE

  #remaining = 0
  #chunked: ChunkedDecoder | undefined
  readonly #table: FieldTable
  readonly #caps: Http1Caps

  /** `table` says which trailer fields may not be forwarded. */
  constructor(table: FieldTable, caps: Http1Caps = DEFAULT_CAPS) {
    this.#table = table
    this.#caps = caps
  }

  /** Trailer lines of a complete chunked body. */
  get trailers(): string {
    return this.kind === BODY_CHUNKED ? (this.#chunked?.trailers ?? '') : ''
  }

  begin(kind: BodyKind, length: number): void {
    this.kind = kind
    this.done = kind === BODY_NONE
    this.error = undefined
    this.#remaining = length
    if (kind !== BODY_CHUNKED) return
    this.#chunked ??= new ChunkedDecoder(this.#table, this.#caps)
    this.#chunked.reset()
  }

  /** Reads from `bytes[start, end)`; returns the position behind the body, or `end`. */
  read(bytes: Buffer, start: number, end: number, sink: BodySink): number {
    // An empty piece never reaches the sink: written in chunks it would be the end of the body.
    if (this.done || this.error !== undefined || start >= end) return start
    if (this.kind === BODY_CHUNKED) return this.#readChunked(bytes, start, end, sink)
    if (this.kind === BODY_UNTIL_CLOSE) {
      sink.bodyData(bytes, start, end)
      return end
    }
    const stop = Math.min(end, start + this.#remaining)
    this.#remaining -= stop - start
    this.done = this.#remaining === 0
    sink.bodyData(bytes, start, stop)
    return stop
  }

  #readChunked(bytes: Buffer, start: number, end: number, sink: BodySink): number {
    const decoder = this.#chunked as ChunkedDecoder
    let at = start
    while (at < end) {
      const found = decoder.next(bytes, at, end)
      if (found === CHUNK_INVALID) {
        this.error = decoder.error
        return at
      }
      if (found === CHUNK_DATA) sink.bodyData(bytes, decoder.dataStart, decoder.position)
      at = decoder.position
      if (found === CHUNK_END) {
        this.done = true
        return at
      }
    }
    return at
  }

  /** Whether the peer may close here without cutting the body. */
  get mayClose(): boolean {
    return this.done || this.kind === BODY_UNTIL_CLOSE
  }

  /** Kept for callers that ask how much a declared body still has: bytes, or -1 where nobody knows. */
  get remaining(): number {
    if (this.kind === BODY_LENGTH) return this.#remaining
    return this.done ? 0 : -1
  }
}

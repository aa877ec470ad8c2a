/**
 * The libuv handle beneath a socket, used without the socket's stream: reads into memory that is used again, and writes
 * with no bookkeeping around them. With it a call takes 19.3 µs, through the stream 25.0; a GiB of download 0.63 s of CPU and
 * 1.60 (`npm run bench -- --lane http1-api-key bulk-download`).
 *
 * This is Node's interface to itself, so it stands here alone and is used only where it looks exactly as it does in the
 * Node that we bring (26.10). `SocketHandle.of` gives nothing for any other, and the caller goes through the stream.
 * Opening, ending, failing and closing stay with the socket in both cases.
 */
import type { Duplex } from 'node:stream'

/** A write that has not left yet. Its other results are 0 and, below that, the errors of libuv. */
export const PENDING = 1
/** EBADF: of a write to what is no handle any more. */
const CLOSED = -9

/** Takes what a handle reads. */
export interface HandleReader {
  /** `length` bytes stand in the buffer; one that is returned is read into next. */
  take(length: number): Buffer | undefined
}

export interface HandleWriter {
  /** A write that was PENDING is over: 0, or an error of libuv. */
  writeSettled(status: number): void
}

interface WriteRequest {
  oncomplete: (this: WriteRequest, status: number) => void
  writer: HandleWriter
  /** Keeps the bytes alive until they have left. */
  buffer: unknown
  /** Set where the write was over before it returned. */
  writeStatus: number | null
}

interface RawHandle {
  reading: boolean
  onread: () => Buffer | undefined
  /** Bytes that libuv holds; of TLS, encrypted ones. */
  readonly writeQueueSize: number
  useUserBuffer(buffer: Buffer): void
  readStart(): number
  readStop(): number
  /** Undefined of one that has been closed for some turns. */
  writeLatin1String(request: null, text: string): number | WriteRequest | undefined
  writeBuffer(request: null, bytes: Buffer): number | WriteRequest | undefined
  writev(
    request: null,
    pieces: readonly Buffer[],
    allBuffers: true,
  ): number | WriteRequest | undefined
}

interface StreamInternals {
  readonly streamBaseState: Int32Array
  readonly kReadBytesOrError: number
  readonly kLastWriteErr: number
}

const METHODS = [
  'useUserBuffer',
  'readStart',
  'readStop',
  'writeLatin1String',
  'writeBuffer',
  'writev',
] as const

/** What Node's own streams use; undefined where it is not there, or older than writes without a request object. */
function findInternals(): StreamInternals | undefined {
  try {
    const { binding } = process as unknown as { binding: (name: string) => StreamInternals }
    const found = binding('stream_wrap')
    const known =
      ArrayBuffer.isView(found.streamBaseState) &&
      typeof found.kReadBytesOrError === 'number' &&
      typeof found.kLastWriteErr === 'number'
    return known ? found : undefined
  } catch {
    return undefined
  }
}

const internals = findInternals()

function isRawHandle(handle: unknown): handle is RawHandle {
  if (typeof handle !== 'object' || handle === null) return false
  const methods = handle as Record<string, unknown>
  return METHODS.every(name => typeof methods[name] === 'function')
}

/** One function for all requests, which Node calls with the request as `this`. */
function settle(this: WriteRequest, status: number): void {
  this.writer.writeSettled(status)
}

export class SocketHandle {
  readonly #raw: RawHandle
  readonly #state: Int32Array
  readonly #lengthAt: number
  readonly #errorAt: number
  #ended = false

  private constructor(raw: RawHandle, { streamBaseState, ...at }: StreamInternals) {
    this.#raw = raw
    this.#state = streamBaseState
    this.#lengthAt = at.kReadBytesOrError
    this.#errorAt = at.kLastWriteErr
  }

  /** The handle of a connected `net.Socket` or `TLSSocket`; undefined of anything else. */
  static of(socket: Duplex): SocketHandle | undefined {
    // oxlint-disable-next-line eslint/no-underscore-dangle -- this is how Node names it
    const raw: unknown = (socket as { _handle?: unknown })._handle
    return internals !== undefined && isRawHandle(raw)
      ? new SocketHandle(raw, internals)
      : undefined
  }

  /**
   * From now on whatever arrives is read into `buffer`, and `reader` takes it. The stream of the socket sees none of it, but
   * the end and errors, which it tells as ever.
   */
  readInto(buffer: Buffer, reader: HandleReader): void {
    const raw = this.#raw
    const ofStream = raw.onread
    raw.useUserBuffer(buffer)
    raw.onread = () => {
      const length = this.#state[this.#lengthAt] as number
      if (length > 0) return reader.take(length)
      if (length < 0) {
        this.#ended = true
        ofStream.call(raw)
      }
      return undefined
    }
  }

  start(): void {
    if (this.#ended || this.#raw.reading) return
    this.#raw.reading = true
    this.#raw.readStart()
  }

  stop(): void {
    if (this.#ended || !this.#raw.reading) return
    this.#raw.reading = false
    this.#raw.readStop()
  }

  /** Bytes that were given to it and that the kernel does not have yet. */
  get unsent(): number {
    return this.#raw.writeQueueSize
  }

  /** Writes Latin-1 text. Of a TLS socket no other write may be pending. */
  writeText(text: string, writer: HandleWriter): number {
    return this.#outcome(this.#raw.writeLatin1String(null, text), undefined, writer)
  }

  /** The same with bytes, which must stay as they are until the write is settled. */
  writeBytes(pieces: readonly Buffer[], writer: HandleWriter): number {
    const [first] = pieces
    const result =
      pieces.length === 1 && first !== undefined
        ? this.#raw.writeBuffer(null, first)
        : this.#raw.writev(null, pieces, true)
    return this.#outcome(result, pieces, writer)
  }

  #outcome(result: number | WriteRequest | undefined, kept: unknown, writer: HandleWriter): number {
    if (result === undefined) return CLOSED
    if (typeof result === 'number') return result
    const error = this.#state[this.#errorAt] as number
    if (error !== 0) return error
    if (result.writeStatus !== null) return result.writeStatus
    result.buffer = kept
    result.writer = writer
    result.oncomplete = settle
    return PENDING
  }
}

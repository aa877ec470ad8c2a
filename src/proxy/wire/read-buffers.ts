/**
 * The memory that the sockets of a worker read into. Nearly all of them share one buffer: what arrives is used, or copied,
 * before the next read. A connection that fills it gets a large one for itself, whose bytes can be lent to a write.
 */
import type { LongReads } from './long-reads.ts'

/** Node's own size of a read. */
const SHARED_BYTES = 64 * 1024
/** 1.7 GB a CPU second in bulk, against 0.67 with reads of 64 KiB through the stream. */
const LARGE_BYTES = 256 * 1024
/** 16 MiB a worker. */
const MAX_LARGE = 64
/**
 * Who comes when those are given out has one of the size of the shared one for itself, 16 MiB a worker as well: bytes in the
 * shared one must be copied where they cannot leave at once, and a hundred slow readers made garbage that took a
 * collection of 10 ms every 40. Who comes when these are given out, too, goes on with the shared one.
 */
const MAX_MEDIUM = 256
/** What is kept of them for others that come, 2 MiB: a crowd that has gone leaves no more behind. */
const MAX_MEDIUM_SPARES = 32
/** Buffers of one size that are lent, one to a connection. */
class BufferPool {
  readonly #bytes: number
  readonly #most: number
  readonly #mostSpares: number
  readonly #free: Buffer[] = []
  #given = 0

  constructor(bytes: number, most: number, mostSpares = most) {
    this.#bytes = bytes
    this.#most = most
    this.#mostSpares = mostSpares
  }

  take(): Buffer | undefined {
    if (this.#given >= this.#most) return undefined
    this.#given++
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#bytes)
  }

  give(buffer: Buffer, isKept: boolean): void {
    this.#given--
    if (isKept) this.keep(buffer)
  }

  keep(buffer: Buffer): void {
    if (this.#free.length < this.#mostSpares) this.#free.push(buffer)
  }

  empty(): void {
    this.#free.length = 0
  }
}

export class ReadBuffers {
  readonly longReads: LongReads
  readonly shared: Buffer = Buffer.allocUnsafeSlow(SHARED_BYTES)
  readonly #large = new BufferPool(LARGE_BYTES, MAX_LARGE)
  readonly #medium = new BufferPool(SHARED_BYTES, MAX_MEDIUM, MAX_MEDIUM_SPARES)
  /** Whether memory is short. */
  #shrunk = false

  constructor(longReads: LongReads) {
    this.longReads = longReads
  }

  /** A buffer for one connection alone, or undefined where there are too many. */
  take(): Buffer | undefined {
    return this.#shrunk ? undefined : (this.#large.take() ?? this.#medium.take())
  }

  /** The same, of the size of the shared one. */
  takeSmall(): Buffer | undefined {
    return this.#shrunk ? undefined : this.#medium.take()
  }

  /** Takes it back; nothing may read into it or write from it any more. */
  give(buffer: Buffer): void {
    this.#poolOf(buffer).give(buffer, !this.#shrunk)
  }

  /** Lets go of what nobody uses and gives out no more, or does so again. */
  shrink(on: boolean): void {
    this.#shrunk = on
    this.#large.empty()
    this.#medium.empty()
  }

  /** Its connection is gone, and somebody may still use it: it is not given out before `find`, if that ever comes. */
  lose(buffer: Buffer): void {
    this.#poolOf(buffer).give(buffer, false)
  }

  /**
   * Nobody uses any more what was lost. A crowd of slow readers that left cost a full collection of 3 to 8 ms each time,
   * for the memory that it had been lent.
   */
  find(buffer: Buffer): void {
    if (!this.#shrunk) this.#poolOf(buffer).keep(buffer)
  }

  #poolOf(buffer: Buffer): BufferPool {
    return buffer.length === LARGE_BYTES ? this.#large : this.#medium
  }
}

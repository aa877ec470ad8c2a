/**
 * The bytes of a file of lines as they were last read. The file is compared with them piece by piece while it is read, so that
 * of a new one only what is different takes memory, and what is the same is looked at while it is in the caches.
 */
import { fstatSync, readSync } from 'node:fs'
import { commonEnd, commonStart } from './common-ends.ts'
import { type FileResult, isRegularFile, readBytes, withFile } from './files.ts'

/** Read and compared at a time: as large as fits into the caches beside what it is compared with. */
const PIECE_BYTES = 512 * 1024
/** Memory behind the bytes for what is added: it is not filled, and so costs nothing, before it is needed. */
const ROOM_BYTES = 1024 * 1024
const NEWLINE = 10

/** Whole lines that take the place of the bytes from `start` to `end`. */
export interface Stretch {
  readonly start: number
  readonly end: number
  readonly bytes: Buffer
}

export class KeptFile {
  /** At the beginning of memory that is theirs alone. */
  #bytes: Buffer = Buffer.alloc(0)

  get bytes(): Buffer {
    return this.#bytes
  }

  /** What the file in `path` has in the place of all that is kept. */
  all(path: string, maxBytes: number): FileResult<Stretch> {
    const read = readBytes(path, maxBytes, ROOM_BYTES)
    if ('fault' in read) return read
    return { value: { start: 0, end: this.#bytes.length, bytes: read.value } }
  }

  /** What is different in the file in `path`. */
  difference(path: string, maxBytes: number): FileResult<Stretch> {
    // Nothing else can be read from its end, or says how long it is.
    if (this.#bytes.length === 0 || !isRegularFile(path)) return this.all(path, maxBytes)
    const found = withFile(path, descriptor => {
      const { size } = fstatSync(descriptor)
      return size === 0 || size > maxBytes ? undefined : this.#differing(descriptor, size)
    })
    if ('fault' in found) return found
    return found.value === undefined ? this.all(path, maxBytes) : { value: found.value }
  }

  /** Gives what puts back what was there. */
  replace({ start, end, bytes }: Stretch): Stretch {
    const former = this.#bytes
    if (start === 0 && end === former.length) {
      this.#bytes = bytes
      return { start, end: bytes.length, bytes: former }
    }
    const replaced = Buffer.allocUnsafeSlow(end - start)
    former.copy(replaced, 0, start, end)
    const length = former.length - replaced.length + bytes.length
    const memory = Buffer.from(former.buffer)
    const fits = length <= memory.length
    const next = fits ? memory : Buffer.allocUnsafeSlow(length + ROOM_BYTES)
    if (!fits) former.copy(next, 0, 0, start)
    former.copy(next, start + bytes.length, end)
    bytes.copy(next, start)
    this.#bytes = next.subarray(0, length)
    return { start, end: start + bytes.length, bytes: replaced }
  }

  #differing(descriptor: number, size: number): Stretch {
    const former = this.#bytes
    const most = Math.min(former.length, size)
    const piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
    const same = sameAtStart({ descriptor, former, piece }, most)
    const sameEnd = former.length - sameAtEnd({ descriptor, former, piece }, size, most - same)
    // Lines that are cut by either belong to what is different.
    const start = same === 0 ? 0 : former.lastIndexOf(NEWLINE, same - 1) + 1
    const newline = former.indexOf(NEWLINE, sameEnd)
    const end = newline < 0 ? former.length : newline + 1
    const bytes = Buffer.allocUnsafeSlow(size - former.length + end - start)
    // What was compared is not read again: somebody may be writing, and lines must stay whole.
    let length = former.copy(bytes, 0, start, same)
    length += readAt(descriptor, bytes.subarray(length, bytes.length - (end - sameEnd)), same)
    length += former.copy(bytes, length, sameEnd, end)
    return { start, end, bytes: bytes.subarray(0, length) }
  }
}

interface Comparison {
  readonly descriptor: number
  readonly former: Buffer
  /** Memory to read into. */
  readonly piece: Buffer
}

/** How many bytes at the beginning of both are the same, `most` at most. */
function sameAtStart({ descriptor, former, piece }: Comparison, most: number): number {
  let same = 0
  while (same < most) {
    const count = readAt(descriptor, piece.subarray(0, most - same), same)
    const more = commonStart(former.subarray(same), piece.subarray(0, count))
    same += more
    if (more < count || count === 0) break
  }
  return same
}

/** How many bytes at the end of both are the same, `most` at most. */
function sameAtEnd({ descriptor, former, piece }: Comparison, size: number, most: number): number {
  let same = 0
  while (same < most) {
    const wanted = Math.min(piece.length, most - same)
    const count = readAt(descriptor, piece.subarray(0, wanted), size - same - wanted)
    // It has become shorter since.
    if (count < wanted) break
    const rest = former.subarray(0, former.length - same)
    const more = commonEnd(rest, piece.subarray(0, count), count)
    same += more
    if (more < count) break
  }
  return same
}

/** Fills `into` with what stands at `position`; gives how much there is. */
function readAt(descriptor: number, into: Buffer, position: number): number {
  let length = 0
  while (length < into.length) {
    const count = readSync(descriptor, into, length, into.length - length, position + length)
    if (count === 0) break
    length += count
  }
  return length
}

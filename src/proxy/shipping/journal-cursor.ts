/** A place in a journal, and how to read on from there: positioned reads of at most one buffer, segment after segment. */
import type { FileHandle } from 'node:fs/promises'
import { setTimeout as rest } from 'node:timers/promises'
import {
  BATCH_HEADER_BYTES,
  type BatchFound,
  MAX_BATCH_BYTES,
  SEGMENT_HEADER,
  SegmentReader,
} from '../../contracts/journal-segment.ts'

/** The longest batch fits. */
export const READ_BUFFER_BYTES: number = MAX_BATCH_BYTES + BATCH_HEADER_BYTES

/**
 * What is read without a rest, unless a batch is longer: some 0.3 ms of work. The reader shares a CPU with a worker, or has it
 * to itself: all that a busy worker writes in a second, read in one go, were 3 to 4 ms in which the worker's calls waited.
 */
const PIECE_BYTES = 64 * 1024
const REST_MS = 16
/** Behind so many pieces it is a backlog, which is hurried on with. */
const RESTFUL_PIECES = 64
const BACKLOG_REST_MS = 1

export type Batch = Extract<BatchFound, { kind: 'batch' }>

/** The segments of one journal. */
export interface Segments {
  /** Undefined where there is none of that number. */
  readonly open: (number: number) => Promise<FileHandle | undefined>
  /** The one behind `number`; that one is then written no more. */
  readonly after: (number: number) => number | undefined
}

export type ReadEnd =
  /** `take` did not want the batch that stands here. */
  | { readonly kind: 'stopped' }
  /** All that is there; `leftover` bytes are no whole batch. `closed` where there is a further segment. */
  | { readonly kind: 'end'; readonly leftover: number; readonly closed: boolean }
  | { readonly kind: 'corrupt'; readonly why: string; readonly closed: boolean }

type SegmentEnd =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'end'; readonly leftover: number }
  | { readonly kind: 'corrupt'; readonly why: string }

/** Whether a batch is taken. What it does may not outlive the batch's place: the reading goes on from there another time. */
export type TakeBatch = (batch: Batch) => boolean

export class JournalCursor {
  segment: number
  offset: number
  #reader: SegmentReader
  /** That `readOn` has read so far. */
  #pieces = 0

  constructor(segment: number, offset: number = 0, reader: SegmentReader = new SegmentReader()) {
    this.segment = segment
    this.offset = offset
    this.#reader = reader
  }

  /** Another one at the same place. */
  fork(): JournalCursor {
    return new JournalCursor(this.segment, this.offset, this.#reader.fork())
  }

  /** Reads on until `take` answers false or there is no more. The buffer must have READ_BUFFER_BYTES. */
  async readOn(
    segments: Segments,
    buffer: Buffer,
    take: TakeBatch,
    onLeave: (segment: number) => void = () => {},
  ): Promise<ReadEnd> {
    this.#pieces = 0
    for (;;) {
      // Asked before reading: only what is read of a segment after its successor was seen is all of it.
      const next = segments.after(this.segment)
      const closed = next !== undefined
      const end = await this.#readSegment(segments, buffer, take)
      if (end.kind === 'stopped') return end
      if (end.kind === 'corrupt' || end.leftover > 0 || next === undefined)
        return { ...end, closed }
      onLeave(this.segment)
      this.segment = next
      this.offset = 0
      this.#reader = new SegmentReader()
    }
  }

  async #readSegment(segments: Segments, buffer: Buffer, take: TakeBatch): Promise<SegmentEnd> {
    const file = await segments.open(this.segment)
    if (file === undefined) return { kind: 'end', leftover: 0 }
    try {
      for (let piece = PIECE_BYTES; ; ) {
        const { offset } = this
        const { bytesRead } = await file.read(buffer, 0, piece, offset)
        const end = this.#takeAll(buffer.subarray(0, bytesRead), take)
        if (end.kind !== 'end' || bytesRead < piece) return end
        if (this.offset === offset) piece = Math.min(2 * piece, buffer.length)
        else await rest(++this.#pieces > RESTFUL_PIECES ? BACKLOG_REST_MS : REST_MS)
      }
    } finally {
      await file.close()
    }
  }

  /** The whole batches in what was read from the offset on. */
  #takeAll(bytes: Buffer, take: TakeBatch): SegmentEnd {
    const start = this.offset
    if (start === 0) {
      const header = SegmentReader.checkHeader(bytes)
      if (header === undefined) return { kind: 'end', leftover: bytes.length }
      if (!header) return { kind: 'corrupt', why: 'it does not begin as a segment does' }
      this.offset = SEGMENT_HEADER.length
    }
    for (;;) {
      const found = this.#reader.read(bytes, this.offset - start)
      if (found.kind === 'incomplete')
        return { kind: 'end', leftover: bytes.length - (this.offset - start) }
      if (found.kind === 'corrupt') return found
      if (!take(found)) return { kind: 'stopped' }
      this.offset = start + found.end
    }
  }
}

import type { FileHandle } from 'node:fs/promises'
import { test } from 'tap'
import { BatchWriter, SEGMENT_HEADER } from '../../../../src/contracts/journal-segment.ts'
import { emptyDelta } from '../../../../src/proxy/metering/usage-row.ts'
import {
  JournalCursor,
  READ_BUFFER_BYTES,
  type Segments,
} from '../../../../src/proxy/shipping/journal-cursor.ts'

const KEY = {
  tenant: 'acme',
  listener: 'l',
  routability: 'l7',
  operation: 'o',
  code: '2xx',
} as const
const DELTA = { ...emptyDelta(), window: 60_000, calls: 1 }

/** A segment of batches with so many entries each. */
function segmentOf(...lengths: number[]): Buffer {
  const writer = new BatchWriter()
  const batches = lengths.map((length, index) => {
    writer.key(0, KEY)
    for (let entry = 0; entry < length; entry++) writer.usage(0, DELTA)
    return Buffer.from(writer.finish(index + 1))
  })
  return Buffer.concat([SEGMENT_HEADER, ...batches])
}

interface Read {
  readonly bytes: number
  readonly at: number
}

/** Reads all of it; what was asked of the file, and the sequences that were found. */
async function readAll(content: Buffer) {
  const reads: Read[] = []
  const file = {
    read: async (into: Buffer, offset: number, length: number, position: number) => {
      reads.push({ bytes: length, at: performance.now() })
      return { bytesRead: content.copy(into, offset, position, position + length) }
    },
    close: async () => {},
  } as unknown as FileHandle
  const segments: Segments = { open: async () => file, after: () => undefined }
  const sequences: number[] = []
  const end = await new JournalCursor(1).readOn(
    segments,
    Buffer.alloc(READ_BUFFER_BYTES),
    ({ sequence }) => sequences.push(sequence) > 0,
  )
  return { reads, sequences, end }
}

await test('what a busy worker writes in a second is read in small pieces, with rests between them', async t => {
  const { reads, sequences, end } = await readAll(
    segmentOf(...Array.from({ length: 300 }, () => 20)),
  )
  t.same(end, { kind: 'end', leftover: 0, closed: false })
  t.equal(sequences.length, 300)
  t.ok(reads.length >= 5, `${reads.length} reads`)
  for (const [index, { bytes, at }] of reads.entries()) {
    t.ok(bytes <= 64 * 1024)
    const before = reads[index - 1]
    // A timer may be a millisecond early.
    if (before !== undefined) t.ok(at - before.at >= 10, `${at - before.at} ms`)
  }
})

await test('a batch that is longer than a piece is read as well', async t => {
  const { sequences, end } = await readAll(segmentOf(1, 20_000, 1, 5_000))
  t.same(end, { kind: 'end', leftover: 0, closed: false })
  t.same(sequences, [1, 2, 3, 4])
})

await test('a backlog is read without long rests', async t => {
  const { reads } = await readAll(segmentOf(...Array.from({ length: 1_000 }, () => 200)))
  t.ok(reads.length > 140)
  const gaps = reads.slice(1).map(({ at }, index) => at - (reads[index] as Read).at)
  const median = (of: readonly number[]): number =>
    of.toSorted((a, b) => a - b)[of.length >> 1] as number
  const [first, later] = [median(gaps.slice(0, 64)), median(gaps.slice(64))]
  t.ok(later < first / 2, `${later} ms, at first ${first} ms`)
})

import { test } from 'tap'
import {
  BATCH_HEADER_BYTES,
  BatchWriter,
  MAX_BATCH_BYTES,
  SEGMENT_HEADER,
  SegmentReader,
  USAGE_BYTES,
  type UsageDelta,
  type UsageKey,
} from '../../../src/contracts/journal-segment.ts'

const KEY: UsageKey = {
  tenant: 'acme',
  listener: 'public',
  routability: 'l7',
  operation: 'read-order',
  code: '2xx',
}
const DELTA: UsageDelta = {
  window: 29_400_000 * 60_000,
  calls: 3,
  connections: 1,
  ingress: 2 ** 40 + 1,
  egress: 2 ** 52,
  connectionMs: 12,
  callMs: 7,
  requestMessages: 0,
  responseMessages: 0,
}

function batches(): Buffer {
  const writer = new BatchWriter(32)
  writer.key(7, KEY)
  writer.usage(7, DELTA)
  const first = Buffer.from(writer.finish(1))
  writer.usage(7, { ...DELTA, calls: 1 })
  writer.usage(7, { ...DELTA, calls: 2, requestMessages: 2 ** 33, responseMessages: 5 })
  return Buffer.concat([first, writer.finish(2)])
}

await test('gives back what was written', t => {
  const bytes = batches()
  const reader = new SegmentReader()
  const first = reader.read(bytes, 0)
  if (first.kind !== 'batch') throw new Error(first.kind)
  t.equal(first.sequence, 1)
  t.same(first.records, [{ ...KEY, ...DELTA }])
  const second = reader.read(bytes, first.end)
  if (second.kind !== 'batch') throw new Error(second.kind)
  t.equal(second.sequence, 2)
  t.same(
    second.records.map(({ calls, requestMessages, responseMessages }) => [
      calls,
      requestMessages,
      responseMessages,
    ]),
    [
      [1, 0, 0],
      [2, 2 ** 33, 5],
    ],
  )
  t.equal(second.end, bytes.length)
  t.same(reader.read(bytes, bytes.length), { kind: 'incomplete' })
  t.end()
})

await test('a batch cut at any byte is incomplete, and one with any bit flipped is never taken', t => {
  const bytes = batches()
  const whole = new SegmentReader().read(bytes, 0)
  if (whole.kind !== 'batch') throw new Error(whole.kind)
  for (let end = 0; end < whole.end; end++)
    t.equal(new SegmentReader().read(bytes.subarray(0, end), 0).kind, 'incomplete')
  let taken = 0
  for (let bit = 0; bit < whole.end * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    if (new SegmentReader().read(flipped, 0).kind === 'batch') taken += 1
  }
  t.equal(taken, 0)
  t.end()
})

/** What version 1 wrote for two entries: `DELTA`, and the same with 4 calls. */
const VERSION_1 = Buffer.from(
  'QU1USgEAAADHAAAAxkkR9gAAAAAAAPA/AQcAAABeAHsidGVuYW50IjoiYWNtZSIsImxpc3RlbmVyIjoicHVibGljIiwicm91dGFiaWxpdHkiOiJsNyIs' +
    'Im9wZXJhdGlvbiI6InJlYWQtb3JkZXIiLCJjb2RlIjoiMnh4In0CBwAAAMCbwAEDAAAAAQAAAAAQAAAAAHBCAAAAAAAAMEMAAAAAAAAoQAAAAAAAABxA' +
    'AgcAAADAm8ABBAAAAAEAAAAAEAAAAABwQgAAAAAAADBDAAAAAAAAKEAAAAAAAAAcQA==',
  'base64',
)

await test('a segment of version 1 is read, one of a later version is not', t => {
  t.equal(SegmentReader.checkHeader(VERSION_1), true)
  t.match(new SegmentReader().read(VERSION_1, SEGMENT_HEADER.length), {
    kind: 'batch',
    sequence: 1,
    records: [
      { ...KEY, ...DELTA },
      { ...KEY, ...DELTA, calls: 4 },
    ],
    end: VERSION_1.length,
  })
  const later = Buffer.from(SEGMENT_HEADER)
  later[4] = 3
  t.equal(SegmentReader.checkHeader(later), false)
  t.equal(SegmentReader.checkHeader(later.subarray(0, 7)), undefined)
  t.end()
})

await test('usage without messages takes no room for them', t => {
  const length = (delta: Partial<UsageDelta>): number => {
    const writer = new BatchWriter()
    writer.usage(7, { ...DELTA, ...delta })
    return writer.finish(1).length
  }
  t.equal(length({}), BATCH_HEADER_BYTES + USAGE_BYTES)
  t.equal(length({ requestMessages: 1 }), BATCH_HEADER_BYTES + USAGE_BYTES + 16)
  t.equal(length({ responseMessages: 1 }), BATCH_HEADER_BYTES + USAGE_BYTES + 16)
  t.end()
})

await test('usage without its key is corrupt', t => {
  const writer = new BatchWriter()
  writer.usage(1, DELTA)
  t.match(new SegmentReader().read(writer.finish(1), 0), { kind: 'corrupt' })
  t.end()
})

await test('a batch has a cap', t => {
  const writer = new BatchWriter()
  let count = 0
  for (; !writer.full; count++) writer.usage(1, DELTA)
  const bytes = writer.finish(1)
  t.ok(bytes.length <= MAX_BATCH_BYTES)
  t.ok(count > 20_000)
  t.ok(writer.empty)
  const large = Buffer.alloc(64)
  large.writeUInt32LE(MAX_BATCH_BYTES + 1, 0)
  t.match(new SegmentReader().read(large, 0), { kind: 'corrupt' })
  t.throws(() => writer.key(1, { ...KEY, operation: 'x'.repeat(2_000) }), RangeError)
  t.end()
})

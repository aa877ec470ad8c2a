/** Frames that others wrote, and the errors that they must cause, read beside the repository (see README there). */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'tap'
import { CONTINUATION, END_HEADERS, HEADERS } from '../../src/codec/http2/frame.ts'
import { FRAME, FrameReader, INVALID, INVALID_STREAM } from '../../src/codec/http2/frame-reader.ts'

const DATA = new URL('../../../shared/conformance/http2-frames/', import.meta.url)

interface FrameCase {
  readonly wire: string
  readonly error: readonly number[] | null
  readonly description: string
  readonly frame: {
    readonly type: number
    readonly flags: number
    readonly stream_identifier: number
    readonly frame_payload: Readonly<Record<string, unknown>>
  } | null
}

/** What the payload of such a frame says, by the names of the cases. */
const SAYS: Readonly<Record<string, (reader: FrameReader) => unknown>> = {
  data: payloadOf,
  header_block_fragment: payloadOf,
  stream_dependency: reader => reader.otherStreamId || null,
  promised_stream_id: reader => reader.otherStreamId,
  last_stream_id: reader => reader.otherStreamId,
  error_code: reader => reader.code,
  additional_debug_data: payloadOf,
  opaque_data: payloadOf,
  window_size_increment: reader => reader.increment,
  settings: reader =>
    Array.from({ length: (reader.end - reader.start) / 6 }, (_, index) => [
      reader.bytes.readUInt16BE(reader.start + index * 6),
      reader.bytes.readUInt32BE(reader.start + index * 6 + 2),
    ]),
}

function payloadOf({ bytes, start, end }: FrameReader): string {
  return bytes.toString('latin1', start, end)
}

/** A CONTINUATION needs a header block to continue, and its fragment is then the end of that. */
function wireOf({ wire, frame }: FrameCase): Buffer {
  const bytes = Buffer.from(wire, 'hex')
  if (frame?.type !== CONTINUATION) return bytes
  const first = Buffer.from('000000010000000000', 'hex')
  first.writeUInt32BE(frame.stream_identifier, 5)
  bytes[4] = frame.flags | END_HEADERS
  return Buffer.concat([first, bytes])
}

const ABSENT = existsSync(DATA) ? false : 'shared/conformance/http2-frames is absent'

await test('frames of other projects are read as they say', { skip: ABSENT }, async t => {
  const cases = readdirSync(DATA, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.json'))
    .map(name => ({
      name,
      ...(JSON.parse(readFileSync(new URL(name, DATA), 'utf8')) as FrameCase),
    }))
  t.equal(cases.length, 34)
  for (const each of cases) {
    const reader = new FrameReader()
    reader.push(wireOf(each))
    const kind = reader.next()
    if (each.frame === null) {
      t.ok(kind === INVALID || kind === INVALID_STREAM, each.name)
      t.ok(each.error?.includes(reader.error), `${each.name}: ${reader.error}`)
      continue
    }
    t.equal(kind, FRAME, each.name)
    t.equal(reader.type, each.frame.type === CONTINUATION ? HEADERS : each.frame.type, each.name)
    t.equal(reader.streamId, each.frame.stream_identifier, each.name)
    for (const [field, value] of Object.entries(each.frame.frame_payload))
      if (field in SAYS) t.same(SAYS[field]?.(reader), value, `${each.name}: ${field}`)
  }
})

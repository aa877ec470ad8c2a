/**
 * What one end of a connection sends, made up by fast-check and valid as a whole: streams whose frames are mixed, header
 * blocks that are padded, prioritised and continued, trailers, resets, settings, pings, windows, unknown frames.
 */
import fc from 'fast-check'
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  HEADERS,
  PADDED,
  PING,
  PRIORITY,
  PRIORITY_UPDATE,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
  WITH_PRIORITY,
} from '../../../src/codec/http2/frame.ts'
import {
  HeaderField,
  INDEXED,
  type Indexing,
  NEVER,
  PLAIN,
} from '../../../src/codec/http2/header-field.ts'
import { HpackEncoder } from '../../../src/codec/http2/hpack-encoder.ts'
import { uint32 } from '../http2/frames.ts'
import type { WireFrame } from '../http2/wire-frames.ts'

/** Of a server's session the streams are those that its client began: 1, 3, 5, … */
export interface MadeSession {
  readonly frames: readonly WireFrame[]
  readonly streams: number
}

interface MadeStream {
  readonly section: MadeSection
  readonly interim: boolean
  readonly pieces: readonly { readonly length: number; readonly padding: number }[]
  readonly trailers: MadeSection | undefined
  readonly ending: 'end' | 'open' | 'reset'
}

interface MadeSection {
  readonly start: number
  readonly fields: readonly (readonly [string, string, Indexing])[]
  /** -1: none. */
  readonly padding: number
  readonly weight: number
  readonly cuts: readonly number[]
}

const FIELDS: readonly (readonly [string, string])[] = [
  ['accept', '*/*'],
  ['accept-encoding', 'gzip, deflate'],
  ['x-empty', ''],
  ['x-obs-text', '\xe4\xf6'],
  ['x-long', 'long '.repeat(40).trim()],
  ['x-a', '1'],
  ['x-a', '2'],
  ['priority', 'u=1, i'],
  ['grpc-timeout', '1S'],
]
const REQUESTS: readonly (readonly (readonly [string, string])[])[] = [
  [
    [':method', 'GET'],
    [':scheme', 'https'],
    [':authority', 'a.example'],
    [':path', '/'],
  ],
  [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', '/b?c=d'],
    ['host', 'b.example:8080'],
    ['cookie', 'a=b'],
    ['te', 'trailers'],
    ['cookie', 'c=d'],
  ],
  [
    [':method', 'CONNECT'],
    [':protocol', 'websocket'],
    [':scheme', 'https'],
    [':path', '/chat'],
    [':authority', 'a.example'],
  ],
  [
    [':method', 'CONNECT'],
    [':authority', 'a.example:443'],
  ],
  [
    [':method', 'PUT'],
    [':scheme', 'https'],
    [':authority', 'a.example'],
    [':path', '/length'],
    ['content-length', ''],
  ],
]
const ANSWERS: readonly (readonly (readonly [string, string])[])[] = [
  [[':status', '200']],
  [
    [':status', '404'],
    ['content-type', 'text/plain'],
    ['set-cookie', 'a=b'],
    ['set-cookie', 'c=d'],
  ],
  [
    [':status', '206'],
    ['content-length', ''],
  ],
]
const INTERIM: readonly (readonly [string, string])[] = [
  [':status', '103'],
  ['link', '</style.css>; rel=preload'],
]

const section: fc.Arbitrary<MadeSection> = fc.record({
  start: fc.nat({ max: 100 }),
  fields: fc.array(
    fc
      .tuple(fc.constantFrom(...FIELDS), fc.constantFrom<Indexing>(INDEXED, INDEXED, PLAIN, NEVER))
      .map(([[name, value], indexing]) => [name, value, indexing] as const),
    { maxLength: 4 },
  ),
  padding: fc.constantFrom(-1, -1, 0, 1, 30),
  weight: fc.constantFrom(-1, -1, 0, 255),
  cuts: fc.array(fc.nat({ max: 80 }), { maxLength: 3 }),
})

const stream: fc.Arbitrary<MadeStream> = fc.record({
  section,
  interim: fc.boolean(),
  pieces: fc.array(
    fc.record({ length: fc.nat({ max: 120 }), padding: fc.constantFrom(-1, -1, 0, 7) }),
    { maxLength: 3 },
  ),
  trailers: fc.option(section, { nil: undefined }),
  ending: fc.constantFrom('end', 'end', 'end', 'open', 'reset'),
})

/** Frames that belong to no stream, or to no state of one. */
const asides: fc.Arbitrary<WireFrame> = fc.oneof(
  fc
    .tuple(fc.constantFrom(0x1, 0x3, 0x4, 0x5, 0x6, 0x42), fc.constantFrom(20_000, 70_000))
    .map(([id, value]) => aside(SETTINGS, setting(id, value))),
  fc.constant(aside(SETTINGS, Buffer.alloc(0), ACK)),
  fc.constant(aside(PING, Buffer.from('12345678'))),
  fc.constant(aside(PING, Buffer.from('abcdefgh'), ACK)),
  fc.nat({ max: 100_000 }).map(by => aside(WINDOW_UPDATE, uint32(by + 1))),
  fc.constant({ type: PRIORITY, flags: 0, streamId: 9, payload: Buffer.from([0, 0, 0, 0, 16]) }),
  fc.constant({ type: 0xfa, flags: 0xff, streamId: 3, payload: Buffer.from('of another time') }),
)

/** Only a client may send them. */
const priorityUpdates: fc.Arbitrary<WireFrame> = fc
  .constantFrom('u=0', 'u=7, i', '')
  .map(value => aside(PRIORITY_UPDATE, Buffer.concat([uint32(1), Buffer.from(value)])))

function aside(type: number, payload: Buffer, flags = 0): WireFrame {
  return { type, flags, streamId: 0, payload }
}

function setting(id: number, value: number): Buffer {
  const pair = Buffer.alloc(6)
  pair.writeUInt16BE(id)
  pair.writeUInt32BE(value, 2)
  return pair
}

/** Frames that stay together, written when it is their turn: what they say depends on what HPACK has said before. */
type Step = (encoder: HpackEncoder) => readonly WireFrame[]

function sectionStep(
  streamId: number,
  made: MadeSection,
  lines: readonly (readonly [string, string, Indexing])[],
  endStream: boolean,
): Step {
  return encoder => {
    const fields = lines.map(([name, value, indexing]) => new HeaderField(name, value, indexing))
    const block = Buffer.alloc(HpackEncoder.mostOctets(fields))
    const octets = encoder.encode(fields, block, 0)
    const cuts = [0, ...made.cuts.map(cut => Math.min(cut, octets)), octets].toSorted(
      (one, other) => one - other,
    )
    const fragments = cuts.slice(1).map((cut, index) => block.subarray(cuts[index], cut))
    return fragments.map((fragment, index) => {
      const last = index === fragments.length - 1 ? END_HEADERS : 0
      return index === 0
        ? firstFrame(streamId, made, fragment, last | (endStream ? END_STREAM : 0))
        : { type: CONTINUATION, flags: last, streamId, payload: fragment }
    })
  }
}

function firstFrame(
  streamId: number,
  { padding, weight }: MadeSection,
  fragment: Buffer,
  flags: number,
): WireFrame {
  const priority = weight < 0 ? [] : [0, 0, 0, 0, weight]
  const payload = padded(Buffer.concat([Buffer.from(priority), fragment]), padding)
  const also = (weight < 0 ? 0 : WITH_PRIORITY) | (padding < 0 ? 0 : PADDED)
  return { type: HEADERS, flags: flags | also, streamId, payload }
}

function padded(payload: Buffer, padding: number): Buffer {
  return padding < 0 ? payload : Buffer.concat([Buffer.of(padding), payload, Buffer.alloc(padding)])
}

type Lines = readonly (readonly [string, string])[]

function stepsOf(made: MadeStream, streamId: number, beginnings: readonly Lines[]): Step[] {
  const { section: head, pieces, trailers, ending, interim } = made
  const beginning = beginnings[head.start % beginnings.length] as Lines
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  const lines = [
    ...beginning.map(
      ([name, value]) => [name, value === '' ? `${length}` : value, INDEXED] as const,
    ),
    ...head.fields,
  ]
  const ends = ending === 'end'
  const steps: Step[] = []
  if (interim && beginnings === ANSWERS)
    steps.push(
      sectionStep(
        streamId,
        head,
        INTERIM.map(line => [...line, PLAIN] as const),
        false,
      ),
    )
  steps.push(sectionStep(streamId, head, lines, ends && pieces.length === 0 && !trailers))
  for (const [index, { length: octets, padding }] of pieces.entries()) {
    const last = ends && trailers === undefined && index === pieces.length - 1
    const flags = (last ? END_STREAM : 0) | (padding < 0 ? 0 : PADDED)
    const payload = padded(Buffer.alloc(octets, `${streamId}.`), padding)
    steps.push(() => [{ type: DATA, flags, streamId, payload }])
  }
  if (ends && trailers !== undefined) {
    const behind = [['x-sum', `${length}`, INDEXED] as const, ...trailers.fields]
    steps.push(sectionStep(streamId, trailers, behind, true))
  }
  if (ending === 'reset')
    steps.push(() => [{ type: RST_STREAM, flags: 0, streamId, payload: uint32(8) }])
  return steps
}

/** Takes from the queues in turn as `picks` say. Streams begin in their order, since their numbers only go upwards. */
function weave(queues: Step[][], picks: readonly number[]): Step[] {
  const woven: Step[] = []
  let begun = 1
  for (let at = 0; queues.some(queue => queue.length > 0); at++) {
    const open = queues.filter((queue, index) => index <= begun && queue.length > 0)
    const queue = open[(picks[at % picks.length] as number) % Math.max(1, open.length)]
    if (queue === undefined || queue === queues[begun]) begun++
    const step = queue?.shift()
    if (step !== undefined) woven.push(step)
  }
  return woven
}

function sessionsOf(
  beginnings: readonly Lines[],
  between: fc.Arbitrary<WireFrame>,
): fc.Arbitrary<MadeSession> {
  return fc
    .record({
      streams: fc.array(stream, { minLength: 1, maxLength: 4 }),
      between: fc.array(between, { maxLength: 4 }),
      picks: fc.array(fc.nat({ max: 20 }), { minLength: 1, maxLength: 12 }),
      tableSizes: fc.array(fc.constantFrom(0, 100, 4_096), { maxLength: 2 }),
    })
    .map(({ streams, picks, ...others }) => {
      const queues: Step[][] = [
        [
          ...others.between.map(
            (each): Step =>
              () => [each],
          ),
          ...others.tableSizes.map(
            (size): Step =>
              encoder => {
                encoder.setLimit(size)
                return []
              },
          ),
        ],
        ...streams.map((each, index) => stepsOf(each, 2 * index + 1, beginnings)),
      ]
      const encoder = new HpackEncoder()
      const frames = weave(queues, picks).flatMap(step => step(encoder))
      return { frames: [aside(SETTINGS, setting(4, 66_000)), ...frames], streams: streams.length }
    })
}

/** What a client sends behind its preface. */
export const clientSessions: fc.Arbitrary<MadeSession> = sessionsOf(
  REQUESTS,
  fc.oneof(asides, priorityUpdates),
)
export const serverSessions: fc.Arbitrary<MadeSession> = sessionsOf(ANSWERS, asides)

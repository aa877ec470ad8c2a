import { createHash } from 'node:crypto'
import { type ClientEvents, ClientSession } from '../../src/codec/http2/client-session.ts'
import { MALFORMED } from '../../src/codec/http2/field-name.ts'
import { HeaderField, INDEXED } from '../../src/codec/http2/header-field.ts'
import { HpackDecoder } from '../../src/codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../src/codec/http2/hpack-encoder.ts'
import { type ServerEvents, ServerSession } from '../../src/codec/http2/server-session.ts'
import { DEFAULT_SESSION, type SessionEvents } from '../../src/codec/http2/session-options.ts'
import type { Http2Stream } from '../../src/codec/http2/stream.ts'
import type { MicroBench, Run } from './measure.ts'

/** A call as gRPC has it: ten fields, of which the last is another each time. */
const REQUEST: readonly HeaderField[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/orders.v1.OrderService/GetOrder'],
  [':authority', 'orders.acme.example:8443'],
  ['te', 'trailers'],
  ['content-type', 'application/grpc'],
  ['user-agent', 'grpc-node-js/1.14.0'],
  ['grpc-accept-encoding', 'identity,deflate,gzip'],
  ['x-api-key', 'amt_acme_7f3kq9x2m4p8w6z1c5v0b9n8'],
].map(([name = '', value = '']) => new HeaderField(name, value, INDEXED))
const ANSWER = fieldsOf([
  [':status', '200'],
  ['content-type', 'application/grpc'],
  ['grpc-accept-encoding', 'identity,deflate,gzip'],
])
const TRAILERS = fieldsOf([['grpc-status', '0']])
const MESSAGE = Buffer.alloc(69, 'm')
const STREAMS_A_TURN = 10

export const benches: readonly MicroBench[] = [
  { name: 'hpack-decode-of-10-fields', prepare: decodeRequests },
  { name: 'hpack-decode-with-token', prepare: decodeTokens },
  { name: 'hpack-encode-of-10-fields', prepare: encodeRequests },
  { name: 'http2-call-of-10-a-turn', prepare: () => exchangeCalls(STREAMS_A_TURN) },
  { name: 'http2-call-of-1-a-turn', prepare: () => exchangeCalls(1) },
]

function fieldsOf(pairs: readonly (readonly [string, string])[]): readonly HeaderField[] {
  return pairs.map(([name, value]) => new HeaderField(name, value, INDEXED))
}

const ROUND = 1_000
/** Ids as others make them; when one comes again, no table has it any more. */
const IDS: readonly string[] = Array.from(
  { length: ROUND },
  (_, call) => `4bf92f3577b34da6a3ce${(call * 7_919_000_111).toString(16).padStart(12, '0')}`,
)

function requestOf(call: number): HeaderField[] {
  return [...REQUEST, new HeaderField('x-request-id', IDS[call % ROUND] as string, INDEXED)]
}

/** Blocks of one connection, again and again: the first one empties the table. */
function decodeRequests(): Run {
  const encoder = new HpackEncoder()
  encoder.setLimit(0)
  encoder.setLimit(4_096)
  const blocks = Array.from({ length: ROUND }, (_, call) => {
    const fields = requestOf(call)
    const into = Buffer.alloc(HpackEncoder.mostOctets(fields))
    return into.subarray(0, encoder.encode(fields, into, 0))
  })
  const decoder = new HpackDecoder(DEFAULT_SESSION.headers)
  let at = 0
  return times => {
    for (let time = 0; time < times; time += 1) {
      const block = blocks[at] as Buffer
      if (!decoder.decode(block, 0, block.length) || decoder.fields.length !== 10)
        throw new Error('not read')
      at = at + 1 === ROUND ? 0 : at + 1
    }
  }
}

/** Each of a hundred tokens in turn, as long as one that RS256 has signed: when one comes again, no table has it any more. */
function decodeTokens(): Run {
  const encoder = new HpackEncoder()
  const blocks = Array.from({ length: 100 }, (_, tenant) => {
    const token = createHash('sha512').update(String(tenant)).digest('base64url').repeat(8)
    const field = new HeaderField('authorization', `Bearer ${token.slice(0, 620)}`, INDEXED)
    const into = Buffer.alloc(HpackEncoder.mostOctets([field]))
    return into.subarray(0, encoder.encode([field], into, 0))
  })
  const decoder = new HpackDecoder(DEFAULT_SESSION.headers)
  let at = 0
  return times => {
    for (let time = 0; time < times; time += 1) {
      const block = blocks[at] as Buffer
      if (!decoder.decode(block, 0, block.length) || decoder.fields[0]?.role === MALFORMED)
        throw new Error('not read')
      at = at + 1 === blocks.length ? 0 : at + 1
    }
  }
}

/** As a proxy does: fields that were read, and that many sections share, are written again. */
function encodeRequests(): Run {
  const encoder = new HpackEncoder()
  const fields = requestOf(0)
  const into = Buffer.alloc(4_096)
  let at = 0
  return times => {
    for (let time = 0; time < times; time += 1) {
      fields[9] = new HeaderField('x-request-id', IDS[at] as string, INDEXED)
      const end = encoder.encode(fields, into, 0)
      if (end > 1_000) throw new Error(`${end} octets`)
      at = at + 1 === ROUND ? 0 : at + 1
    }
  }
}

/** Whole calls: request and answer with a message each, and trailers, through a client's and a server's session. */
function exchangeCalls(streams: number): Run {
  let answered = 0
  const common: Omit<SessionEvents<number>, 'data' | 'ended'> = {
    trailers: () => {},
    reset: () => {
      throw new Error('reset')
    },
    writable: () => {},
    goingAway: () => {},
    pong: () => {},
    failed: (_, why) => {
      throw new Error(why)
    },
  }
  const serverEvents: ServerEvents<number> = {
    ...common,
    request: stream => {
      stream.owner = stream.id
    },
    malformed: () => {
      throw new Error('malformed')
    },
    data: (stream, _, start, end) => server.consumed(stream, end - start),
    ended: stream => answer(stream),
  }
  const clientEvents: ClientEvents<number> = {
    ...common,
    response: () => {},
    data: (stream, _, start, end) => client.consumed(stream, end - start),
    ended: () => {
      answered += 1
    },
  }
  let client = new ClientSession<number>(clientEvents, 0)
  let server = new ServerSession<number>(serverEvents, 0)
  let [calls, now] = [0, 0]
  const whole = { start: 0, end: MESSAGE.length }
  const fields = requestOf(0)
  const last = { ...whole, endStream: true }

  function answer(stream: Http2Stream<number>): void {
    server.respond(stream, ANSWER, { endStream: false })
    server.send(stream, MESSAGE, whole)
    server.sendTrailers(stream, TRAILERS)
  }

  function turn(): void {
    now += 0.05
    for (let stream = 0; stream < streams; stream += 1) {
      calls += 1
      fields[9] = new HeaderField('x-request-id', IDS[calls % ROUND] as string, INDEXED)
      client.send(client.request(calls, fields, false), MESSAGE, last)
    }
    for (const piece of client.take()) server.receive(piece, now)
    for (const piece of server.take()) client.receive(piece, now)
  }

  turn()
  return times => {
    const before = answered
    for (let time = 0; time < times; time += streams) {
      if (!client.open) {
        client = new ClientSession<number>(clientEvents, now)
        server = new ServerSession<number>(serverEvents, now)
      }
      turn()
    }
    if (answered - before < times) throw new Error('calls without an answer')
  }
}

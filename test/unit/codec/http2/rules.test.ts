/** Rules of RFC 9113, 7541, 8441 and 9218, a test each, by their sections. What the reader checks frame by frame is in frames.test.ts. */
import { test } from 'tap'
import {
  ACK,
  CANCEL,
  COMPRESSION_ERROR,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  FLOW_CONTROL_ERROR,
  HEADERS,
  NO_ERROR,
  PADDED,
  PING,
  PRIORITY_UPDATE,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  STREAM_CLOSED,
  WINDOW_UPDATE,
} from '../../../../src/codec/http2/frame.ts'
import { CLIENT_PREFACE } from '../../../../src/codec/http2/frame-writer.ts'
import { HeaderField, INDEXED } from '../../../../src/codec/http2/header-field.ts'
import { HpackDecoder } from '../../../../src/codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../../../src/codec/http2/hpack-encoder.ts'
import { DEFAULT_SESSION } from '../../../../src/codec/http2/session-options.ts'
import {
  ENABLE_PUSH,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  NO_RFC7540_PRIORITIES,
} from '../../../../src/codec/http2/settings.ts'
import type { Http2Stream } from '../../../../src/codec/http2/stream.ts'
import { frame, uint32 } from '../../../support/http2/frames.ts'
import { Heard, SessionPair } from '../../../support/http2/session-pair.ts'

type Fields = readonly (readonly [name: string, value: string])[]

const GET: Fields = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', 'a.example'],
  [':path', '/'],
]
const POST: Fields = [[':method', 'POST'], ...GET.slice(1)]
const CONNECT: Fields = [
  [':method', 'CONNECT'],
  [':authority', 'a.example:443'],
]
const WEBSOCKET: Fields = [
  [':method', 'CONNECT'],
  [':protocol', 'websocket'],
  [':scheme', 'https'],
  [':authority', 'a.example'],
  [':path', '/chat'],
]
const OK: Fields = [[':status', '200']]

function fieldsOf(fields: Fields): HeaderField[] {
  return fields.map(([name, value]) => new HeaderField(name, value, INDEXED))
}

function blockOf(fields: Fields, encoder: HpackEncoder = new HpackEncoder(0)): Buffer {
  const list = fieldsOf(fields)
  const block = Buffer.alloc(HpackEncoder.mostOctets(list))
  return block.subarray(0, encoder.encode(list, block, 0))
}

function headers(streamId: number, fields: Fields, flags = END_STREAM): Buffer {
  return frame(HEADERS, streamId, blockOf(fields), END_HEADERS | flags)
}

function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6)
  for (const [index, [id, value]] of pairs.entries()) {
    payload.writeUInt16BE(id, index * 6)
    payload.writeUInt32BE(value, index * 6 + 2)
  }
  return frame(SETTINGS, 0, payload)
}

const ACKNOWLEDGED = frame(SETTINGS, 0, '', ACK)

/** A server whose client is written by hand; it has said its settings. */
function served(options: ConstructorParameters<typeof SessionPair>[0] = {}): SessionPair {
  const pair = new SessionPair(options)
  pair.server.receive(Buffer.concat([CLIENT_PREFACE, settings()]), 0)
  pair.server.take()
  return pair
}

/** A client whose server is written by hand, and its first stream. */
function asking(fields: Fields = GET): { pair: SessionPair; stream: Http2Stream<Heard> } {
  const pair = new SessionPair()
  const stream = pair.client.request(new Heard(), fieldsOf(fields), fields === GET)
  pair.client.receive(settings(), 0)
  pair.client.take()
  return { pair, stream }
}

interface Sent {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

function sentBy(session: { take(): Buffer[] }): Sent[] {
  const bytes = Buffer.concat(session.take())
  const frames: Sent[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    frames.push({
      type: bytes[at + 3] as number,
      flags: bytes[at + 4] as number,
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, at + 9 + length),
    })
    at += 9 + length
  }
  return frames
}

/** The code with which a stream was reset, on the wire. */
function resetCode(session: { take(): Buffer[] }, streamId: number): number | undefined {
  return sentBy(session)
    .find(({ type, streamId: id }) => type === RST_STREAM && id === streamId)
    ?.payload.readUInt32BE(0)
}

await test('RFC 9113 §3.4: the settings come first, and no answer to ours', async t => {
  for (const [what, first] of [
    ['a frame of an unknown type', frame(0x42, 0)],
    ['an acknowledgement', ACKNOWLEDGED],
    ['a ping', frame(PING, 0, '12345678')],
    ['a request', headers(1, GET)],
  ] as const) {
    const server = new SessionPair()
    server.server.receive(Buffer.concat([CLIENT_PREFACE, first]), 0)
    t.match(server.failures, [/settings have to come first/], `${what}, of a client`)
    const client = new SessionPair()
    client.client.receive(first, 0)
    t.match(client.failures, [/settings have to come first/], `${what}, of a server`)
  }
})

await test('what another connection left in the same memory behind the end is not read', async t => {
  const anothers = headers(3, GET)
  const wire = Buffer.concat([CLIENT_PREFACE, settings(), headers(1, GET)])
  for (let cut = 1; cut < wire.length; cut += 1) {
    const pair = new SessionPair()
    for (const part of [wire.subarray(0, cut), wire.subarray(cut)])
      pair.server.receive(Buffer.concat([part, anothers]), 0, part.length)
    const ids = pair.requests.map(({ id }) => id)
    if (pair.failures.length > 0 || ids.join() !== '1')
      t.fail(`cut at ${cut}: ${pair.failures.join()}, streams ${ids.join()}`)
  }
  const whole = new SessionPair()
  whole.server.receive(Buffer.concat([wire, anothers]), 0, wire.length)
  t.same(
    whole.requests.map(({ id }) => id),
    [1],
  )
})

await test('RFC 9113 §4.1: reserved bits and flags that mean nothing are ignored', async t => {
  const pair = served()
  const request = headers(1, POST, 0)
  request[4] = 0x04 | 0xd2
  request[5] = 0x80
  const ping = frame(PING, 0, '12345678', 0xfe)
  pair.server.receive(Buffer.concat([request, ping]), 0)
  t.same(pair.failures, [])
  t.ok(pair.requests[0]?.remoteOpen)
  t.match(sentBy(pair.server), [{ type: PING, flags: ACK }])
})

await test('RFC 9113 §5.1: on a stream that nobody began, only HEADERS and PRIORITY may come', async t => {
  for (const [what, bytes] of [
    ['DATA', frame(DATA, 5, 'x')],
    ['RST_STREAM', frame(RST_STREAM, 5, uint32(8))],
    ['WINDOW_UPDATE', frame(WINDOW_UPDATE, 5, uint32(8))],
    ['RST_STREAM of ours', frame(RST_STREAM, 2, uint32(8))],
  ] as const) {
    const pair = served()
    pair.server.receive(bytes, 0)
    t.match(pair.failures, [new RegExp(`^${PROTOCOL_ERROR}: `)], what)
  }
})

await test('RFC 9113 §5.1: behind its end nothing comes on a stream but what is about it', async t => {
  for (const bytes of [frame(DATA, 1, 'x'), headers(1, [['x', 'y']])]) {
    const pair = served()
    pair.server.receive(headers(1, GET), 0)
    pair.server.receive(frame(WINDOW_UPDATE, 1, uint32(1)), 0)
    pair.server.receive(frame(2, 1, Buffer.from('0000000010', 'hex')), 0)
    t.notOk(pair.server.over)
    pair.server.receive(bytes, 0)
    t.equal(resetCode(pair.server, 1), STREAM_CLOSED)
    t.equal(pair.requests[0]?.owner?.reset, STREAM_CLOSED)
    t.same(pair.failures, [])
  }
})

await test('RFC 9113 §5.1: data of a stream that is over ends the connection, but not where we have reset it', async t => {
  for (const [resets, failures] of [
    [false, [/^5: data of a stream that is over/]],
    [true, []],
  ] as const) {
    const pair = served()
    pair.onRequest = stream => {
      if (resets) pair.server.reset(stream)
      else pair.server.respond(stream, fieldsOf(OK), { endStream: true })
    }
    pair.server.receive(headers(1, resets ? POST : GET, resets ? 0 : END_STREAM), 0)
    pair.server.receive(frame(DATA, 1, 'x'), 0)
    t.match(pair.failures, failures)
    t.equal(pair.failures.length, failures.length)
  }
})

await test('RFC 9113 §5.1.1: streams go upwards, and a server has none of its own here', async t => {
  const pair = served()
  pair.server.receive(headers(5, GET), 0)
  pair.server.receive(headers(3, GET), 0)
  t.match(pair.failures, [/^1: streams go upwards/])
  const even = served()
  even.server.receive(headers(2, GET), 0)
  t.match(even.failures, [/^1: a client has odd streams only/])
})

await test('RFC 9113 §6.5.2: a server does not let itself be pushed to, and a client may', async t => {
  const { pair } = asking()
  pair.client.receive(settings([ENABLE_PUSH, 1]), 0)
  t.match(pair.failures, [new RegExp(`^${PROTOCOL_ERROR}: `)])
  const other = served()
  other.server.receive(settings([ENABLE_PUSH, 1]), 0)
  t.same(other.failures, [])
  other.server.receive(settings([ENABLE_PUSH, 2]), 0)
  t.match(other.failures, [new RegExp(`^${PROTOCOL_ERROR}: `)])
})

await test('RFC 9113 §6.5.3: settings are acknowledged in their order, before what follows from them', async t => {
  const pair = served()
  pair.server.receive(Buffer.concat([settings([3, 7]), settings(), frame(PING, 0, '12345678')]), 0)
  t.match(sentBy(pair.server), [
    { type: SETTINGS, flags: ACK },
    { type: SETTINGS, flags: ACK },
    { type: PING, flags: ACK },
  ])
})

await test('RFC 9113 §6.5.3: until our settings are acknowledged, those of the beginning hold', async t => {
  const pair = served({ streamWindow: 20_000 })
  pair.server.receive(headers(1, POST, 0), 0)
  t.notOk(pair.server.acknowledged)
  // The client may not know that it may send less.
  for (const octets of [16_384, 13_616])
    pair.server.receive(frame(DATA, 1, Buffer.alloc(octets)), 0)
  const stream = pair.requests[0] as Http2Stream<Heard>
  t.equal(stream.owner?.reset, undefined)
  pair.server.receive(ACKNOWLEDGED, 0)
  t.ok(pair.server.acknowledged)
  pair.server.receive(frame(DATA, 1, 'x'), 0)
  t.equal(stream.owner?.reset, FLOW_CONTROL_ERROR, 'now it does')
  pair.server.receive(headers(3, POST, 0), 0)
  pair.server.receive(frame(DATA, 3, Buffer.alloc(16_384)), 0)
  pair.server.receive(frame(DATA, 3, Buffer.alloc(3_617)), 0)
  t.equal(pair.requests[1]?.owner?.reset, FLOW_CONTROL_ERROR, 'and for new streams')
})

await test('RFC 9113 §6.5.3: a stream that sent more than it now may goes on once as much was consumed', async t => {
  const pair = served({ streamWindow: 20_000 })
  pair.server.receive(headers(1, POST, 0), 0)
  for (const octets of [16_384, 13_616])
    pair.server.receive(frame(DATA, 1, Buffer.alloc(octets)), 0)
  pair.server.receive(ACKNOWLEDGED, 0)
  pair.server.take()
  const stream = pair.requests[0] as Http2Stream<Heard>
  pair.server.consumed(stream, 30_000)
  const opened = sentBy(pair.server)
    .filter(({ type, streamId }) => type === WINDOW_UPDATE && streamId === 1)
    .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0)
  // It has sent 30,000 of 20,000, and was given 30,000 back.
  t.equal(opened, 30_000)
  pair.server.receive(frame(DATA, 1, Buffer.alloc(16_384)), 0)
  pair.server.receive(frame(DATA, 1, Buffer.alloc(3_616)), 0)
  t.equal(stream.owner?.reset, undefined)
  pair.server.receive(frame(DATA, 1, 'x'), 0)
  t.equal(stream.owner?.reset, FLOW_CONTROL_ERROR)
})

await test('RFC 9113 §6.6: nothing is pushed, in either direction', async t => {
  // Also where the block would go on in another frame.
  for (const flags of [END_HEADERS, 0]) {
    const promise = frame(PUSH_PROMISE, 1, Buffer.concat([uint32(2), blockOf(GET)]), flags)
    const { pair } = asking()
    pair.client.receive(promise, 0)
    t.match(pair.failures, [new RegExp(`^${PROTOCOL_ERROR}: `)])
    const server = served()
    server.server.receive(promise, 0)
    t.match(server.failures, [new RegExp(`^${PROTOCOL_ERROR}: `)])
  }
})

await test('RFC 9113 §6.7: a ping comes back with its octets, an answer to one does not', async t => {
  const pair = served()
  pair.server.receive(frame(PING, 0, '12345678'), 0)
  pair.server.receive(frame(PING, 0, '87654321', ACK), 0)
  t.match(sentBy(pair.server), [{ type: PING, flags: ACK, payload: Buffer.from('12345678') }])
  t.same(pair.goneAway, ['pong 87654321'])
})

await test('RFC 9113 §6.8: GOAWAY names the last stream that was looked at', async t => {
  const goaway = (pair: SessionPair): readonly [number, number] | undefined => {
    const { payload } = sentBy(pair.server).find(({ type }) => type === 7) ?? {}
    return payload && [payload.readUInt32BE(0), payload.readUInt32BE(4)]
  }
  const none = served()
  none.server.receive(frame(DATA, 1, 'x'), 0)
  t.same(goaway(none), [0, PROTOCOL_ERROR])
  const some = served()
  some.server.receive(Buffer.concat([headers(1, GET), headers(7, GET)]), 0)
  some.server.receive(frame(HEADERS, 9, Buffer.of(0xff), END_HEADERS), 0)
  t.same(goaway(some), [7, COMPRESSION_ERROR], 'what could not be read was not looked at')
  const ending = served()
  ending.server.receive(headers(1, GET), 0)
  ending.server.endAfterStreams()
  t.same(goaway(ending), [1, NO_ERROR])
  ending.server.receive(headers(3, GET), 0)
  ending.server.receive(frame(DATA, 0, 'x'), 0)
  t.same(goaway(ending), [1, PROTOCOL_ERROR], 'it never goes up again')
})

await test('RFC 9113 §6.8: what belongs to a request behind the last stream is ignored, and counts for the connection', async t => {
  const pair = served({ sessionWindow: 65_535 })
  pair.onRequest = stream => pair.server.respond(stream, fieldsOf(OK), { endStream: false })
  const encoder = new HpackEncoder()
  pair.server.receive(frame(HEADERS, 1, blockOf(POST, encoder), END_HEADERS), 0)
  pair.server.endAfterStreams()
  pair.server.take()
  const fields: Fields = [...POST, ['x-new', 'value']]
  pair.server.receive(frame(HEADERS, 3, blockOf(fields, encoder), END_HEADERS), 0)
  for (let turn = 0; turn < 3; turn += 1)
    pair.server.receive(frame(DATA, 3, Buffer.alloc(16_384)), 0)
  pair.server.receive(frame(WINDOW_UPDATE, 3, uint32(5)), 0)
  pair.server.receive(frame(HEADERS, 3, blockOf([['x-sum', '1']], encoder), 5), 0)
  pair.server.receive(frame(RST_STREAM, 3, uint32(CANCEL)), 0)
  t.same(pair.failures, [])
  t.equal(pair.requests.length, 1)
  t.match(sentBy(pair.server), [{ type: WINDOW_UPDATE, streamId: 0 }])
  // The table is that of all streams: what the ignored one added is there.
  pair.server.receive(frame(HEADERS, 1, blockOf([['x-new', 'value']], encoder), 5), 0)
  t.same(pair.requests[0]?.owner?.trailers, ['x-new: value'])
})

await test('RFC 9113 §6.9.1: a window of a stream beyond 2^31 - 1 ends the stream, that of all of them the connection', async t => {
  const pair = served()
  pair.server.receive(headers(1, GET), 0)
  pair.server.receive(frame(WINDOW_UPDATE, 1, uint32(2 ** 31 - 1)), 0)
  t.equal(resetCode(pair.server, 1), FLOW_CONTROL_ERROR)
  t.same(pair.failures, [])
  pair.server.receive(frame(WINDOW_UPDATE, 0, uint32(2 ** 31 - 1)), 0)
  t.match(pair.failures, [new RegExp(`^${FLOW_CONTROL_ERROR}: `)])
})

await test('RFC 9113 §6.9.2: a change of the initial window moves those of all streams, below 0 and beyond the end', async t => {
  const pair = served()
  pair.server.receive(headers(1, GET), 0)
  const stream = pair.requests[0] as Http2Stream<Heard>
  pair.server.respond(stream, fieldsOf(OK), { endStream: false })
  const body = Buffer.alloc(30_000)
  t.equal(pair.server.send(stream, body, { start: 0, end: 30_000 }), 30_000)
  pair.server.receive(settings([INITIAL_WINDOW_SIZE, 10_000]), 0)
  t.equal(stream.sendWindow, -20_000)
  t.equal(pair.server.sendable(stream), 0)
  pair.server.receive(frame(WINDOW_UPDATE, 1, uint32(20_005)), 0)
  t.equal(pair.server.sendable(stream), 5)
  pair.server.receive(frame(WINDOW_UPDATE, 1, uint32(2 ** 30)), 0)
  pair.server.receive(settings([INITIAL_WINDOW_SIZE, 2 ** 31 - 1]), 0)
  t.match(pair.failures, [new RegExp(`^${FLOW_CONTROL_ERROR}: `)])
})

await test('RFC 9113 §6.1: padding counts for flow control, and is given back by itself', async t => {
  const pair = served({ streamWindow: 65_535, sessionWindow: 65_535 })
  pair.server.receive(headers(1, POST, 0), 0)
  const padded = Buffer.concat([Buffer.of(255, 0x78), Buffer.alloc(255)])
  for (let turn = 0; turn < 300; turn += 1) pair.server.receive(frame(DATA, 1, padded, PADDED), 0)
  t.same(pair.failures, [])
  const stream = pair.requests[0] as Http2Stream<Heard>
  t.equal(stream.owner?.body.length, 300)
  const opened = sentBy(pair.server).filter(({ type }) => type === WINDOW_UPDATE)
  t.same(new Set(opened.map(({ streamId }) => streamId)), new Set([0, 1]))
})

await test('RFC 9113 §8.1: a response may come before the request has ended, and then the rest is told to stop', async t => {
  const { pair, stream } = asking(POST)
  pair.client.receive(Buffer.concat([headers(1, OK), frame(RST_STREAM, 1, uint32(NO_ERROR))]), 0)
  const heard = stream.owner as Heard
  t.match(heard, { status: 200, ended: true, reset: NO_ERROR })
  t.ok(stream.closed)
})

await test('RFC 9113 §8.5: a tunnel has data and nothing else', async t => {
  for (const request of [CONNECT, WEBSOCKET]) {
    const pair = served()
    pair.onRequest = stream => pair.server.respond(stream, fieldsOf(OK), { endStream: false })
    pair.server.receive(headers(1, request, 0), 0)
    pair.server.receive(frame(DATA, 1, 'hello'), 0)
    const heard = pair.requests[0]?.owner as Heard
    t.equal(heard.body, 'hello')
    pair.server.receive(headers(1, [['x-sum', '1']]), 0)
    t.equal(heard.reset, PROTOCOL_ERROR)
    t.same(heard.trailers, [])

    const { pair: other, stream } = asking(request)
    other.client.expectTunnel(stream)
    other.client.receive(headers(1, [...OK, ['content-length', '3']], 0), 0)
    other.client.receive(frame(DATA, 1, 'hello'), 0)
    const answered = stream.owner as Heard
    t.equal(answered.body, 'hello', 'a length of a tunnel is ignored (RFC 9110 §9.3.6)')
    other.client.receive(headers(1, [['x-sum', '1']]), 0)
    t.equal(answered.reset, PROTOCOL_ERROR)
  }
})

await test('RFC 9113 §8.5: a CONNECT that is refused is an answer like any other', async t => {
  const { pair, stream } = asking(CONNECT)
  pair.client.expectTunnel(stream)
  pair.client.receive(
    headers(
      1,
      [
        [':status', '403'],
        ['content-length', '2'],
      ],
      0,
    ),
    0,
  )
  pair.client.receive(frame(DATA, 1, 'no'), 0)
  pair.client.receive(headers(1, [['x-sum', '1']]), 0)
  t.match(stream.owner, { status: 403, body: 'no', trailers: ['x-sum: 1'], ended: true })
})

await test('RFC 9113 §8.5, RFC 8441 §5: a tunnel has no length', async t => {
  for (const request of [CONNECT, WEBSOCKET]) {
    const pair = served()
    pair.server.receive(headers(1, [...request, ['content-length', '0']], 0), 0)
    t.same(pair.failures, ['malformed: ambiguous_framing'])
    t.equal(resetCode(pair.server, 1), PROTOCOL_ERROR)
  }
})

await test('RFC 7541 §4.2: a table that has become smaller is announced, with the smallest that it was', async t => {
  const pair = served()
  pair.server.receive(settings([HEADER_TABLE_SIZE, 0], [HEADER_TABLE_SIZE, 4_096]), 0)
  pair.server.receive(headers(1, GET), 0)
  pair.server.take()
  pair.server.respond(pair.requests[0] as Http2Stream<Heard>, fieldsOf(OK), { endStream: true })
  const [answer] = sentBy(pair.server)
  t.equal(answer?.payload.toString('hex'), '203fe11f88')
})

await test('RFC 7541 §4.2: our table is announced, and who knows that it is smaller has to make it so', async t => {
  const headersOf = { ...DEFAULT_SESSION.headers, tableSize: 100 }
  const pair = new SessionPair({ headers: headersOf })
  const [greeting] = sentBy(pair.server)
  t.ok(greeting?.payload.includes(Buffer.from('000100000064', 'hex')))
  pair.server.receive(Buffer.concat([CLIENT_PREFACE, settings()]), 0)
  const encoder = new HpackEncoder()
  const long: Fields = [...GET, ['x-long', 'y'.repeat(200)]]
  for (const id of [1, 3]) pair.server.receive(frame(HEADERS, id, blockOf(long, encoder), 5), 0)
  t.equal(pair.requests.length, 2, 'until then the table is as at the beginning')
  pair.server.receive(ACKNOWLEDGED, 0)
  encoder.setLimit(100)
  pair.server.receive(frame(HEADERS, 5, blockOf(long, encoder), 5), 0)
  t.equal(pair.requests.length, 3)
  t.same(pair.failures, [])
  encoder.setLimit(4_096)
  pair.server.receive(frame(HEADERS, 7, blockOf(long, encoder), 5), 0)
  t.match(pair.failures, [new RegExp(`^${COMPRESSION_ERROR}: `)], 'and no larger')

  const stubborn = new SessionPair({ headers: headersOf })
  stubborn.server.receive(Buffer.concat([CLIENT_PREFACE, settings(), ACKNOWLEDGED]), 0)
  stubborn.server.receive(frame(HEADERS, 1, blockOf(GET, new HpackEncoder()), 5), 0)
  t.match(stubborn.failures, [new RegExp(`^${COMPRESSION_ERROR}: `)])
})

await test('RFC 7541 §4.2: a table that may be larger is not, until the other end says so', async t => {
  const decoder = new HpackDecoder({ tableSize: 10_000, listSize: 65_536, fields: 100 })
  const encoder = new HpackEncoder()
  for (let round = 0; round < 200; round += 1) {
    const fields: Fields = [
      ['x-round', String(round)],
      ['x-same', 'z'.repeat(100)],
    ]
    const block = blockOf(fields, encoder)
    t.ok(decoder.decode(block, 0, block.length))
    if (decoder.fields[1]?.value.length !== 100 || decoder.fields[0]?.value !== `${round}`)
      t.fail(`round ${round}`)
  }
  t.ok(decoder.tableSize <= 4_096)
})

await test('RFC 9218 §2.1: to say of priorities anything but yes or no is a fault', async t => {
  const pair = served()
  pair.server.receive(settings([NO_RFC7540_PRIORITIES, 1]), 0)
  t.same(pair.failures, [])
  pair.server.receive(settings([NO_RFC7540_PRIORITIES, 2]), 0)
  t.match(pair.failures, [new RegExp(`^${PROTOCOL_ERROR}: `)])
})

await test('RFC 9218 §7.1: PRIORITY_UPDATE, before its stream and after; of a push or by a server never', async t => {
  const update = (streamId: number, value: string): Buffer =>
    frame(PRIORITY_UPDATE, 0, Buffer.concat([uint32(streamId), Buffer.from(value)]))
  const pair = served()
  pair.server.receive(update(1, 'u=1'), 0)
  pair.server.receive(headers(1, [...GET, ['priority', 'u=7']]), 0)
  pair.server.receive(headers(3, [...GET, ['priority', 'u=5, i']]), 0)
  t.match(pair.requests, [
    { urgency: 1, incremental: false },
    { urgency: 5, incremental: true },
  ])
  pair.server.receive(update(3, 'u=0'), 0)
  t.match(pair.requests[1], { urgency: 0, incremental: false })
  t.same(pair.failures, [])
  pair.server.receive(update(2, 'u=0'), 0)
  t.match(pair.failures, [new RegExp(`^${PROTOCOL_ERROR}: `)])
  const { pair: client } = asking()
  client.client.receive(update(1, 'u=0'), 0)
  t.match(client.failures, [new RegExp(`^${PROTOCOL_ERROR}: `)])
})

await test('RFC 9113 §6.10: a header block in pieces counts as one, whatever it says', async t => {
  const pair = served()
  const block = blockOf([...GET, ['x', 'y']])
  const wire = [
    frame(HEADERS, 1, block.subarray(0, 1), END_STREAM),
    frame(CONTINUATION, 1, block.subarray(1, 2)),
    frame(CONTINUATION, 1, block.subarray(2), END_HEADERS),
  ]
  for (const each of wire) pair.server.receive(each, 0)
  t.equal(pair.requests.length, 1)
  t.equal(pair.requests[0]?.received, Buffer.concat(wire).length)
})

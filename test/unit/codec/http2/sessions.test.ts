/** Both ends of HTTP/2: that they understand each other, and that nobody gets more out of one than they put in. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'tap'
import {
  CANCEL,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  PROTOCOL_ERROR,
  REFUSED_STREAM,
} from '../../../../src/codec/http2/frame.ts'
import { CLIENT_PREFACE } from '../../../../src/codec/http2/frame-writer.ts'
import { HeaderField, INDEXED } from '../../../../src/codec/http2/header-field.ts'
import { HpackEncoder } from '../../../../src/codec/http2/hpack-encoder.ts'
import { byPriority } from '../../../../src/codec/http2/priority.ts'
import type { Http2Stream } from '../../../../src/codec/http2/stream.ts'
import { frame, uint32 } from '../../../support/http2/frames.ts'
import { Heard, SessionPair } from '../../../support/http2/session-pair.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const SEED = Number(process.env['SESSIONS_SEED'] ?? Date.now() % 2 ** 31)

function field(name: string, value: string): HeaderField {
  return new HeaderField(name, value, INDEXED)
}

function requestFields(path = '/', method = 'POST'): HeaderField[] {
  return [
    field(':method', method),
    field(':scheme', 'https'),
    field(':authority', 'a.example'),
    field(':path', path),
  ]
}

const OK = [field(':status', '200')]
const FURTHER = Array.from({ length: 6 }, (_, at) => field(`x-field-${at}`, `value ${at}`))

/** A client's first bytes, and a frame of its. */
function greeting(): Buffer {
  return Buffer.concat([CLIENT_PREFACE, frame(4, 0, Buffer.alloc(0))])
}

/** HEADERS of a new stream; each encoder of its own, so that no table is in play. */
function headers(streamId: number, endStream: boolean, fields = requestFields()): Buffer {
  const block = Buffer.alloc(HpackEncoder.mostOctets(fields))
  const end = new HpackEncoder(0).encode(fields, block, 0)
  return frame(1, streamId, block.subarray(0, end), endStream ? 5 : 4)
}

/** A pair whose server has heard a client's greeting, sent by hand. */
function attacked(options: ConstructorParameters<typeof SessionPair>[0] = {}): SessionPair {
  const pair = new SessionPair(options)
  pair.server.receive(greeting(), 0)
  pair.server.take()
  return pair
}

await test('what one end says the other hears, whole and in order, whatever the windows', async t => {
  const random = new SeededRandom(SEED)
  t.comment(`SESSIONS_SEED=${SEED}`)
  for (let run = 0; run < 30; run += 1) {
    const pair = new SessionPair({
      streamWindow: random.pick([1, 100, 16_384, 65_535, 200_000]),
      sessionWindow: random.pick([65_535, 100_000, 1_000_000]),
      streams: 10,
      frameBudget: { burst: 1e9, rate: 0 },
    })
    const expected = new Map<string, [request: string, answer: string]>()
    const answering: Http2Stream<Heard>[] = []
    pair.onRequest = stream => {
      pair.server.respond(stream, OK, { endStream: false })
      answering.push(stream)
    }
    pair.settle(random)
    const clients: Http2Stream<Heard>[] = []
    for (let call = 0; call < 10; call += 1) {
      const size = pair.server.remote.initialWindowSize <= 100 ? 300 : 150_000
      const [request, answer] = ['q', 'a'].map(letter => letter.repeat(random.below(size))) as [
        string,
        string,
      ]
      expected.set(`/${call}`, [request, answer])
      const heard = new Heard()
      heard.outgoing = Buffer.from(request)
      if (random.below(2) === 0) heard.outgoingTrailers = [field('x-sum', `${request.length}`)]
      const stream = pair.client.request(heard, requestFields(`/${call}`), false)
      clients.push(stream)
      pair.pump(pair.client, stream)
    }
    const returnOf = (stream: Http2Stream<Heard>, session: 'client' | 'server'): void => {
      const heard = stream.owner as Heard
      pair[session].consumed(stream, heard.held)
      heard.held = 0
    }
    for (let turn = 0; turn < 20_000 && clients.some(({ closed }) => !closed); turn += 1) {
      pair.settle(random)
      for (const stream of pair.requests) returnOf(stream, 'server')
      for (const stream of clients) returnOf(stream, 'client')
      for (const stream of answering.splice(0)) {
        const heard = stream.owner as Heard
        heard.outgoing = Buffer.from(expected.get(heard.path)?.[1] ?? '')
        pair.pump(pair.server, stream)
      }
    }
    t.same(pair.failures, [])
    for (const stream of pair.requests) {
      const heard = stream.owner as Heard
      t.equal(heard.body, expected.get(heard.path)?.[0], 'the request')
      t.ok(heard.ended && heard.reset === undefined)
    }
    for (const [index, stream] of clients.entries())
      t.equal((stream.owner as Heard).body, expected.get(`/${index}`)?.[1], 'the answer')
    t.equal(pair.client.size + pair.server.size, 0)
  }
})

/** Octets of the frames that belong to streams, by direction and stream: each chunk holds whole frames. */
class WireCount {
  readonly #octets = new Map<string, number>()

  of(from: 'client' | 'server', streamId: number): number {
    return this.#octets.get(`${from} ${streamId}`) ?? 0
  }

  readonly add = (from: 'client' | 'server', bytes: Buffer): void => {
    const preface = bytes.indexOf(CLIENT_PREFACE) === 0
    for (let at = preface ? CLIENT_PREFACE.length : 0; at < bytes.length; ) {
      const octets = 9 + bytes.readUIntBE(at, 3)
      const key = `${from} ${bytes.readUInt32BE(at + 5)}`
      this.#octets.set(key, (this.#octets.get(key) ?? 0) + octets)
      at += octets
    }
  }
}

await test('a stream counts its frames in both directions, as they are on the wire', async t => {
  const random = new SeededRandom(SEED)
  t.comment(`SESSIONS_SEED=${SEED}`)
  for (let run = 0; run < 50; run += 1) {
    const pair = new SessionPair({
      streamWindow: random.pick([1_000, 65_535]),
      frameBudget: { burst: 1e9, rate: 0 },
    })
    const wire = new WireCount()
    pair.onBytes = wire.add
    pair.onRequest = stream => {
      pair.server.respond(stream, OK, { endStream: false })
      const heard = stream.owner as Heard
      heard.outgoing = Buffer.alloc(random.below(40_000))
      if (random.below(2) === 0) heard.outgoingTrailers = [field('x', 'y'.repeat(20_000))]
      pair.pump(pair.server, stream)
    }
    pair.settle()
    const clients = Array.from({ length: 5 }, () => {
      const heard = new Heard()
      heard.outgoing = Buffer.alloc(random.below(40_000))
      const large = random.below(2) === 0 ? [field('x-large', 'z'.repeat(20_000))] : []
      const stream = pair.client.request(heard, [...requestFields(), ...large], false)
      pair.pump(pair.client, stream)
      return stream
    })
    /** Given up by the client, whether the server was through with them or not. */
    const given = new Set<Http2Stream<Heard>>()
    for (let turn = 0; turn < 1_000 && clients.some(({ closed }) => !closed); turn += 1) {
      pair.settle(random)
      for (const [session, streams] of [
        [pair.client, clients],
        [pair.server, pair.requests],
      ] as const)
        for (const stream of streams) {
          const heard = stream.owner as Heard
          session.consumed(stream, heard.held)
          heard.held = 0
        }
      if (random.below(10) === 0) {
        const stream = random.pick(clients)
        pair.client.reset(stream)
        given.add(stream)
      }
    }
    pair.settle()
    t.equal(pair.client.begun, 5)
    t.equal(pair.server.begun, 5)
    for (const [index, client] of clients.entries()) {
      const server = pair.requests[index] as Http2Stream<Heard>
      t.equal(client.sent, wire.of('client', client.id))
      t.equal(server.sent, wire.of('server', client.id))
      // What comes when the stream is over already belongs to nobody.
      t.ok(client.received <= server.sent)
      t.ok(server.received <= client.sent)
      if (server.owner?.reset !== undefined || given.has(client)) continue
      t.equal(client.received, server.sent)
    }
  }
})

await test('what a frame counts is counted before anybody hears of it', async t => {
  const pair = attacked()
  const first = headers(1, false)
  pair.server.receive(first, 0)
  const { owner: heard, ...stream } = pair.requests[0] as Http2Stream<Heard>
  t.equal(stream.received, first.length)
  const data = frame(0, 1, 'hello')
  pair.server.receive(data.subarray(0, 11), 0)
  pair.server.receive(data.subarray(11), 0)
  pair.server.receive(frame(2, 1, Buffer.from('0000000310', 'hex')), 0)
  pair.server.receive(frame(8, 1, uint32(5)), 0)
  pair.server.receive(frame(0, 1, '\u0002!\0\0', 8), 0)
  pair.server.receive(frame(3, 1, uint32(CANCEL)), 0)
  let octets = first.length
  t.same(heard?.log, [
    `request ${octets} 0`,
    `data ${(octets += 11)} 0`,
    `data ${(octets += 3)} 0`,
    `data ${(octets += 14 + 13 + 11)} 0`,
    `reset ${octets + 2 + 13} 0`,
  ])
})

await test('trailers, and a fault, are counted before anybody hears of them', async t => {
  const pair = attacked()
  const block = headers(1, false)
  pair.server.receive(block, 0)
  const trailers = headers(1, true, [field('x', 'y')])
  pair.server.receive(trailers, 0)
  pair.server.receive(block.fill(3, 8, 9), 0)
  pair.server.receive(frame(8, 3, uint32(0)), 0)
  const [first, second] = pair.requests.map(stream => stream.owner as Heard)
  t.same(first?.log, [
    `request ${block.length} 0`,
    `trailers ${block.length + trailers.length} 0`,
    `ended ${block.length + trailers.length} 0`,
  ])
  t.same(second?.log, [`request ${block.length} 0`, `reset ${block.length + 13} 13`])
})

await test('what we send on a stream counts at once', async t => {
  const pair = new SessionPair({ streamWindow: 100 })
  const stream = pair.client.request(new Heard(), requestFields(), false)
  const first = stream.sent
  t.ok(first > 9)
  pair.client.send(stream, Buffer.from('hello'), { start: 0, end: 5 })
  t.equal(stream.sent, first + 14)
  pair.settle()
  const server = pair.requests[0] as Http2Stream<Heard>
  pair.server.consumed(server, 60)
  t.equal(server.sent, 13, 'WINDOW_UPDATE')
  pair.server.reset(server)
  t.equal(server.sent, 26, 'RST_STREAM')
  pair.server.consumed(server, 60)
  t.equal(server.sent, 26, 'a window of a stream that is over belongs to nobody')
})

await test('the last of what comes says so, and then it has ended', async t => {
  const pair = new SessionPair()
  pair.settle()
  pair.onRequest = stream => {
    pair.server.respond(stream, OK, { endStream: false })
    const body = Buffer.from('body')
    t.equal(pair.server.send(stream, body, { start: 0, end: 4, endStream: true }), 4)
    t.notOk(stream.localOpen, 'our side has ended with it')
    t.equal(pair.server.send(stream, body, { start: 0, end: 4, endStream: true }), 0)
  }
  const heard = new Heard()
  pair.client.request(heard, requestFields('/', 'GET'), true)
  pair.onBytes = (from, bytes) => {
    if (from === 'server' && bytes.length > 0)
      t.ok(bytes.includes(frame(0, 1, 'body', 1)), 'the end is on the frame')
  }
  pair.settle()
  t.match(
    pair.requests[0]?.owner?.log.map(line => line.replace(/ \d+ \d+/, '')),
    ['request end', 'ended'],
  )
  t.match(
    heard.log.map(line => line.replace(/ \d+ \d+/, '')),
    ['response', 'data end', 'ended'],
  )
  const headersOnly = new Heard()
  pair.onBytes = () => {}
  pair.onRequest = stream => pair.server.respond(stream, OK, { endStream: true })
  pair.client.request(headersOnly, requestFields('/', 'GET'), true)
  pair.settle()
  t.match(
    headersOnly.log.map(line => line.replace(/ \d+ \d+/, '')),
    ['response end', 'ended'],
  )
})

await test('an end is not sent before all of what it follows', async t => {
  const pair = new SessionPair({ streamWindow: 100 })
  pair.settle()
  const stream = pair.client.request(new Heard(), requestFields(), false)
  t.equal(pair.client.sendable(stream), 100)
  const body = Buffer.alloc(150, 'x')
  t.equal(pair.client.send(stream, body, { start: 0, end: 150, endStream: true }), 100)
  t.ok(stream.localOpen)
  t.equal(pair.client.sendable(stream), 0)
  pair.settle()
  const server = pair.requests[0] as Http2Stream<Heard>
  t.notOk(server.owner?.ended)
  pair.client.send(stream, body, { start: 100, end: 100, endStream: true })
  t.equal(pair.client.sendable(stream), 0, 'no more after its end')
  pair.settle()
  t.ok(server.owner?.ended, 'an end takes no window')
})

await test('what the content-length promises and does not come is a fault, before it looks like an end', async t => {
  const pair = attacked()
  const fields = [...requestFields(), field('content-length', '5')]
  pair.server.receive(headers(1, true, fields), 0)
  t.same(pair.failures, ['malformed: ambiguous_framing'])
  pair.server.receive(headers(3, false, fields), 0)
  pair.server.receive(frame(0, 3, 'four', 1), 0)
  pair.server.receive(headers(5, false, fields), 0)
  pair.server.receive(headers(5, true, [field('x', 'y')]), 0)
  pair.server.receive(headers(7, false, fields), 0)
  pair.server.receive(frame(0, 7, 'sixsix'), 0)
  for (const { owner } of pair.requests) {
    t.equal(owner?.log.length, 2)
    t.match(owner?.log[1], /^reset/)
    t.equal(owner?.reset, PROTOCOL_ERROR)
  }
  t.equal(pair.requests.length, 3)

  const answers = new SessionPair()
  const fives = [...OK, field('content-length', '5')]
  answers.onRequest = stream => answers.server.respond(stream, fives, { endStream: true })
  const [heard, head] = [new Heard(), new Heard()]
  answers.client.request(heard, requestFields('/', 'GET'), true)
  answers.client.expectNoBody(answers.client.request(head, requestFields('/', 'HEAD'), true))
  answers.settle()
  t.match(heard, { status: 0, ended: false, reset: PROTOCOL_ERROR })
  t.match(head, { status: 200, ended: true, reset: undefined })
})

await test('RFC 9113 §8.1.1: a content-length of 0 lets no octet of data come, in either direction', async t => {
  const pair = attacked()
  pair.server.receive(headers(1, false, [...requestFields(), field('content-length', '0')]), 0)
  pair.server.receive(frame(0, 1, 'x'), 0)
  pair.server.receive(headers(3, false, [...requestFields(), field('content-length', '0')]), 0)
  pair.server.receive(frame(0, 3, '', 1), 0)
  const [refused, taken] = pair.requests.map(({ owner }) => owner)
  t.match(refused, { body: '', ended: false, reset: PROTOCOL_ERROR })
  t.match(taken, { body: '', ended: true, reset: undefined })

  const answers = new SessionPair()
  answers.onRequest = stream => {
    answers.server.respond(stream, [...OK, field('content-length', '0')], { endStream: false })
    answers.server.send(stream, Buffer.from('x'), { start: 0, end: 1, endStream: true })
  }
  const heard = new Heard()
  answers.client.request(heard, requestFields('/', 'GET'), true)
  answers.settle()
  t.match(heard, { status: 200, body: '', ended: false, reset: PROTOCOL_ERROR })
})

await test('who has many streams that wait puts them in the order of RFC 9218', async t => {
  const waiting = (id: number, urgency: number, incremental: boolean, turn = 0) => ({
    id,
    urgency,
    incremental,
    turn,
  })
  const streams = [
    waiting(5, 3, false),
    waiting(1, 3, false, 9),
    waiting(7, 0, true),
    waiting(3, 7, false),
    waiting(9, 3, true, 8),
    waiting(11, 3, true, 4),
  ]
  t.same(
    streams.toSorted(byPriority).map(({ id }) => id),
    [7, 1, 5, 11, 9, 3],
  )
})

await test('those that wait for the connection take turns, so that a long one does not stop the rest', async t => {
  const pair = new SessionPair()
  const { client } = pair
  const setting = Buffer.from('\0\x04\x7f\xff\xff\xff', 'latin1')
  client.receive(frame(4, 0, setting), 0)
  const heards = [1_000_000, 20_000, 20_000].map(size => {
    const heard = new Heard()
    heard.outgoing = Buffer.alloc(size, 'x')
    pair.pump(client, client.request(heard, requestFields(), false))
    return heard
  })
  for (let update = 0; update < 6; update += 1) client.receive(frame(8, 0, uint32(10_000)), 0)
  t.same(
    heards.map(({ outgoing }) => outgoing.length),
    [1_000_000 - 65_535 - 20_000, 0, 0],
  )
})

await test('of those that wait, one may end another', async t => {
  const pair = new SessionPair({ sessionWindow: 65_535, streamWindow: 65_535 })
  pair.settle()
  const start = (size: number): Http2Stream<Heard> => {
    const heard = new Heard()
    heard.outgoing = Buffer.alloc(size, 'x')
    const stream = pair.client.request(heard, requestFields(), false)
    pair.pump(pair.client, stream)
    return stream
  }
  start(65_535)
  const first = start(1_000)
  const second = start(1_000)
  t.ok(first.blocked && second.blocked)
  let woken = 0
  Object.defineProperty(second.owner, 'outgoing', {
    get: () => {
      woken += 1
      return Buffer.alloc(0)
    },
  })
  Object.defineProperty(first.owner, 'outgoingTrailers', {
    get: () => {
      pair.client.reset(second)
      return undefined
    },
  })
  pair.settle()
  t.equal(pair.requests.length, 3)
  t.equal(woken, 0)
})

await test('an idle session is small', async t => {
  const gc = collector()
  const keep: SessionPair[] = []
  const measure = (): number => {
    gc()
    gc()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const pairs = 500
  let before = 0
  for (let index = -50; index < pairs; index += 1) {
    if (index === 0) before = measure()
    const pair = new SessionPair()
    pair.onRequest = stream => pair.server.respond(stream, OK, { endStream: true })
    pair.client.request(new Heard(), [...requestFields(`/${index}`, 'GET'), ...FURTHER], true)
    pair.settle()
    pair.requests.length = 0
    keep.push(pair)
  }
  const octets = (measure() - before) / (2 * pairs)
  t.comment(`${octets} octets a session`)
  t.ok(octets < 6_000, `${octets} octets a session`)
  t.equal(keep.length, pairs + 50)
})

/** Node shows it to those who ask before they start; this is how to ask later. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

await test('trailers come behind the body, and end it', async t => {
  const pair = new SessionPair()
  const heard = new Heard()
  const stream = pair.client.request(heard, requestFields(), false)
  pair.client.send(stream, Buffer.from('body'), { start: 0, end: 4 })
  pair.client.sendTrailers(stream, [field('grpc-status', '0')])
  pair.settle()
  t.match(pair.requests[0]?.owner, { body: 'body', trailers: ['grpc-status: 0'], ended: true })
})

await test('interim answers come before the final one', async t => {
  const pair = new SessionPair()
  const statuses: number[] = []
  pair.onRequest = stream => {
    pair.server.respond(stream, [field(':status', '103')], { interim: true, endStream: false })
    pair.server.respond(stream, OK, { endStream: true })
  }
  const heard = new Heard()
  Object.defineProperty(heard, 'status', {
    set(status: number) {
      statuses.push(status)
    },
  })
  pair.client.request(heard, requestFields('/', 'GET'), true)
  pair.settle()
  t.same(statuses, [103, 200])
  t.ok(heard.ended)
})

await test('a slow stream stops its own sender and no other', async t => {
  const pair = new SessionPair({ streamWindow: 1_000, sessionWindow: 65_535 })
  pair.settle()
  const start = (size: number): Http2Stream<Heard> => {
    const heard = new Heard()
    heard.outgoing = Buffer.alloc(size, 'x')
    const stream = pair.client.request(heard, requestFields(), false)
    pair.pump(pair.client, stream)
    return stream
  }
  const slow = start(5_000)
  const fast = start(900)
  pair.settle()
  const [slowHeard, fastHeard] = pair.requests.map(({ owner }) => owner as Heard)
  t.equal(slowHeard?.body.length, 1_000)
  t.ok(fastHeard?.ended)
  t.ok(slow.blocked)
  t.notOk(fast.blocked)
  pair.server.consumed(pair.requests[0] as Http2Stream<Heard>, 500)
  pair.settle()
  t.equal(slowHeard?.body.length, 1_500, 'as much more as was consumed')
})

await test('streams that nobody consumes leave the window of the connection to the others', async t => {
  const pair = new SessionPair({ streamWindow: 60_000, sessionWindow: 65_535, streams: 100 })
  pair.settle()
  const start = (size: number): Http2Stream<Heard> => {
    const heard = new Heard()
    heard.outgoing = Buffer.alloc(size, 'x')
    const stream = pair.client.request(heard, requestFields(), false)
    pair.pump(pair.client, stream)
    return stream
  }
  for (let stream = 0; stream < 50; stream += 1) start(100_000)
  pair.settle()
  for (const { owner } of pair.requests)
    t.equal(owner?.body.length, 60_000, 'a window, and no more')
  const other = start(50_000)
  pair.settle()
  t.ok(pair.requests.at(-1)?.owner?.ended)
  t.notOk(other.blocked)
})

await test('of two that wait for the connection, the more urgent goes first (RFC 9218)', async t => {
  const pair = new SessionPair({ sessionWindow: 65_535, streamWindow: 65_535 })
  pair.settle()
  const order: string[] = []
  pair.onRequest = stream => pair.server.respond(stream, OK, { endStream: false })
  for (const [path, priority] of [
    ['/filler', 'u=3'],
    ['/late', 'u=6'],
    ['/soon', 'u=0'],
  ] as const)
    pair.client.request(
      new Heard(),
      [...requestFields(path, 'GET'), field('priority', priority)],
      true,
    )
  pair.settle()
  for (const stream of pair.requests) {
    const heard = stream.owner as Heard
    heard.outgoing = Buffer.alloc(heard.path === '/filler' ? 65_535 : 1_000, 'x')
    pair.pump(pair.server, stream)
    Object.defineProperty(heard, 'outgoingTrailers', {
      get: () => {
        order.push(heard.path)
        return undefined
      },
    })
  }
  t.same(order, [])
  pair.settle()
  t.same(order, ['/soon', '/late'])
})

await test('a stream that is reset ends on the other side, with its code', async t => {
  const pair = new SessionPair()
  const heard = new Heard()
  const stream = pair.client.request(heard, requestFields(), false)
  pair.settle()
  pair.client.reset(stream, CANCEL)
  pair.settle()
  t.match(pair.requests[0]?.owner, { reset: CANCEL })
  t.equal(heard.reset, undefined, 'who resets hears nothing')
  t.equal(pair.client.size + pair.server.size, 0)
})

await test('pings come back', async t => {
  const pair = new SessionPair()
  pair.client.ping(Buffer.from('12345678'))
  pair.settle()
  t.same(pair.goneAway, ['pong 12345678'])
})

await test('the end in two steps: what is on its way is served, and what comes later is not', async t => {
  const pair = new SessionPair()
  pair.settle()
  pair.server.announceEnd()
  const first = new Heard()
  pair.onRequest = stream => pair.server.respond(stream, OK, { endStream: true })
  pair.client.request(first, requestFields('/on-its-way', 'GET'), true)
  pair.settle()
  t.ok(first.ended)
  pair.server.endAfterStreams()
  const second = new Heard()
  pair.client.request(second, requestFields('/too-late', 'GET'), true)
  pair.settle()
  t.notOk(second.ended)
  t.same(pair.goneAway, ['2147483647 0', '1 0'])
  t.same(
    pair.requests.map(({ owner }) => owner?.path),
    ['/on-its-way'],
  )
})

await test('more streams than allowed are refused, and may be tried again', async t => {
  const pair = attacked({ streams: 2 })
  for (const id of [1, 3, 5]) pair.server.receive(headers(id, false), 0)
  t.equal(pair.requests.length, 2)
  const answer = Buffer.concat(pair.server.take())
  t.ok(answer.includes(frame(3, 5, uint32(REFUSED_STREAM))))
})

await test('a header list that is too large is told as such, and the connection goes on', async t => {
  const pair = attacked()
  const large = Array.from({ length: 100 }, (_, index) => field(`x-${index}`, 'y'))
  pair.server.receive(headers(1, true, [...requestFields(), ...large]), 0)
  t.equal(pair.requests[0]?.owner?.path, 'too large')
  pair.server.receive(headers(3, true), 0)
  t.equal(pair.requests.length, 2)
})

const ATTACKS: Readonly<Record<string, readonly [bytes: (turn: number) => Buffer, code: number]>> =
  {
    'rapid reset (CVE-2023-44487)': [
      turn => Buffer.concat([headers(1 + 2 * turn, true), frame(3, 1 + 2 * turn, uint32(CANCEL))]),
      ENHANCE_YOUR_CALM,
    ],
    'resets that we are made to send (CVE-2025-8671)': [
      turn => Buffer.concat([headers(1 + 2 * turn, false), frame(8, 1 + 2 * turn, uint32(0))]),
      ENHANCE_YOUR_CALM,
    ],
    'requests that are malformed': [
      turn => headers(1 + 2 * turn, true, [field(':method', 'GET')]),
      ENHANCE_YOUR_CALM,
    ],
    'requests that are too large': [
      turn =>
        headers(1 + 2 * turn, true, [
          ...requestFields(),
          ...Array.from({ length: 100 }, (_, index) => field(`x-${index}`, 'y')),
        ]),
      ENHANCE_YOUR_CALM,
    ],
    'ping flood (CVE-2019-9512)': [() => frame(6, 0, Buffer.alloc(8)), ENHANCE_YOUR_CALM],
    'resource loop of priorities (CVE-2019-9513)': [
      turn => frame(2, 1 + 2 * (turn % 1_000), Buffer.from('0000000010', 'hex')),
      ENHANCE_YOUR_CALM,
    ],
    'reset flood of streams that are over (CVE-2019-9514)': [
      turn =>
        turn === 0
          ? Buffer.concat([headers(1, true), frame(3, 1, uint32(8))])
          : frame(3, 1, uint32(8)),
      ENHANCE_YOUR_CALM,
    ],
    'settings flood (CVE-2019-9515)': [() => frame(4, 0, Buffer.alloc(0)), ENHANCE_YOUR_CALM],
    'empty frames (CVE-2019-9518)': [
      turn => (turn === 0 ? headers(1, false) : frame(0, 1, Buffer.alloc(0))),
      ENHANCE_YOUR_CALM,
    ],
    'empty frames with padding (CVE-2019-9518)': [
      turn => (turn === 0 ? headers(1, false) : frame(0, 1, Buffer.of(3, 0, 0, 0), 8)),
      ENHANCE_YOUR_CALM,
    ],
    'headers of a stream that was reset': [
      turn =>
        turn === 0
          ? Buffer.concat([headers(1, false), frame(8, 1, uint32(0))])
          : frame(1, 1, Buffer.alloc(0), 4),
      ENHANCE_YOUR_CALM,
    ],
    'frames of types that nobody knows': [
      turn => frame(0x20 + (turn % 0x60), turn % 3, Buffer.alloc(turn % 5)),
      ENHANCE_YOUR_CALM,
    ],
    'window updates by the octet': [
      turn => (turn === 0 ? headers(1, false) : frame(8, 1, uint32(1))),
      ENHANCE_YOUR_CALM,
    ],
    'priority updates': [
      () => frame(0x10, 0, Buffer.concat([uint32(999), Buffer.from('u=1')])),
      ENHANCE_YOUR_CALM,
    ],
    'data beyond the window of a stream': [
      turn => (turn === 0 ? headers(1, false) : frame(0, 1, Buffer.alloc(16_384))),
      FLOW_CONTROL_ERROR,
    ],
    'a window that grows beyond 2^31 - 1': [
      () => frame(8, 0, uint32(2 ** 31 - 1)),
      FLOW_CONTROL_ERROR,
    ],
  }

for (const [name, [bytes, code]] of Object.entries(ATTACKS)) {
  await test(`attack: ${name}`, async t => {
    const pair = attacked()
    let turns = 0
    const resets: string[] = []
    for (; turns < 5_000 && !pair.server.over && resets.length === 0; turns += 1) {
      pair.server.receive(bytes(turns), 0)
      for (const stream of pair.requests) {
        const { reset } = stream.owner as Heard
        if (reset === FLOW_CONTROL_ERROR) resets.push(`${reset}: the stream`)
      }
      // What waits for the attacker stays small, whether it reads or not.
      if (pair.server.waiting > 64 * 1024) t.fail(`${pair.server.waiting} octets wait`)
    }
    const found = [...pair.failures.filter(each => !each.startsWith('malformed')), ...resets]
    t.equal(found.length, 1)
    t.match(found[0], new RegExp(`^${code}: `))
    t.ok(turns <= 1_100, `after ${turns} turns`)
    t.ok(pair.server.size <= 100)
  })
}

await test('attack: data dribble, windows of an octet at a time (CVE-2019-9511)', async t => {
  for (const dribbled of [0, 1]) {
    const pair = attacked()
    pair.server.receive(frame(4, 0, Buffer.from('000400000000', 'hex')), 0)
    pair.onRequest = stream => {
      pair.server.respond(stream, OK, { endStream: false })
      if (stream.owner === undefined) return
      stream.owner.outgoing = Buffer.alloc(100_000, 'x')
      pair.pump(pair.server, stream)
    }
    pair.server.receive(headers(1, true), 0)
    // Where it is the window of the connection, that of the stream is wide open.
    if (dribbled === 0) pair.server.receive(frame(8, 1, uint32(2 ** 30)), 0)
    let turns = 0
    for (; turns < 5_000 && !pair.server.over; turns += 1) {
      pair.server.receive(frame(8, dribbled, uint32(1)), 0)
      pair.server.take()
    }
    t.match(pair.failures, [`${ENHANCE_YOUR_CALM}: too many frames that bring nothing`])
    t.ok(turns <= 1_100, `after ${turns} turns`)
  }
})

await test('attack: requests behind the last one that GOAWAY named', async t => {
  const pair = attacked()
  pair.server.receive(headers(1, false), 0)
  pair.server.endAfterStreams()
  let turns = 0
  for (; turns < 5_000 && !pair.server.over; turns += 1)
    pair.server.receive(headers(3 + 2 * turns, true), 0)
  t.match(pair.failures, [/too many frames/])
  t.equal(pair.requests.length, 1)
  t.ok(turns <= 1_100, `after ${turns} turns`)
})

await test('attack: answers in part (1xx) without an end', async t => {
  const pair = new SessionPair()
  pair.settle()
  pair.onRequest = stream => {
    const early = [field(':status', '103')]
    for (let turn = 0; turn < 5_000; turn += 1)
      pair.server.respond(stream, early, { interim: true, endStream: false })
  }
  pair.client.request(new Heard(), requestFields('/', 'GET'), true)
  pair.settle()
  t.match(pair.failures, [`${ENHANCE_YOUR_CALM}: too many frames that bring nothing`])
  t.ok(pair.client.over)
})

await test('padding costs whoever sends it nothing else, as long as there is data in its frames', async t => {
  const pair = attacked()
  pair.server.receive(headers(1, false), 0)
  for (let turn = 0; turn < 5_000; turn += 1) {
    pair.server.receive(frame(0, 1, Buffer.from('\x03x\0\0\0', 'latin1'), 8), 0)
    pair.server.consumed(pair.requests[0] as Http2Stream<Heard>, 1)
    pair.server.take()
  }
  t.same(pair.failures, [])
  t.equal(pair.requests[0]?.owner?.body.length, 5_000)
})

await test('a connection that is old or busy never runs out of what it may send', async t => {
  const pair = attacked()
  for (let minute = 0; minute < 3_000; minute += 1) {
    pair.server.receive(frame(6, 0, Buffer.alloc(8)), minute * 60_000)
    pair.server.take()
  }
  pair.onRequest = stream => pair.server.respond(stream, OK, { endStream: true })
  for (let call = 0; call < 3_000; call += 1) {
    const id = 1 + 2 * call
    const wire = [headers(id, true), frame(8, 0, uint32(1)), frame(6, 0, Buffer.alloc(8))]
    pair.server.receive(Buffer.concat(wire), 0)
    pair.server.take()
  }
  t.same(pair.failures, [])
  t.equal(pair.requests.length, 3_000)
})

await test('what is no HTTP/2 at all ends at once', async t => {
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n']) {
    const pair = new SessionPair()
    pair.server.receive(Buffer.from(bytes), 0)
    t.same(pair.failures, [`${PROTOCOL_ERROR}: the preface is not one`])
  }
  const pair = new SessionPair()
  pair.server.receive(Buffer.concat([CLIENT_PREFACE, frame(6, 0, Buffer.alloc(8))]), 0)
  t.same(pair.failures, [`${PROTOCOL_ERROR}: settings have to come first`])
})

await test('random frames never throw, and what is kept for them is bounded', async t => {
  const random = new SeededRandom(SEED)
  t.comment(`SESSIONS_SEED=${SEED}`)
  let survived = 0
  for (let run = 0; run < 2_000; run += 1) {
    const pair = attacked()
    pair.onRequest = stream => pair.server.respond(stream, OK, { endStream: false })
    for (let turn = 0; turn < 4; turn += 1) {
      const id = random.below(8)
      const payload = Buffer.from(Array.from({ length: random.below(20) }, () => random.below(256)))
      const wire =
        random.below(3) === 0
          ? headers(id, random.below(2) === 0)
          : frame(random.below(12), id, payload, random.below(256))
      pair.server.receive(wire, turn)
      pair.server.take()
    }
    if (!pair.server.over) survived += 1
    if (pair.server.size > 4) t.fail(`${pair.server.size} streams`)
  }
  t.ok(survived > 0 && survived < 2_000, `${survived} survived`)
})

/**
 * Floods over HTTP/2, each by its name. Each is sent as fast as the proxy reads, until the proxy has had enough: it has to
 * end the connection with the right code, soon, for little CPU, and keep nothing; a tenant beside it must notice nothing.
 */
import { t as file, type Test, test } from 'tap'
import {
  ACK,
  CANCEL,
  COMPRESSION_ERROR,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  GOAWAY,
  HEADERS,
  MAX_WINDOW,
  PADDED,
  PING,
  PRIORITY,
  PRIORITY_UPDATE,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
  WITH_PRIORITY,
} from '../../src/codec/http2/frame.ts'
import { CLIENT_PREFACE } from '../../src/codec/http2/frame-writer.ts'
import { HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE } from '../../src/codec/http2/settings.ts'
import { TestAuthority } from '../support/certificates.ts'
import { type AttackCost, AttackLab, request, upload, VICTIM } from '../support/http2/attack-lab.ts'
import { connectAttacker, startFrameDeployment } from '../support/http2/attacker.ts'
import { frame, uint32 } from '../support/http2/frames.ts'
import {
  block,
  headers,
  hpackInteger,
  literal,
  remembered,
  requestPairs,
} from '../support/http2/raw-fields.ts'
import { served } from '../support/http2/recording-deployment.ts'
import { RawClient } from '../support/raw-client.ts'

file.setTimeout(600_000)

/** Far more than any of them may need: who gets to send all of it was not stopped. */
const TURNS = 400_000

interface Flood {
  /** What the client says in its preface, where it matters. */
  readonly greeting?: Buffer
  /** What is sent in each turn. */
  readonly piece: (turn: number) => Buffer
  /** Code of the GOAWAY that ends it. */
  readonly code: number
  readonly turns?: number
  /** The most streams that the proxy may let begin. */
  readonly streams?: number | undefined
  readonly cost?: AttackCost
}

const odd = (turn: number): number => 1 + 2 * turn
const setting = (id: number, value: number): Buffer => {
  const pair = Buffer.alloc(6)
  pair.writeUInt16BE(id, 0)
  pair.writeUInt32BE(value, 2)
  return pair
}
const settings = (...pairs: Buffer[]): Buffer => frame(SETTINGS, 0, Buffer.concat(pairs))
const windowUpdate = (streamId: number, increment: number): Buffer =>
  frame(WINDOW_UPDATE, streamId, uint32(increment))
const reset = (streamId: number): Buffer => frame(RST_STREAM, streamId, uint32(CANCEL))
const greeting = (...pairs: Buffer[]): Buffer => Buffer.concat([CLIENT_PREFACE, settings(...pairs)])
/** Frames for one stream that its request begins. */
const onStream =
  (begin: Buffer, piece: (turn: number) => Buffer) =>
  (turn: number): Buffer =>
    turn === 0 ? Buffer.concat([begin, piece(turn)]) : piece(turn)
/** A stream each turn, which `then` gets us to reset. */
const provoked =
  (then: (streamId: number) => Buffer, begin = (id: number): Buffer => upload(id)) =>
  (turn: number): Buffer =>
    Buffer.concat([begin(odd(turn)), then(odd(turn))])

const CALM = ENHANCE_YOUR_CALM
/** Resets that are let pass, and what may be on its way until the proxy has said enough. */
const STREAMS = 300

/** CVE-2025-8671: nothing of it is a reset of the client; each makes the server reset a stream whose request goes on behind it. */
const MADE_TO_RESET: Readonly<Record<string, (turn: number) => Buffer>> = {
  'a window update of 0': provoked(id => windowUpdate(id, 0)),
  'a window that overflows': provoked(id => windowUpdate(id, MAX_WINDOW)),
  'data behind the end': provoked(
    id => frame(DATA, id, 'x'),
    id => request(id, '/never'),
  ),
  'headers behind the end': provoked(
    id => headers(id, block([['x-late', '1']])),
    id => request(id, '/never'),
  ),
  'a priority of four octets': provoked(id => frame(PRIORITY, id, Buffer.alloc(4))),
  'a stream that depends on itself': provoked(id =>
    frame(PRIORITY, id, Buffer.concat([uint32(id), Buffer.of(16)])),
  ),
  'more data than its content-length': provoked(
    id => frame(DATA, id, 'xy'),
    id => upload(id, [['content-length', '1']]),
  ),
  'less data than its content-length': provoked(
    id => frame(DATA, id, 'xy', END_STREAM),
    id => upload(id, [['content-length', '3']]),
  ),
  'trailers with a pseudo-header field': provoked(id => headers(id, block([[':path', '/']]))),
  'trailers that do not end the stream': provoked(id =>
    headers(id, block([['x-late', '1']]), { endStream: false }),
  ),
  'a name in upper case': turn => request(odd(turn), '/', [['X-Upper', '1']]),
  'a request without a path': turn => headers(odd(turn), block([[':method', 'GET']])),
}

/** A block that fills the dynamic table with one field, and refers to it as often as it has octets. */
const TABLE_BOMB = Buffer.concat([
  remembered('x-bomb', 'b'.repeat(4_000)),
  Buffer.alloc(60_000, 0xbe),
])
/** Five thousand fields of nothing but nothing; and so many that they pass for a request but for their names. */
const NAMELESS = Buffer.concat([block(requestPairs(VICTIM)), Buffer.alloc(15_000)])
const NAMELESS_REMEMBERED = Buffer.concat([
  block(requestPairs(VICTIM)),
  ...Array.from({ length: 90 }, () => remembered('', '')),
])
/** `size` frames of a header block that begins on `streamId` and ends with them. */
function split(streamId: number, octets: Buffer, size: number): Buffer {
  const frames: Buffer[] = []
  for (let start = 0; start < octets.length; start += size) {
    const end = start + size >= octets.length ? END_HEADERS : 0
    const type = start === 0 ? HEADERS : CONTINUATION
    const flags = end | (start === 0 ? END_STREAM : 0)
    frames.push(frame(type, streamId, octets.subarray(start, start + size), flags))
  }
  return Buffer.concat(frames)
}

const FLOODS: Readonly<Record<string, Flood>> = {
  'rapid reset (CVE-2023-44487)': {
    piece: turn => Buffer.concat([request(odd(turn), '/never'), reset(odd(turn))]),
    code: CALM,
    streams: STREAMS,
  },
  'rapid reset of uploads (CVE-2023-44487)': {
    piece: provoked(id => Buffer.concat([frame(DATA, id, 'x'.repeat(1_000)), reset(id)])),
    code: CALM,
    streams: STREAMS,
  },
  ...Object.fromEntries(
    Object.entries(MADE_TO_RESET).map(([name, piece]) => [
      `resets that we are made to send (CVE-2025-8671): ${name}`,
      { piece, code: CALM, streams: STREAMS } satisfies Flood,
    ]),
  ),
  'CONTINUATION flood (CVE-2024-27316)': {
    piece: onStream(headers(1, literal('x', 'y'), { endHeaders: false }), turn =>
      frame(CONTINUATION, 1, literal(`x-${turn}`, 'y'.repeat(100))),
    ),
    code: CALM,
  },
  'CONTINUATION flood with large frames (CVE-2024-27316)': {
    piece: onStream(headers(1, literal('x', 'y'), { endHeaders: false }), () =>
      frame(CONTINUATION, 1, literal('x', 'y'.repeat(16_000))),
    ),
    code: CALM,
  },
  'ping flood (CVE-2019-9512)': { piece: () => frame(PING, 0, Buffer.alloc(8)), code: CALM },
  'settings flood (CVE-2019-9515)': { piece: () => settings(), code: CALM },
  'settings flood with all that one frame holds (CVE-2019-9515)': {
    piece: turn =>
      settings(
        ...Array.from({ length: 2_730 }, (_, index) =>
          setting(HEADER_TABLE_SIZE, (turn + index) % 2 === 0 ? 0 : 4_096),
        ),
      ),
    code: CALM,
    turns: 5_000,
  },
  'acknowledgements of settings that nobody sent (CVE-2019-9515)': {
    piece: () => frame(SETTINGS, 0, '', ACK),
    code: CALM,
  },
  'reset flood: streams that are over (CVE-2019-9514)': {
    piece: onStream(Buffer.concat([request(1, '/never'), reset(1)]), () => reset(1)),
    code: CALM,
  },
  'reset flood: requests that are not valid (CVE-2019-9514)': {
    piece: turn => headers(odd(turn), literal('x', 'y')),
    code: CALM,
  },
  'empty frames: DATA (CVE-2019-9518)': {
    piece: onStream(upload(1), () => frame(DATA, 1)),
    code: CALM,
  },
  'empty frames: DATA that is nothing but padding (CVE-2019-9518)': {
    piece: onStream(upload(1), () => frame(DATA, 1, Buffer.of(0), PADDED)),
    code: CALM,
  },
  'empty frames: HEADERS of ever new streams (CVE-2019-9518)': {
    piece: turn => headers(odd(turn), Buffer.alloc(0)),
    code: CALM,
  },
  'empty frames: HEADERS of a stream that was reset (CVE-2019-9518)': {
    piece: onStream(headers(1, Buffer.alloc(0)), () => headers(1, Buffer.alloc(0))),
    code: CALM,
  },
  'empty frames: CONTINUATION (CVE-2019-9518)': {
    piece: onStream(headers(1, Buffer.alloc(0), { endHeaders: false }), () =>
      frame(CONTINUATION, 1),
    ),
    code: CALM,
  },
  'empty frames: types that nobody knows': {
    piece: turn => frame(0x20 + (turn % 0x60), 0),
    code: CALM,
  },
  'data dribble: a window of one octet at a time (CVE-2019-9511)': {
    greeting: greeting(setting(INITIAL_WINDOW_SIZE, 0)),
    piece: onStream(request(1, '/large'), () => windowUpdate(1, 1)),
    code: CALM,
  },
  'data dribble: the window of the connection, one octet at a time (CVE-2019-9511)': {
    greeting: greeting(setting(INITIAL_WINDOW_SIZE, MAX_WINDOW)),
    piece: onStream(request(1, '/large'), () => windowUpdate(0, 1)),
    code: CALM,
  },
  'resource loop of priorities (CVE-2019-9513)': {
    piece: turn =>
      frame(PRIORITY, odd(turn % 1_000), Buffer.concat([uint32(odd(turn % 999)), Buffer.of(16)])),
    code: CALM,
  },
  '0-length header names (CVE-2019-9516)': {
    piece: turn => headers(odd(turn), NAMELESS),
    code: CALM,
    turns: 5_000,
  },
  '0-length header names in the table (CVE-2019-9516)': {
    piece: turn => headers(odd(turn), NAMELESS_REMEMBERED),
    code: CALM,
  },
  'priority updates (RFC 9218)': {
    piece: turn =>
      frame(PRIORITY_UPDATE, 0, Buffer.concat([uint32(odd(turn)), Buffer.from('u=1, i')])),
    code: CALM,
  },
  'priority updates with long values (RFC 9218)': {
    piece: turn =>
      frame(PRIORITY_UPDATE, 0, Buffer.concat([uint32(odd(turn)), Buffer.alloc(16_000, 'u')])),
    code: CALM,
    turns: 20_000,
  },
  'window updates of a stream that is over': {
    piece: onStream(Buffer.concat([request(1, '/never'), reset(1)]), () => windowUpdate(1, 1)),
    code: CALM,
  },
  'initial windows that shift those of a hundred streams to and fro': {
    piece: turn =>
      turn === 0
        ? Buffer.concat(Array.from({ length: 100 }, (_, index) => request(odd(index), '/never')))
        : settings(
            ...Array.from({ length: 2_000 }, (_, index) =>
              setting(INITIAL_WINDOW_SIZE, (turn + index) % 2 === 0 ? 0 : 65_535),
            ),
          ),
    code: CALM,
    turns: 5_000,
  },
  'GOAWAY of a client, again and again': {
    piece: () => frame(GOAWAY, 0, uint32(0, 0)),
    code: CALM,
  },
  'streams beyond those that may be open': {
    piece: turn => request(odd(turn), '/never'),
    code: CALM,
    streams: STREAMS,
  },
  'data of streams that were reset': {
    piece: onStream(headers(1, block([[':method', 'POST']]), { endStream: false }), () =>
      frame(DATA, 1, 'x'),
    ),
    code: CALM,
  },
  'HPACK bomb: a block of references to one large entry': {
    piece: turn => split(odd(turn), TABLE_BOMB, 16_000),
    code: CALM,
    turns: 5_000,
    cost: { cpuMs: 3_000 },
  },
  'HPACK: sizes of the table without an end': {
    piece: turn =>
      split(
        odd(turn),
        Buffer.alloc(60_000, Buffer.concat([Buffer.of(0x20), hpackInteger(0x20, 5, 4_096)])),
        16_000,
      ),
    code: CALM,
    turns: 5_000,
    cost: { cpuMs: 3_000 },
  },
  'HPACK: an integer without an end': {
    piece: turn => headers(odd(turn), Buffer.concat([Buffer.of(0xff), Buffer.alloc(100, 0x80)])),
    code: COMPRESSION_ERROR,
  },
  'HPACK: a length of 2^60': {
    piece: turn =>
      headers(
        odd(turn),
        Buffer.concat([Buffer.of(0, 0x7f), Buffer.alloc(8, 0xff), Buffer.of(0x7f)]),
      ),
    code: COMPRESSION_ERROR,
  },
  'HPACK: an entry that is not there': {
    piece: turn => headers(odd(turn), hpackInteger(0x80, 7, 62)),
    code: COMPRESSION_ERROR,
  },
  'HPACK: a table larger than it may be': {
    piece: turn => headers(odd(turn), hpackInteger(0x20, 5, 4_097)),
    code: COMPRESSION_ERROR,
  },
  'HPACK: padding of Huffman text that goes on': {
    piece: turn => headers(odd(turn), Buffer.of(0, 0x82, 0xff, 0xff, 0)),
    code: COMPRESSION_ERROR,
  },
  'HPACK: text that ends with EOS': {
    piece: turn => headers(odd(turn), Buffer.of(0, 0x84, 0xff, 0xff, 0xff, 0xff, 0)),
    code: COMPRESSION_ERROR,
  },
  'window games: that of the connection overflows': {
    piece: () => windowUpdate(0, MAX_WINDOW),
    code: FLOW_CONTROL_ERROR,
  },
  'window games: a setting makes that of a stream overflow': {
    piece: turn =>
      turn === 0
        ? Buffer.concat([request(1, '/never'), windowUpdate(1, MAX_WINDOW - 65_535)])
        : settings(setting(INITIAL_WINDOW_SIZE, 65_536)),
    code: FLOW_CONTROL_ERROR,
  },
  'window games: an initial window beyond 2^31 - 1': {
    piece: () => settings(setting(INITIAL_WINDOW_SIZE, 2 ** 31)),
    code: FLOW_CONTROL_ERROR,
  },
  'window games: more data than that of a stream': {
    piece: onStream(
      headers(1, requestPairs(VICTIM, { method: 'POST', path: '/unread' }), { endStream: false }),
      () => frame(DATA, 1, Buffer.alloc(16_384)),
    ),
    code: CALM,
    turns: 10_000,
  },
  'a push of a client': {
    piece: () => frame(PUSH_PROMISE, 1, Buffer.concat([uint32(2), Buffer.of(0x82)]), END_HEADERS),
    code: PROTOCOL_ERROR,
  },
  'a frame that is larger than it may be': {
    piece: () => frame(DATA, 1, Buffer.alloc(16_385)),
    code: FRAME_SIZE_ERROR,
  },
  'something between a header block and its end': {
    piece: turn =>
      turn === 0
        ? headers(1, literal('x', 'y'), { endHeaders: false })
        : frame(PING, 0, Buffer.alloc(8)),
    code: PROTOCOL_ERROR,
  },
  'a header block that depends on itself': {
    piece: turn =>
      frame(
        HEADERS,
        odd(turn),
        Buffer.concat([uint32(odd(turn)), Buffer.of(16), block(requestPairs(VICTIM))]),
        END_HEADERS | END_STREAM | WITH_PRIORITY,
      ),
    code: PROTOCOL_ERROR,
  },
}

await test('floods over HTTP/2', async t => {
  const lab = await AttackLab.start(t)
  for (let call = 0; call < 50; call += 1) await lab.call(t)
  for (const [name, flood] of Object.entries(FLOODS))
    await t.test(name, t => runFlood(t, lab, flood))
  await t.test('and behind all of them the victim is served as before', async t => {
    t.equal(await lab.call(t), 200)
    const { connections } = await lab.proxy.figures()
    t.ok(connections <= 2, `${connections} connections`)
  })
})

await test('floods over HTTP/2 before a deployment of HTTP/2', async t => {
  let begun = 0
  const { port } = await startFrameDeployment(t, peer => {
    peer.streamBegan = (id, stream) => {
      begun += 1
      // All but `/never`; uploads are answered at their end, which those of attackers do not have.
      if (stream.value(':path') === '/') peer.send(served(id))
    }
  })
  const lab = await AttackLab.start(t, { deployment: { endpoints: [`h2c://127.0.0.1:${port}`] } })
  for (let call = 0; call < 50; call += 1) await lab.call(t)
  for (const name of [
    'rapid reset (CVE-2023-44487)',
    'rapid reset of uploads (CVE-2023-44487)',
    ...Object.keys(MADE_TO_RESET).map(
      each => `resets that we are made to send (CVE-2025-8671): ${each}`,
    ),
    'streams beyond those that may be open',
    'data dribble: a window of one octet at a time (CVE-2019-9511)',
  ]) {
    await t.test(name, async t => {
      const before = begun
      await runFlood(t, lab, { ...(FLOODS[name] as Flood), streams: undefined })
      t.ok(begun - before <= STREAMS, `${begun - before} requests got through`)
      t.equal(await lab.call(t), 200, 'its other clients are served')
    })
  }
})

async function runFlood(t: Test, lab: AttackLab, flood: Flood): Promise<void> {
  const { piece, code, turns = TURNS, streams, cost } = flood
  const reached = lab.reached
  const { rejected } = await lab.measure(
    t,
    async () => {
      const attacker = await lab.attacker(t, flood.greeting && { greeting: flood.greeting })
      const sent = await attacker.flood(turns, piece)
      t.equal(await attacker.end(), code, 'the code of GOAWAY')
      t.ok(sent < turns, `given up after ${sent} turns`)
      attacker.destroy()
    },
    cost,
  )
  t.equal(rejected[code === CALM ? 'http2_flood' : 'http2_invalid'], 1, 'counted as what it was')
  if (streams !== undefined)
    t.ok(lab.reached - reached <= streams, `${lab.reached - reached} requests got through`)
}

/** Beginnings that are no HTTP/2, however they may look. */
const NO_PREFACE: Readonly<Record<string, Buffer>> = {
  'a preface that goes wrong at its end': Buffer.from('PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n'),
  'a preface with a target': Buffer.from('PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  'a preface of another version': Buffer.from('PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n'),
  'half a preface, and then something else': Buffer.concat([
    CLIENT_PREFACE.subarray(0, 18),
    Buffer.alloc(100_000, 0xa5),
  ]),
  'frames without a preface': Buffer.concat([settings(), request(1)]),
  'a preface, and then HTTP/1.1': Buffer.concat([
    CLIENT_PREFACE,
    Buffer.from(`GET / HTTP/1.1\r\nhost: ${VICTIM}\r\n\r\n`),
  ]),
  'a preface twice': Buffer.concat([CLIENT_PREFACE, CLIENT_PREFACE]),
  'a preface, and then noise': Buffer.concat([CLIENT_PREFACE, Buffer.alloc(100_000, 0xa5)]),
}

await test('what is no HTTP/2 ends at once, and reaches nobody', async t => {
  const lab = await AttackLab.start(t)
  for (const [name, bytes] of Object.entries(NO_PREFACE)) {
    await t.test(name, async t => {
      await lab.measure(t, async () => {
        const attacker = await lab.attacker(t, { greeting: bytes })
        await attacker.until(() => attacker.ended || attacker.closed, 'the end')
        attacker.destroy()
      })
    })
  }
  t.equal(lab.reached, 0)
})

await test('Upgrade: h2c is not taken (RFC 9113 dropped it)', async t => {
  const lab = await AttackLab.start(t)
  const client = await RawClient.connect(lab.proxy.port())
  t.teardown(() => client.close())
  const upgrade =
    'connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n'
  client.send(`GET / HTTP/1.1\r\nhost: ${VICTIM}\r\n${upgrade}\r\n`)
  await client.until(() => client.received.includes('served'))
  t.match(client.received.toString('latin1'), /^HTTP\/1\.1 200 /)
  t.same(lab.lastFields, { upgrade: undefined, 'http2-settings': undefined })
  // And who goes on as if it had been taken has sent no request.
  client.send(`${CLIENT_PREFACE.toString('latin1')}${settings().toString('latin1')}`)
  await client.until(() => client.closed)
  t.match(client.received.toString('latin1'), /HTTP\/1\.1 (400|505) /)
  t.equal(lab.reached, 1)
})

await test('over TLS, HTTP/2 is what ALPN says', async t => {
  const ca = await TestAuthority.create(t)
  const { certPath, keyPath } = await ca.server([VICTIM])
  const tls = { certificates: [{ cert: certPath, key: keyPath }] }
  const listeners = ['auto', 'http'].map(protocol => ({
    name: protocol === 'auto' ? 'public' : protocol,
    mode: 'shared',
    address: '127.0.0.1:0',
    protocol,
    tls,
  }))
  const lab = await AttackLab.start(t, { config: { listeners } })
  const trust = { ca: ca.cert, servername: VICTIM }
  for (const listener of ['public', 'http']) {
    const connect = (ALPNProtocols: string[]): ReturnType<AttackLab['attacker']> =>
      connectAttacker(t, { port: lab.proxy.port(listener), tls: { ...trust, ALPNProtocols } })
    const served = await connect(['h2', 'http/1.1'])
    served.send(request(1))
    t.equal((await served.answered(1)).status, 200, 'h2 is preferred')
    served.destroy()

    const mismatched = await connect(['http/1.1'])
    mismatched.send(request(1))
    await mismatched.until(() => mismatched.ended || mismatched.closed, 'the end')
    t.equal(mismatched.streams.get(1)?.status ?? 0, 0, 'HTTP/2 where HTTP/1.1 was agreed on')
    mismatched.destroy()

    for (const unknown of ['h3', 'h2-14', 'spdy/3.1', 'h2c']) {
      const before = lab.reached
      const client = await connect([unknown]).catch((error: NodeJS.ErrnoException) => error)
      if (client instanceof Error) continue
      client.send(request(1))
      await client.until(() => client.ended || client.closed, `the end of ${unknown}`)
      t.equal(lab.reached, before, `HTTP/2 where ${unknown} was asked for`)
      client.destroy()
    }
  }
})

/**
 * Deployments of HTTP/2 that attack the proxy. Whatever one does, its own tenant alone is hit, whose calls end with 502, 503
 * or 504; another tenant's calls go on, and CPU and memory stay bounded.
 */
import { t as file, type Test, test } from 'tap'
import {
  ACK,
  CANCEL,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  FRAME_SIZE_ERROR,
  GOAWAY,
  MAX_WINDOW,
  PADDED,
  PING,
  PRIORITY,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  REFUSED_STREAM,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from '../../src/codec/http2/frame.ts'
import {
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
} from '../../src/codec/http2/settings.ts'
import { type AttackCost, AttackLab, VICTIM } from '../support/http2/attack-lab.ts'
import type { AttackPeer } from '../support/http2/attack-peer.ts'
import { connectAttacker, startFrameDeployment } from '../support/http2/attacker.ts'
import { frame, uint32 } from '../support/http2/frames.ts'
import { block, headers, literal, remembered, requestPairs } from '../support/http2/raw-fields.ts'
import { RawClient } from '../support/raw-client.ts'

file.setTimeout(600_000)

const TURNS = 200_000
const CALLS = 5

const setting = (id: number, value: number): Buffer => {
  const pair = Buffer.alloc(6)
  pair.writeUInt16BE(id, 0)
  pair.writeUInt32BE(value, 2)
  return pair
}
const settings = (...pairs: Buffer[]): Buffer => frame(SETTINGS, 0, Buffer.concat(pairs))
const OK = block([[':status', '200']])

interface Hostile {
  /** What it does with a connection. */
  readonly serve: (peer: AttackPeer) => void | Promise<void>
  /** What it says first, where it matters. */
  readonly greeting?: Buffer
  /** Statuses that calls may end with; 502 by default. 200 where the answer had begun, and is cut then. */
  readonly statuses?: readonly number[]
  readonly cost?: AttackCost
}

/** Does this with the first stream of a connection, as soon as it has begun. */
const onRequest =
  (attack: (peer: AttackPeer, streamId: number) => void | Promise<void>) =>
  (peer: AttackPeer): void => {
    let begun = false
    peer.streamEnded = id => {
      if (begun) return
      begun = true
      void Promise.resolve(attack(peer, id)).catch(() => {})
    }
  }
/** The same with each stream. */
const onEach =
  (answer: (streamId: number) => Buffer) =>
  (peer: AttackPeer): void => {
    peer.streamEnded = id => peer.send(answer(id))
  }
/** A flood behind the first request, or behind the beginning of its answer. */
const flooding = (
  piece: (turn: number, streamId: number) => Buffer,
  begin?: (id: number) => Buffer,
) =>
  onRequest(async (peer, id) => {
    if (begin !== undefined) peer.send(begin(id))
    await peer.flood(TURNS, turn => piece(turn, id))
  })
const begun = (id: number): Buffer => headers(id, OK, { endStream: false })

const HOSTILE: Readonly<Record<string, Hostile>> = {
  // Floods.
  pings: { serve: flooding(() => frame(PING, 0, Buffer.alloc(8))) },
  settings: { serve: flooding(() => settings()) },
  'settings that change the table of HPACK to and fro': {
    serve: flooding(turn => settings(setting(HEADER_TABLE_SIZE, turn % 2 === 0 ? 0 : 4_096))),
  },
  'acknowledgements of nothing': { serve: flooding(() => frame(SETTINGS, 0, '', ACK)) },
  'window updates of the connection': {
    serve: flooding(() => frame(WINDOW_UPDATE, 0, uint32(1))),
  },
  'window updates of a stream': {
    serve: flooding((_, id) => frame(WINDOW_UPDATE, id, uint32(1))),
  },
  priorities: { serve: flooding((_, id) => frame(PRIORITY, id, Buffer.from('0000000010', 'hex'))) },
  'frames of unknown types': { serve: flooding(() => frame(0x77, 0)) },
  'GOAWAY again and again': { serve: flooding(() => frame(GOAWAY, 0, uint32(MAX_WINDOW, 0))) },
  'resets of a stream that is over': {
    serve: flooding((_, id) => frame(RST_STREAM, id, uint32(CANCEL))),
  },
  'empty data': { serve: flooding((_, id) => frame(DATA, id), begun), statuses: [200, 502] },
  'data that is nothing but padding': {
    serve: flooding((_, id) => frame(DATA, id, Buffer.from([1, 0]), PADDED), begun),
    statuses: [200, 502],
  },
  'answers in part (1xx) without an end': {
    serve: flooding((_, id) => headers(id, block([[':status', '103']]), { endStream: false })),
  },
  'headers behind the answer': {
    serve: flooding(
      (_, id) => headers(id, OK, { endStream: false }),
      id => headers(id, OK),
    ),
    statuses: [200, 502],
  },
  'CONTINUATION without an end': {
    serve: flooding(
      turn => frame(CONTINUATION, 1, literal(`x-${turn}`, 'y')),
      id => headers(id, OK, { endHeaders: false }),
    ),
  },
  'empty CONTINUATION': {
    serve: flooding(
      (_, id) => frame(CONTINUATION, id),
      id => headers(id, OK, { endHeaders: false }),
    ),
  },
  'data of a stream that we have given up': {
    serve: flooding(
      (_, id) => frame(DATA, id, Buffer.alloc(1_000)),
      id => headers(id, block([['x-no', 'status']]), { endStream: false }),
    ),
  },
  // Sizes.
  'a header section of a megabyte': {
    serve: onEach(id =>
      headers(id, [
        [':status', '200'],
        ...Array.from({ length: 70 }, (_, at) => [`x-${at}`, 'y'.repeat(15_000)] as const),
      ]),
    ),
  },
  'more fields than allowed': {
    serve: onEach(id =>
      headers(id, [
        [':status', '200'],
        ...Array.from({ length: 1_000 }, (_, at) => [`x-${at}`, 'y'] as const),
      ]),
    ),
  },
  'an HPACK bomb': {
    serve: onEach(id =>
      headers(
        id,
        Buffer.concat([OK, remembered('x-bomb', 'b'.repeat(4_000)), Buffer.alloc(50_000, 0xbe)]),
      ),
    ),
  },
  'trailers of a hundred kilobytes': {
    serve: onEach(id =>
      Buffer.concat([
        begun(id),
        frame(DATA, id, 'body'),
        headers(id, [['x-large', 'y'.repeat(100_000)]]),
      ]),
    ),
    statuses: [200, 502],
  },
  'a frame that is larger than we take': {
    serve: onEach(id => Buffer.concat([begun(id), frame(DATA, id, Buffer.alloc(16_385))])),
    statuses: [200, 502],
  },
  'more data than the windows': {
    serve: onRequest(async (peer, id) => {
      peer.send(begun(id))
      await peer.flood(20_000, () => frame(DATA, id, Buffer.alloc(16_384)))
    }),
    statuses: [200, 502],
    cost: { cpuMs: 3_000 },
  },
  // What a server may not do.
  pushes: {
    serve: onEach(id =>
      frame(PUSH_PROMISE, id, Buffer.concat([uint32(2), block(requestPairs(VICTIM))]), END_HEADERS),
    ),
  },
  'answers to streams that never were': { serve: onEach(() => headers(99, OK)) },
  'answers to streams of its own': { serve: onEach(() => headers(2, OK)) },
  'data of streams that never were': { serve: onEach(() => frame(DATA, 99, 'x')) },
  'data before the answer': { serve: onEach(id => frame(DATA, id, 'x', END_STREAM)) },
  'a reset of a stream that never was': {
    serve: onEach(() => frame(RST_STREAM, 99, uint32(CANCEL))),
  },
  'a window that overflows': { serve: onEach(() => frame(WINDOW_UPDATE, 0, uint32(MAX_WINDOW))) },
  'a window of a stream that overflows': {
    serve: onEach(id => frame(WINDOW_UPDATE, id, uint32(MAX_WINDOW))),
  },
  'a window update of 0': { serve: onEach(id => frame(WINDOW_UPDATE, id, uint32(0))) },
  'a frame size of 1': { serve: onEach(() => settings(setting(MAX_FRAME_SIZE, 1))) },
  'HPACK that cannot be read': { serve: onEach(id => headers(id, Buffer.alloc(50, 0xff))) },
  'the end of all streams by GOAWAY': {
    serve: onEach(() => frame(GOAWAY, 0, uint32(0, PROTOCOL_ERROR))),
    statuses: [502, 503],
  },
  'the reset of every stream': {
    serve: onEach(id => frame(RST_STREAM, id, uint32(CANCEL))),
  },
  'the refusal of every stream': {
    serve: onEach(id => frame(RST_STREAM, id, uint32(REFUSED_STREAM))),
    statuses: [502, 503],
  },
  'resets half way': {
    serve: onEach(id =>
      Buffer.concat([begun(id), frame(DATA, id, 'x'), frame(RST_STREAM, id, uint32(CANCEL))]),
    ),
    statuses: [200, 502],
  },
  'HTTP/1.1': {
    serve: onEach(() => Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')),
    greeting: Buffer.from('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n'),
    statuses: [502, 503],
  },
  'bytes that are nothing': {
    serve: () => {},
    greeting: Buffer.alloc(10_000, 0xa5),
    statuses: [502, 503],
  },
  'a ping instead of settings': {
    serve: () => {},
    greeting: frame(PING, 0, Buffer.alloc(8)),
    statuses: [502, 503],
  },
  'a header that stops': {
    serve: onEach(id => headers(id, OK).subarray(0, 11)),
    statuses: [502, 504],
  },
  // What holds up calls.
  'no answer at all': { serve: () => {}, statuses: [504] },
  'no settings at all': { serve: () => {}, greeting: Buffer.alloc(0), statuses: [502, 503, 504] },
  'no streams allowed': {
    serve: () => {},
    greeting: settings(setting(MAX_CONCURRENT_STREAMS, 0)),
    statuses: [502, 503],
  },
  'windows that are never opened': {
    serve: () => {},
    greeting: settings(setting(INITIAL_WINDOW_SIZE, 0)),
    statuses: [504],
  },
}

const CONFIG = {
  timeouts: { detect: '300ms', header: '2s', body: '2s', idle: '4s', response: '2s' },
}

/** Statuses of as many calls at once over either version, and how they ended. */
async function callVictim(t: Test, port: number): Promise<number[]> {
  const body = Buffer.alloc(100_000, 'x')
  const framed = async (index: number): Promise<number> => {
    const client = await connectAttacker(t, { port })
    const method = index % 2 === 0 ? 'GET' : 'POST'
    client.send(headers(1, requestPairs(VICTIM, { method }), { endStream: method === 'GET' }))
    // No more than the window of a stream: the deployment may never take it.
    if (method === 'POST') {
      for (let at = 0; at < 64_000; at += 16_000)
        client.send(frame(DATA, 1, body.subarray(at, at + 16_000), at === 48_000 ? END_STREAM : 0))
    }
    const { status } = await client.answered(1)
    client.destroy()
    return status
  }
  const plain = async (): Promise<number> => {
    const client = await RawClient.connect(port)
    client.send(`GET / HTTP/1.1\r\nhost: ${VICTIM}\r\n\r\n`)
    const final = (): string | undefined =>
      /^HTTP\/1\.1 ([2-5]\d\d) /m.exec(client.received.toString('latin1'))?.[1]
    await client.until(() => final() !== undefined)
    const status = Number(final() ?? 0)
    client.close()
    return status
  }
  const calls = Array.from({ length: CALLS }, (_, index) => [framed(index), plain()])
  return Promise.all(calls.flat())
}

await test('deployments of HTTP/2 that attack', async t => {
  let present: Hostile = { serve: () => {} }
  const { port, peers } = await startFrameDeployment(
    t,
    peer => {
      peer.send(present.greeting ?? settings())
      return present.serve(peer)
    },
    { greeting: Buffer.alloc(0) },
  )
  const ejection = { failures: 1_000 }
  const queue = { calls: 100, timeout: '1s' }
  const lab = await AttackLab.start(t, {
    config: CONFIG,
    deployment: { endpoints: [`h2c://127.0.0.1:${port}`], ejection, queue },
  })
  for (const [name, hostile] of Object.entries(HOSTILE)) {
    await t.test(name, async t => {
      present = hostile
      const { statuses = [502], cost } = hostile
      await lab.measure(
        t,
        async () => {
          const found = await callVictim(t, lab.proxy.port())
          const others = found.filter(status => !statuses.includes(status))
          t.same(others, [], `all of ${found.join(' ')}`)
        },
        cost,
      )
      for (const peer of peers) peer.destroy()
    })
  }
  await t.test('and a deployment that has come to its senses is served', async t => {
    present = {
      serve: onEach(id => Buffer.concat([begun(id), frame(DATA, id, 'served', END_STREAM)])),
    }
    t.same(new Set(await callVictim(t, lab.proxy.port())), new Set([200]))
  })
})

/** With which code the proxy gives up the connection of a deployment. */
const CODES: Readonly<Record<string, number>> = {
  pings: 11,
  'answers in part (1xx) without an end': 11,
  'CONTINUATION without an end': 11,
  pushes: PROTOCOL_ERROR,
  'answers to streams that never were': PROTOCOL_ERROR,
  'a window that overflows': 3,
  'HPACK that cannot be read': 9,
  'a frame that is larger than we take': FRAME_SIZE_ERROR,
}

for (const [name, code] of Object.entries(CODES)) {
  await test(`the connection of a deployment ends with the right code: ${name}`, async t => {
    const { serve } = HOSTILE[name] as Hostile
    const { port, peers } = await startFrameDeployment(t, serve)
    const lab = await AttackLab.start(t, {
      config: CONFIG,
      deployment: { endpoints: [`h2c://127.0.0.1:${port}`] },
    })
    await lab.call(t)
    t.equal(await peers[0]?.end(), code)
  })
}

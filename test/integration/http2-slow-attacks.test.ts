/**
 * Attacks over HTTP/2 that send next to nothing, or take nothing: they hold places instead of burning CPU. Each of them has
 * to end by a time or a minimum rate, and while it lasts to hold no more than a connection may.
 */
import { t as file, type Test, test } from 'tap'
import {
  DATA,
  END_STREAM,
  HEADERS,
  MAX_WINDOW,
  PING,
  PRIORITY,
  SETTINGS,
  WINDOW_UPDATE,
} from '../../src/codec/http2/frame.ts'
import { CLIENT_PREFACE } from '../../src/codec/http2/frame-writer.ts'
import { INITIAL_WINDOW_SIZE } from '../../src/codec/http2/settings.ts'
import { AttackLab, request, upload, VICTIM } from '../support/http2/attack-lab.ts'
import type { AttackPeer } from '../support/http2/attack-peer.ts'
import { frame, uint32 } from '../support/http2/frames.ts'
import { headers, requestPairs } from '../support/http2/raw-fields.ts'

file.setTimeout(600_000)

/** Short, so that tests are; each of them far from the others, so that one can tell which it was. */
const CONFIG = {
  timeouts: { detect: '300ms', header: '1s', body: '1s', idle: '4s', response: '6s' },
  minimumRate: { request: '1KiB/s', response: '1KiB/s', window: '1s' },
}
/** Any of these times, and patience with a busy machine. */
const SOON_MS = 8_000
const STREAMS = 100

const odd = (index: number): number => 1 + 2 * index
const setting = (id: number, value: number): Buffer => {
  const pair = Buffer.alloc(6)
  pair.writeUInt16BE(id, 0)
  pair.writeUInt32BE(value, 2)
  return pair
}
const windows = (initial: number): Buffer =>
  Buffer.concat([
    CLIENT_PREFACE,
    frame(SETTINGS, 0, setting(INITIAL_WINDOW_SIZE, initial)),
    frame(WINDOW_UPDATE, 0, uint32(MAX_WINDOW - 65_535)),
  ])

/** Sends `piece` now and then, until the other end has had enough. */
async function dribble(peer: AttackPeer, everyMs: number, piece: () => Buffer): Promise<void> {
  const timer = setInterval(() => peer.send(piece()), everyMs)
  try {
    await peer.end(SOON_MS)
  } finally {
    clearInterval(timer)
  }
}

/** An octet at a time. */
function octetsOf(bytes: Buffer): () => Buffer {
  let at = 0
  return () => bytes.subarray(at, ++at)
}

async function until(holds: () => Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + SOON_MS
  while (performance.now() < deadline) {
    if (await holds()) return true
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  return false
}

/** Connections whose clients get as far as they like and no further; each has to be given up soon. */
const STALLED: Readonly<Record<string, (lab: AttackLab, t: Test) => Promise<AttackPeer>>> = {
  'a preface that stops': (lab, t) => lab.attacker(t, { greeting: CLIENT_PREFACE.subarray(0, 20) }),
  'a preface without settings': (lab, t) =>
    lab.attacker(t, { greeting: CLIENT_PREFACE, polite: false }),
  'settings that stop': (lab, t) =>
    lab.attacker(t, {
      greeting: Buffer.concat([
        CLIENT_PREFACE,
        frame(SETTINGS, 0, Buffer.alloc(6)).subarray(0, 12),
      ]),
    }),
  'nothing behind the settings': (lab, t) => lab.attacker(t),
  'a frame header that stops': async (lab, t) => {
    const client = await lab.attacker(t)
    client.send(request(1).subarray(0, 5))
    return client
  },
  'a header block that stops': async (lab, t) => {
    const client = await lab.attacker(t)
    client.send(request(1).subarray(0, 20))
    return client
  },
  'a header block whose end never comes': async (lab, t) => {
    // Nothing may stand between it and its end, not even what would be polite.
    const client = await lab.attacker(t, { polite: false })
    client.send(headers(1, requestPairs(VICTIM), { endHeaders: false }))
    return client
  },
}

await test('connections that stop', async t => {
  const lab = await AttackLab.start(t, { config: CONFIG })
  for (let call = 0; call < 20; call += 1) await lab.call(t)
  for (const [name, begin] of Object.entries(STALLED)) {
    await t.test(name, async t => {
      await lab.measure(t, async () => {
        const clients = await Promise.all(Array.from({ length: 50 }, () => begin(lab, t)))
        const begun = performance.now()
        await Promise.all(clients.map(client => client.end(SOON_MS)))
        t.comment(`GOAWAY ${clients[0]?.goaway} after ${(performance.now() - begun).toFixed(0)} ms`)
        for (const client of clients) client.destroy()
      })
      t.ok(await until(async () => (await lab.proxy.figures()).connections <= 1), 'nothing is left')
    })
  }
})

/** Clients that always have something to say. */
const DRIBBLED: Readonly<Record<string, (turn: number) => Buffer>> = {
  'pings alone keep no connection': () => frame(PING, 0, Buffer.alloc(8)),
  'window updates alone keep no connection': () => frame(WINDOW_UPDATE, 0, uint32(1)),
  'priorities alone keep no connection': turn =>
    frame(PRIORITY, odd(turn), Buffer.from('0000000010', 'hex')),
  'frames of unknown types alone keep no connection': () => frame(0x77, 0, 'x'),
  'settings alone keep no connection': () => frame(SETTINGS, 0),
}

await test('connections that only seem to be alive', async t => {
  const lab = await AttackLab.start(t, { config: CONFIG })
  for (const [name, piece] of Object.entries(DRIBBLED)) {
    await t.test(name, async t => {
      const client = await lab.attacker(t)
      let turn = 0
      await dribble(client, 100, () => piece(turn++))
      t.equal(client.goaway, 0, 'nothing was wrong, there was only no use for it')
    })
  }
  await t.test('a preface by the octet', async t => {
    const client = await lab.attacker(t, { greeting: Buffer.alloc(0) })
    await dribble(client, 200, octetsOf(Buffer.concat([CLIENT_PREFACE, frame(SETTINGS, 0)])))
  })
  await t.test('a header block by the octet', async t => {
    const client = await lab.attacker(t)
    const bytes = headers(1, requestPairs(VICTIM, {}, [['x-long', 'x'.repeat(1_000)]]))
    await dribble(client, 200, octetsOf(bytes))
    t.not(client.goaway, undefined)
    t.equal(client.streams.get(1)?.status ?? 0, 0)
  })
  await t.test('a header block, a frame with an octet at a time', async t => {
    const client = await lab.attacker(t, { polite: false })
    const begin = headers(1, requestPairs(VICTIM), { endHeaders: false })
    let turn = 0
    await dribble(client, 200, () => (turn++ === 0 ? begin : frame(9, 1, 'x')))
    t.not(client.goaway, undefined)
  })
})

await test('streams that are opened and never sent (idle hoarding)', async t => {
  const lab = await AttackLab.start(t, { config: CONFIG })
  await lab.call(t)
  const { rejected } = await lab.measure(t, async () => {
    const client = await lab.attacker(t)
    for (let index = 0; index < STREAMS; index += 1) client.send(upload(odd(index)))
    for (let index = 0; index < STREAMS; index += 1) {
      const stream = await client.answered(odd(index))
      if (stream.status !== 408 && stream.reset === undefined)
        t.fail(`${odd(index)}: ${stream.status}`)
    }
    t.equal(client.goaway, undefined, 'the connection may go on')
    client.send(request(odd(STREAMS)))
    t.equal((await client.answered(odd(STREAMS))).status, 200)
    client.destroy()
  })
  t.comment(JSON.stringify(rejected))
})

await test('a slow body ends its own stream and no other', async t => {
  const lab = await AttackLab.start(t, { config: CONFIG })
  const client = await lab.attacker(t)
  client.send(upload(1))
  const slow = client.stream(1)
  for (let id = 3; slow.status === 0 && slow.reset === undefined; id += 2) {
    if (id > 200) throw new Error('it goes on')
    client.send(frame(DATA, 1, 'x'), request(id))
    t.equal((await client.answered(id)).status, 200)
    // The pace of the attack.
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  t.equal(slow.status, 408)
  t.equal(client.goaway, undefined)
  client.destroy()
})

await test('a frame of data that stops half way ends its stream, or its connection', async t => {
  const lab = await AttackLab.start(t, { config: CONFIG })
  const client = await lab.attacker(t)
  client.send(upload(1), frame(DATA, 1, Buffer.alloc(16_000)).subarray(0, 1_000))
  const { status, reset } = await client.answered(1)
  t.ok(status === 408 || reset !== undefined || client.over, `${status} ${reset}`)
  client.destroy()
})

/** Readers that take nothing, or next to nothing, of an answer without an end. */
const SLOW_READERS: Readonly<
  Record<string, { readonly initial: number; readonly grant?: () => Buffer }>
> = {
  'windows that are never opened (slow read)': { initial: 0 },
  'windows that shrink to nothing (slow read)': {
    initial: 10_000,
    grant: () => frame(SETTINGS, 0, setting(INITIAL_WINDOW_SIZE, 0)),
  },
  'windows opened by an octet now and then (slow read)': {
    initial: 1,
    grant: () => frame(WINDOW_UPDATE, 1, uint32(1)),
  },
}

/** Sockets that read much at a time have a large buffer each, of which a worker keeps 16 MiB. */
const SHARED_BUFFERS = { heldMiB: 16 }

await test('slow readers', async t => {
  const lab = await AttackLab.start(t, { config: CONFIG })
  await lab.call(t, '/')
  for (const [name, { initial, grant }] of Object.entries(SLOW_READERS)) {
    await t.test(name, async t => {
      await lab.measure(
        t,
        async () => {
          const client = await lab.attacker(t, { greeting: windows(initial) })
          client.send(
            ...Array.from({ length: STREAMS }, (_, index) => request(odd(index), '/large')),
          )
          const timer = setInterval(() => client.send(grant?.() ?? Buffer.alloc(0)), 200)
          const all = (): boolean =>
            client.over ||
            Array.from({ length: STREAMS }, (_, index) => client.stream(odd(index))).every(
              ({ reset, ended }) => reset !== undefined || ended,
            )
          await client.until(all, 'the end of all streams', SOON_MS)
          clearInterval(timer)
          client.destroy()
        },
        SHARED_BUFFERS,
      )
    })
  }
  await t.test(
    'internal data buffering: HTTP/2 windows wide open, that of TCP shut (CVE-2019-9517)',
    async t => {
      await lab.measure(
        t,
        async () => {
          const clients = await Promise.all(
            Array.from({ length: 5 }, () =>
              lab.attacker(t, { greeting: windows(MAX_WINDOW), paused: true }),
            ),
          )
          for (const client of clients)
            client.send(
              ...Array.from({ length: STREAMS }, (_, index) => request(odd(index), '/large')),
            )
          t.ok(
            await until(async () => (await lab.proxy.figures()).connections <= 1),
            'all of them are cut',
          )
          for (const client of clients) client.destroy()
        },
        { cpuMs: 4_000, peakMiB: 64, ...SHARED_BUFFERS },
      )
    },
  )
  await t.test('calls whose answers are never read', async t => {
    await lab.measure(
      t,
      async () => {
        const client = await lab.attacker(t, { paused: true })
        let id = -1
        const begun = performance.now()
        while (!client.closed && performance.now() - begun < SOON_MS) {
          if (!client.socket.writableNeedDrain)
            client.send(...Array.from({ length: 50 }, () => request((id += 2))))
          await new Promise(resolve => setTimeout(resolve, 2))
        }
        t.ok(client.closed, 'it is cut')
        t.comment(`${(id + 1) / 2} calls`)
      },
      { cpuMs: 20_000, peakMiB: 64 },
    )
  })
  await t.test('pings whose answers are never read', async t => {
    await lab.measure(t, async () => {
      const client = await lab.attacker(t, { paused: true })
      const begun = performance.now()
      const piece = Buffer.concat(
        Array.from({ length: 100 }, () => frame(PING, 0, Buffer.alloc(8))),
      )
      while (!client.closed && performance.now() - begun < SOON_MS) {
        client.send(piece)
        await new Promise(resolve => setTimeout(resolve, 5))
      }
      t.ok(client.closed, 'it is cut')
    })
  })
})

await test('a client that ends its side with streams half way', async t => {
  const lab = await AttackLab.start(t, { config: CONFIG })
  const client = await lab.attacker(t)
  client.send(upload(1), request(3, '/never'), frame(HEADERS, 5, 'x'))
  client.socket.end()
  await client.until(() => client.ended || client.closed, 'the end', SOON_MS)
  t.ok(await until(async () => (await lab.proxy.figures()).connections === 0), 'nothing is left')
})

await test('an upload on a stream that is reset while nobody reads it', async t => {
  const lab = await AttackLab.start(t, { config: CONFIG })
  await lab.call(t)
  await lab.measure(t, async () => {
    const client = await lab.attacker(t)
    for (let index = 0; index < 150; index += 1) {
      const id = odd(index)
      client.send(
        headers(id, requestPairs(VICTIM, { method: 'POST', path: '/unread' }), {
          endStream: false,
        }),
        ...Array.from({ length: 4 }, () => frame(DATA, id, Buffer.alloc(16_000))),
        frame(3, id, uint32(8)),
      )
    }
    client.send(request(odd(150)))
    t.equal(
      (await client.answered(odd(150))).status,
      200,
      'the window of the connection is given back',
    )
    client.send(frame(DATA, odd(150), '', END_STREAM))
    client.destroy()
  })
})

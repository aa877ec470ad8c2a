/** Who gets how much of a connection: bandwidth of tenants that share one, and priorities of calls (RFC 9218). */
import { PRIORITY_UPDATE } from '../../src/codec/http2/frame.ts'
import { INITIAL_WINDOW_SIZE } from '../../src/codec/http2/settings.ts'
import type { FrameStream } from '../support/http2/frame-stream.ts'
import { frame, uint32 } from '../support/http2/frames.ts'
import { http2Test, request, respond } from '../support/http2/http2-lab.ts'
import { turns } from '../support/raw-client.ts'

const KIB = 1024
const MIB = 1024 * KIB
const BODY = 'b'.repeat(512 * KIB)
/** A tenth of a second's worth passes at once; timers come up to 100 ms late. */
const LEAST_MS = 750
const MOST_MS = 5_000
const QUIET_TURNS = 2_000

function tenant(id: string, url: string, limits = {}): Record<string, unknown> {
  return { id, hosts: [`${id}.test`], limits, deployment: { endpoints: [url] } }
}

/** When a stream was over, in milliseconds from now. */
async function duration(stream: FrameStream): Promise<number> {
  const start = performance.now()
  await stream.until(() => stream.over)
  return performance.now() - start
}

/** Until nothing moves any more: client, proxy and deployment are all in this process, and have had their turns. */
async function atRest(bytes: () => number): Promise<void> {
  let last = -1
  for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
    if (bytes() !== last) quiet = 0
    last = bytes()
    await turns(1)
  }
}

await http2Test(
  'an answer is paced to the egress of its tenant, and others of its connection do not feel it',
  async (t, lab, http2) => {
    const deployment = await http2.deployment(stream => respond(stream, BODY))
    const proxy = await lab.proxy({
      tenants: [
        tenant('acme', deployment.url, { egress: '512KiB/s' }),
        tenant('globex', deployment.url),
      ],
    })
    const client = await http2.client(proxy)
    const slow = request(client, { authority: 'acme.test' })
    const paced = duration(slow)
    const other = request(client, { authority: 'globex.test' })
    const free = await duration(other)
    t.equal(other.dataReceived, BODY.length)
    t.ok(slow.dataReceived < BODY.length, 'in the meantime')
    const took = await paced
    t.ok(took >= LEAST_MS && took < MOST_MS, `${took} ms, and ${free} for the other`)
    t.equal(slow.dataReceived, BODY.length, 'whole')
  },
)

await http2Test(
  'what the answer of one tenant has used of its egress holds up no later stream of another one',
  async (t, lab, http2) => {
    const [acme, globex] = [
      await http2.deployment(stream => respond(stream, BODY.slice(0, 60 * KIB))),
      await http2.deployment(stream => respond(stream, BODY)),
    ]
    const proxy = await lab.proxy({
      tenants: [tenant('acme', acme.url, { egress: '6KiB/s' }), tenant('globex', globex.url)],
    })
    const client = await http2.client(proxy)
    // It fits into the windows, and has come before anybody could be told to rest.
    const first = request(client, { authority: 'acme.test' })
    await first.until(() => first.over)
    t.equal(first.dataReceived, 60 * KIB)
    const other = request(client, { authority: 'globex.test' })
    const took = await duration(other)
    t.equal(other.dataReceived, BODY.length)
    t.ok(took < MOST_MS, `${took} ms`)
  },
)

await http2Test(
  'an upload is paced to the ingress of its tenant, and others of its connection do not feel it',
  async (t, lab, http2) => {
    const deployment = await http2.deployment(stream => {
      void stream.until(() => stream.remoteEnded).then(() => respond(stream))
    })
    const proxy = await lab.proxy({
      tenants: [
        tenant('acme', deployment.url, { ingress: '512KiB/s' }),
        tenant('globex', deployment.url),
      ],
    })
    const client = await http2.client(proxy)
    const upload = (authority: string): FrameStream => {
      const stream = request(client, { method: 'POST', authority, end: false })
      stream.write(Buffer.from(BODY))
      stream.end()
      return stream
    }
    const slow = upload('acme.test')
    const paced = duration(slow)
    const other = upload('globex.test')
    await duration(other)
    t.equal(other.status, 200)
    t.equal(slow.status, 0, 'in the meantime')
    const took = await paced
    t.ok(took >= LEAST_MS && took < MOST_MS, `${took} ms`)
    t.equal(slow.status, 200)
  },
)

for (const how of ['the field priority', 'PRIORITY_UPDATE'] as const)
  await http2Test(
    `where a connection is full, the more urgent answer leaves first (${how})`,
    async (t, lab, http2) => {
      const body = Buffer.alloc(2 * MIB, 'x')
      const deployment = await http2.deployment(stream => {
        stream.section([[':status', '200']])
        stream.write(body)
        stream.end()
      })
      const proxy = await lab.proxy({ tenants: [tenant('acme', deployment.url)] })
      // Windows are wide open: the socket is what is full.
      const client = await http2.client(proxy, undefined, 'public', {
        granting: 'never',
        settings: [[INITIAL_WINDOW_SIZE, 2 ** 31 - 1]],
      })
      client.connection(frame(8, 0, uint32(2 ** 31 - 1 - 2 * MIB)))
      await client.barrier()
      client.socket.pause()
      const field = how === 'PRIORITY_UPDATE' ? [] : [['priority', 'u=5'] as const]
      const others = Array.from({ length: 16 }, () => request(client, { more: field }))
      const more = how === 'PRIORITY_UPDATE' ? [] : [['priority', 'u=0'] as const]
      const urgent = request(client, { more })
      if (how === 'PRIORITY_UPDATE')
        client.connection(
          frame(PRIORITY_UPDATE, 0, Buffer.concat([uint32(urgent.id), Buffer.from('u=0')])),
        )
      await deployment.came(others.length + 1)
      await atRest(() => proxy.worker.bufferedBytes)
      client.socket.resume()
      await duration(urgent)
      const whole = others.filter(({ dataReceived }) => dataReceived === body.length)
      t.equal(urgent.dataReceived, body.length)
      t.ok(
        whole.length < others.length / 2,
        `${whole.length} of the others, which had begun before`,
      )
      for (const stream of others) await stream.until(() => stream.over)
      t.ok(others.every(({ dataReceived }) => dataReceived === body.length))
    },
  )

await http2Test(
  'where a connection is full, answers whose priority nobody said take turns',
  async (t, lab, http2) => {
    const deployment = await http2.deployment((stream, peer) => {
      const long = stream.id < 16 && peer.lastStreamId < 16
      stream.section([[':status', '200']])
      stream.write(Buffer.alloc(long ? 8 * MIB : 100 * KIB, 'x'))
      stream.end()
    })
    const proxy = await lab.proxy({ tenants: [tenant('acme', deployment.url)] })
    // 64 KiB of the connection at a time, however long the streams are.
    const client = await http2.client(proxy, undefined, 'public', {
      granting: 'never',
      settings: [[INITIAL_WINDOW_SIZE, 2 ** 31 - 1]],
    })
    const long = Array.from({ length: 8 }, () => request(client))
    await deployment.came(8)
    const short = request(client)
    await duration(short)
    t.equal(short.dataReceived, 100 * KIB)
    const whole = long.filter(({ over }) => over)
    t.equal(whole.length, 0, 'of those that had begun before')
    client.abort('reset')
  },
)

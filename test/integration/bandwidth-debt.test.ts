/**
 * What a tenant has had beyond its bandwidth is paid by its own next calls, before they begin, on whatever connection: others
 * of the same connection, such as that of a balancer that clients share, go on at once.
 */
import type { FramePeer } from '../support/http2/frame-peer.ts'
import type { FrameStream } from '../support/http2/frame-stream.ts'
import { http2Test, outcomeOf, request, respond } from '../support/http2/http2-lab.ts'
import { answering, type ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import { codeOf, eventually, fieldsOf, ok, proxyTest, readAnswer } from '../support/proxy-lab.ts'

const KIB = 1024
const BODY = 'x'.repeat(16 * KIB)
/** Timers come up to 100 ms late; a tenant in debt would be waited for much longer. */
const AT_ONCE_MS = 1_000
/** Of 16 KiB, three quarters of which are a debt of two seconds and more. */
const LOW = '7KiB/s'
const LEAST_WAIT_MS = 1_800
const MOST_WAIT_MS = 5_000

function tenant(id: string, url: string, limits = {}): Record<string, unknown> {
  return { id, hosts: [`${id}.test`], limits, deployment: { endpoints: [url] } }
}

function urlOf({ port }: ManualDeployment): string {
  return `http://127.0.0.1:${port}`
}

interface Timed {
  readonly status: number
  readonly head: string
  readonly body: string
  readonly ms: number
}

/** A call of the tenant `id` over HTTP/1.1. */
async function ask(client: Peer, id: string, body = ''): Promise<Timed> {
  const start = performance.now()
  await client.send(headOf(id, body) + body)
  const answer = await readAnswer(client)
  return { ...answer, ms: performance.now() - start }
}

function headOf(id: string, body = ''): string {
  return `POST / HTTP/1.1\r\nhost: ${id}.test\r\ncontent-length: ${body.length}\r\n\r\n`
}

/** The same over HTTP/2, and how long it took. */
async function stream(peer: FramePeer, id: string, body = ''): Promise<number> {
  const start = performance.now()
  const call = open(peer, id, body)
  await call.until(() => call.over)
  if (call.status !== 200) throw new Error(`status ${call.status}`)
  return performance.now() - start
}

function open(peer: FramePeer, id: string, body = ''): FrameStream {
  const call = request(peer, { method: 'POST', authority: `${id}.test`, end: body === '' })
  if (body !== '') {
    call.write(Buffer.from(body))
    call.end()
  }
  return call
}

const DIRECTIONS = [
  { limit: 'egress', sent: '', answered: BODY },
  { limit: 'ingress', sent: BODY, answered: 'ok' },
] as const

for (const { limit, sent, answered } of DIRECTIONS) {
  await proxyTest(
    `HTTP/1.1: what a call has had beyond the ${limit} of its tenant holds up the next call of that tenant, not that of another on the same connection`,
    async (t, lab) => {
      const deployment = await lab.deployment({ serve: answering(ok(answered)) })
      const proxy = await lab.proxy({
        tenants: [
          tenant('acme', urlOf(deployment), { [limit]: LOW }),
          tenant('globex', urlOf(deployment), { [limit]: '100MiB/s' }),
        ],
      })
      const balancer = await lab.client(proxy)
      t.equal((await ask(balancer, 'acme', sent)).status, 200)
      const other = await ask(balancer, 'globex', sent)
      t.equal(other.status, 200)
      t.ok(other.ms < AT_ONCE_MS, `the other tenant: ${other.ms} ms`)
      const own = await ask(await lab.client(proxy), 'acme')
      t.equal(own.status, 200)
      const least = LEAST_WAIT_MS - AT_ONCE_MS
      t.ok(own.ms >= least && own.ms < MOST_WAIT_MS, `its own, on another one: ${own.ms} ms`)
    },
  )

  await http2Test(
    `HTTP/2: what a call has had beyond the ${limit} of its tenant holds up the next call of that tenant, not those of another on the same connection`,
    async (t, lab, http2) => {
      const deployment = await http2.deployment(call => {
        void call.until(() => call.remoteEnded).then(() => respond(call, answered))
      })
      const proxy = await lab.proxy({
        tenants: [
          tenant('acme', deployment.url, { [limit]: LOW }),
          tenant('globex', deployment.url, { [limit]: '100MiB/s' }),
        ],
      })
      const balancer = await http2.client(proxy)
      await stream(balancer, 'acme', sent)
      const waiting = stream(balancer, 'acme')
      const other = await stream(balancer, 'globex', sent)
      t.ok(other < AT_ONCE_MS, `the other tenant, while a call of the first waits: ${other} ms`)
      const own = await waiting
      t.ok(own >= LEAST_WAIT_MS - AT_ONCE_MS && own < MOST_WAIT_MS, `its own: ${own} ms`)
    },
  )

  await http2Test(
    `HTTP/2: many small calls in one piece each are held to the ${limit} of their tenant, however many at once`,
    async (t, lab, http2) => {
      const deployment = await http2.deployment(call => {
        void call.until(() => call.remoteEnded).then(() => respond(call, answered))
      })
      const proxy = await lab.proxy({
        tenants: [tenant('acme', deployment.url, { [limit]: '256KiB/s' })],
      })
      const client = await http2.client(proxy)
      const start = performance.now()
      // 512 KiB: two seconds of it, by four at a time.
      const calls = async (): Promise<void> => {
        for (let call = 0; call < 8; call++) await stream(client, 'acme', sent)
      }
      await Promise.all([calls(), calls(), calls(), calls()])
      const took = performance.now() - start
      // Those of the last round are not waited for, and a tenth of a second is free.
      t.ok(took >= 1_400 && took < 4_000, `${took} ms`)
    },
  )
}

await http2Test(
  'HTTP/2: calls that come at once beside a debt begin one after the other, not all when it is paid',
  async (t, lab, http2) => {
    const deployment = await http2.deployment(call => respond(call, BODY))
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment.url, { egress: '64KiB/s' })],
    })
    const client = await http2.client(proxy)
    // What a call takes is known from those before it.
    for (let call = 0; call < 6; call++) await stream(client, 'acme')
    const start = performance.now()
    const took = await Promise.all(
      Array.from({ length: 8 }, async () => {
        await stream(client, 'acme')
        return performance.now() - start
      }),
    )
    const first = Math.min(...took)
    const last = Math.max(...took)
    // A quarter of a second each.
    t.ok(last - first > 1_000 && last < MOST_WAIT_MS, took.map(Math.round).join(' '))
  },
)

await http2Test(
  'HTTP/2: a long answer and small calls of the same tenant share its bandwidth, and neither waits for the end of the other',
  async (t, lab, http2) => {
    const long = 'y'.repeat(2048 * KIB)
    const deployment = await http2.deployment(call =>
      respond(call, deployment.streams.length === 1 ? long : BODY),
    )
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment.url, { egress: '512KiB/s' })],
    })
    const client = await http2.client(proxy)
    const start = performance.now()
    const download = open(client, 'acme')
    await download.until(() => download.dataReceived > 0)
    for (let call = 0; call < 3; call++) {
      const ms = await stream(client, 'acme')
      // What the windows let the deployment send in one piece is half a second's worth.
      t.ok(ms < AT_ONCE_MS + 500, `${ms} ms`)
    }
    t.notOk(download.over, 'in the meantime')
    await download.until(() => download.over)
    t.equal(download.dataReceived, long.length)
    const took = performance.now() - start
    t.ok(took >= 3_500 && took < 2 * MOST_WAIT_MS, `${took} ms`)
  },
)

await proxyTest(
  'a call that would wait for bandwidth longer than timeouts.response is refused, and told when it fits',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok(BODY)) })
    const proxy = await lab.proxy({
      timeouts: { response: '1s' },
      tenants: [tenant('acme', urlOf(deployment), { egress: '1KiB/s', requests: '2/h', burst: 2 })],
    })
    const client = await lab.client(proxy)
    t.equal((await ask(client, 'acme')).status, 200)
    for (let call = 0; call < 3; call++) {
      const { status, head, body, ms } = await ask(client, 'acme')
      t.equal(status, 503)
      t.equal(codeOf(body), 'tenant_overloaded', 'and nothing was taken of the rate')
      const seconds = Number(fieldsOf(head, 'retry-after')[0])
      t.ok(seconds >= 10 && seconds <= 17, `${seconds} s`)
      t.ok(ms < AT_ONCE_MS, `${ms} ms`)
    }
    t.match(proxy.limited(), { egress: 3 })
  },
)

await http2Test(
  'calls that wait for bandwidth are among the concurrency of their tenant, and give their place back when they are reset',
  async (t, lab, http2) => {
    const deployment = await http2.deployment(call => respond(call, BODY))
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment.url, { egress: '1KiB/s', concurrency: 2 })],
    })
    const client = await http2.client(proxy)
    await stream(client, 'acme')
    const waiting = [open(client, 'acme'), open(client, 'acme')]
    const refused = open(client, 'acme')
    t.match(await outcomeOf(refused), /^503 .*tenant_overloaded/)
    for (const call of waiting) call.reset(8)
    await client.barrier()
    const next = open(client, 'acme')
    await client.barrier()
    t.notOk(next.over, 'waits in the place of one of these')
    t.equal(deployment.streams.length, 1, 'and none of them was seen by the deployment')
    client.abort('reset')
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.worker.openConnections, 0)
  },
)

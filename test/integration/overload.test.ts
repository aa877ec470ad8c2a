/** What a worker does that has more to do than it can: by HTTP/1.1 and by HTTP/2. */
import type { FramePeer } from '../support/http2/frame-peer.ts'
import { http2Test, outcomeOf, request, respond } from '../support/http2/http2-lab.ts'
import { answering } from '../support/manual-deployment.ts'
import { isOn, overloadStep, overloadUpTo, shedBy } from '../support/overloaded.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  fieldsOf,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const ask = (id: string, lines = ''): string => `GET / HTTP/1.1\r\nhost: ${id}.test\r\n${lines}\r\n`

/** Tenants `noisy` and `quiet`, in front of deployments that answer at once. */
async function startTwo(
  lab: ProxyLab,
  overload: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Promise<RunningProxy> {
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const tenants = ['noisy', 'quiet'].map(id => tenant(id, deployment))
  return lab.proxy({ tenants, overload, ...more })
}

/** So many calls in one piece; what became of them, in order. */
async function burst(peer: FramePeer, id: string, count: number): Promise<string[]> {
  const streams = Array.from({ length: count }, () => request(peer, { authority: `${id}.test` }))
  const outcomes = await Promise.all(streams.map(outcomeOf))
  return outcomes.map(outcome => outcome.split(' ')[0] as string)
}

const countOf = (outcomes: readonly string[], status: string): number =>
  outcomes.filter(outcome => outcome === status).length

await http2Test(
  'a worker that is not busy serves whatever comes, and nothing waits',
  async (t, lab, http2) => {
    const proxy = await startTwo(lab, {
      queue: { calls: 1 },
      callsATurn: 1,
      lag: 'off',
      cpu: 'off',
    })
    const outcomes = await burst(await http2.client(proxy), 'noisy', 80)
    t.equal(countOf(outcomes, '200'), 80)
    t.notOk(isOn(proxy, 'fair'))
    t.same(shedBy(proxy), {})
  },
)

await http2Test(
  'a busy worker lets calls wait for their turn, and serves them all',
  async (t, lab, http2) => {
    const proxy = await startTwo(lab, overloadUpTo('fair', { callsATurn: 2 }))
    await overloadStep(proxy, 'fair')
    const outcomes = await burst(await http2.client(proxy), 'noisy', 80)
    t.equal(countOf(outcomes, '200'), 80)
    t.same(shedBy(proxy), {})
  },
)

await http2Test(
  'in a busy worker the flood is shed, and the quiet tenant on the same connection is served',
  async (t, lab, http2) => {
    const proxy = await startTwo(lab, overloadUpTo('fair', { callsATurn: 2, queue: { calls: 10 } }))
    await overloadStep(proxy, 'fair')
    const peer = await http2.client(proxy)
    const flood = burst(peer, 'noisy', 80)
    const quiet = burst(peer, 'quiet', 5)
    t.equal(countOf(await quiet, '200'), 5)
    const outcomes = await flood
    t.ok(countOf(outcomes, '200') >= 5)
    t.ok(countOf(outcomes, '503') >= 60)
    t.equal(countOf(outcomes, '200') + countOf(outcomes, '503'), 80)
    t.same(shedBy(proxy), { 'noisy queue_full': countOf(outcomes, '503') })
    t.equal(proxy.rejected('overloaded'), countOf(outcomes, '503'))
  },
)

await http2Test(
  'what a limit refuses has waited for its turn as well: a flood of 429 fills no turns',
  async (t, lab, http2) => {
    const deployment = await lab.deployment({ serve: answering(ok()) })
    const proxy = await lab.proxy({
      tenants: [{ ...tenant('noisy', deployment), limits: { requests: '1/s', burst: 1 } }],
      overload: overloadUpTo('fair', { callsATurn: 1, queue: { calls: 4 } }),
    })
    await overloadStep(proxy, 'fair')
    const outcomes = await burst(await http2.client(proxy), 'noisy', 40)
    const counts = ['200', '429', '503'].map(status => countOf(outcomes, status))
    t.same(counts, [1, 4, 35], 'one passes, four wait, and the others find no place')
    t.same(shedBy(proxy), { 'noisy queue_full': 35 })
  },
)

await http2Test(
  'who is shed is told 503 `overloaded` and when to come again; gRPC as UNAVAILABLE',
  async (t, lab, http2) => {
    const proxy = await startTwo(lab, overloadUpTo('fair', { callsATurn: 1, queue: { calls: 1 } }))
    await overloadStep(proxy, 'fair')
    const peer = await http2.client(proxy)
    const first = [1, 2].map(() => request(peer, { authority: 'noisy.test' }))
    const plain = request(peer, { authority: 'noisy.test' })
    const grpc = request(peer, {
      method: 'POST',
      authority: 'noisy.test',
      more: [
        ['content-type', 'application/grpc'],
        ['te', 'trailers'],
      ],
    })
    const outcome = await outcomeOf(plain)
    t.equal(outcome.slice(0, 3), '503')
    t.equal(codeOf(outcome), 'overloaded')
    t.equal(plain.header('retry-after'), '1')
    await outcomeOf(grpc)
    t.equal(grpc.status, 200)
    t.equal(grpc.header('grpc-status'), '14')
    await Promise.all(first.map(outcomeOf))
  },
)

await http2Test(
  'a call that waits and whose client leaves is never begun, and gives its places back',
  async (t, lab, http2) => {
    const deployment = await http2.deployment(stream => respond(stream))
    const tenants = [
      {
        id: 'noisy',
        hosts: ['noisy.test'],
        deployment: { endpoints: [deployment.url] },
        limits: { concurrency: 30 },
      },
    ]
    const proxy = await lab.proxy({ tenants, overload: overloadUpTo('fair', { callsATurn: 1 }) })
    await overloadStep(proxy, 'fair')
    const peer = await http2.client(proxy)
    const streams = Array.from({ length: 20 }, () => request(peer, { authority: 'noisy.test' }))
    for (const stream of streams.slice(1)) stream.reset(8)
    t.equal((await outcomeOf(streams[0]!)).slice(0, 3), '200')
    for (let round = 0; round < 3; round += 1) {
      const outcomes = await burst(peer, 'noisy', 30)
      t.equal(countOf(outcomes, '200'), 30, 'all places are free')
    }
    t.equal(deployment.streams.length, 91)
  },
)

await proxyTest('a body that comes while its call waits goes to the deployment', async (t, lab) => {
  const bodies: string[] = []
  const deployment = await lab.deployment({
    serve: async peer => {
      const head = await peer.readHead()
      bodies.push(await peer.readBytes(Number(fieldsOf(head, 'content-length')[0])))
      await peer.send(ok('ok', 'connection: close\r\n'))
      peer.socket.end()
    },
  })
  const proxy = await lab.proxy({
    tenants: [tenant('noisy', deployment)],
    overload: overloadUpTo('fair', { callsATurn: 1 }),
  })
  await overloadStep(proxy, 'fair')
  const clients = await Promise.all(Array.from({ length: 8 }, () => lab.client(proxy)))
  for (const client of clients)
    void client.send(`POST / HTTP/1.1\r\nhost: noisy.test\r\ncontent-length: 5\r\n\r\nhello`)
  const answers = await Promise.all(clients.map(readAnswer))
  t.same(
    answers.map(({ status }) => status),
    clients.map(() => 200),
  )
  t.same(
    bodies,
    clients.map(() => 'hello'),
  )
})

await proxyTest('pipelined calls that wait are answered in order', async (t, lab) => {
  const deployment = await lab.deployment({
    serve: async peer => {
      try {
        for (;;) {
          const head = await peer.readHead()
          await peer.send(ok(head.slice(5, head.indexOf(' HTTP'))))
        }
      } catch {
        // It was closed.
      }
    },
  })
  const proxy = await lab.proxy({
    tenants: [tenant('noisy', deployment)],
    overload: overloadUpTo('fair', { callsATurn: 1 }),
  })
  await overloadStep(proxy, 'fair')
  const client = await lab.client(proxy)
  const names = Array.from({ length: 20 }, (_, index) => `call${index}`)
  void client.send(names.map(name => `GET /${name} HTTP/1.1\r\nhost: noisy.test\r\n\r\n`).join(''))
  for (const name of names) t.equal((await readAnswer(client)).body, name)
})

/** Calls of `noisy` that its deployment lets wait. */
async function startHeld(lab: ProxyLab, overload: Record<string, unknown>) {
  const held = await lab.deployment()
  const prompt = await lab.deployment({ serve: answering(ok()) })
  const tenants = [tenant('noisy', held), tenant('quiet', prompt)]
  const proxy = await lab.proxy({ tenants, overload })
  const clients = await Promise.all(Array.from({ length: 4 }, () => lab.client(proxy)))
  return { proxy, held, clients }
}

await proxyTest(
  'stop keep-alive: a connection of the heaviest tenant ends with its call, that of another is kept',
  async (t, lab) => {
    const { proxy, held, clients } = await startHeld(lab, overloadUpTo('stop_keep_alive'))
    const quiet = await lab.client(proxy)
    for (const client of clients) void client.send(ask('noisy'))
    const upstreams = await Promise.all(clients.map(() => held.next()))
    await overloadStep(proxy, 'stop_keep_alive')
    for (const upstream of upstreams.slice(0, 2)) {
      await upstream.readHead()
      await upstream.send(ok())
    }
    await eventually(() => clients.filter(({ total }) => total > 0).length >= 2)
    const answered = clients.filter(({ total }) => total > 0)
    const [first] = answered
    t.same(fieldsOf((await readAnswer(first as Peer)).head, 'connection'), ['close'])
    await eventually(() => (first as Peer).ended)
    t.ok((first as Peer).ended)
    for (let call = 0; call < 2; call += 1) {
      await quiet.send(ask('quiet'))
      const { status, head } = await readAnswer(quiet)
      t.equal(status, 200)
      t.same(fieldsOf(head, 'connection'), [])
    }
    t.notOk(quiet.ended)
  },
)

await http2Test(
  'stop keep-alive: a connection of HTTP/2 of the heaviest tenant is told to go, and its calls end well',
  async (t, lab, http2) => {
    const proxy = await startTwo(lab, overloadUpTo('stop_keep_alive'))
    await overloadStep(proxy, 'stop_keep_alive')
    const noisy = await http2.client(proxy)
    const quiet = await http2.client(proxy)
    t.equal(countOf(await burst(noisy, 'noisy', 20), '200'), 20)
    await noisy.until(() => noisy.goneAways.length > 0)
    t.ok(noisy.goneAways.length > 0)
    for (let call = 0; call < 3; call += 1)
      t.equal(countOf(await burst(quiet, 'quiet', 1), '200'), 1)
    t.equal(quiet.goneAways.length, 0)
  },
)

await proxyTest(
  'refuse calls: the heaviest tenant gets no new ones, a quiet tenant is served',
  async (t, lab) => {
    const { proxy, held, clients } = await startHeld(lab, overloadUpTo('refuse_calls'))
    const [first, ...others] = clients
    await overloadStep(proxy, 'refuse_calls')
    void (first as Peer).send(ask('noisy'))
    await held.next()
    for (const client of others) {
      await client.send(ask('noisy'))
      const { status, body, head } = await readAnswer(client)
      t.equal(status, 503)
      t.equal(codeOf(body), 'overloaded')
      t.same(fieldsOf(head, 'retry-after'), ['1'])
    }
    const quiet = await lab.client(proxy)
    for (let call = 0; call < 5; call += 1) {
      await quiet.send(ask('quiet'))
      t.equal((await readAnswer(quiet)).status, 200)
    }
    t.same(shedBy(proxy), { 'noisy heaviest': others.length })
  },
)

await proxyTest(
  'refuse connections: new ones are closed at once and counted, those that are there are served',
  async (t, lab) => {
    const proxy = await startTwo(lab, overloadUpTo('refuse_connections'))
    const client = await lab.client(proxy)
    await client.send(ask('quiet'))
    t.equal((await readAnswer(client)).status, 200)
    await overloadStep(proxy, 'refuse_connections')
    const late = await lab.client(proxy)
    await eventually(() => late.closed || late.ended)
    t.ok(late.closed || late.ended)
    t.equal(proxy.rejected('overloaded'), 1)
    await client.send(ask('quiet'))
    t.equal((await readAnswer(client)).status, 200)
  },
)

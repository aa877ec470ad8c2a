/** Limits of a tenant as clients meet them, over both versions of HTTP; each with its refusal and its counter. */
import { t as file, type Test } from 'tap'
import { TestAuthority } from '../support/certificates.ts'
import type { FrameStream } from '../support/http2/frame-stream.ts'
import { http2Test, outcomeOf, request, respond } from '../support/http2/http2-lab.ts'
import { answering } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  fieldsOf,
  get,
  keyOf,
  ok,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import { visit } from '../support/tls-visit.ts'

const GRPC = [
  ['content-type', 'application/grpc'],
  ['te', 'trailers'],
] as const

/** A call over a connection of its own, or a given one: status, code and head. */
async function call(client: Peer, target = '/'): Promise<{ told: string; head: string }> {
  await client.send(get(target))
  const { status, head, body } = await readAnswer(client)
  return { told: `${status} ${codeOf(body)}`.trim(), head }
}

function fieldIn(stream: FrameStream, name: string): string | undefined {
  return stream.sections.at(-1)?.find(([key]) => key === name)?.[1]
}

// === rates of calls

await proxyTest('requests: 429 says how long, how much and of what', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering(ok('x')) })
  const limits = { requests: '6/m', burst: 2 }
  const proxy = await lab.proxy({ tenants: [tenant('acme', deployment, { limits })] })
  const client = await lab.client(proxy)
  await call(client)
  await call(client)
  const { told, head } = await call(client)
  t.equal(told, '429 rate_limited')
  t.same(fieldsOf(head, 'retry-after'), ['10'])
  t.same(fieldsOf(head, 'ratelimit'), ['"requests";r=0;t=10'])
  t.same(fieldsOf(head, 'ratelimit-policy'), ['"requests";q=2;w=20'])
  t.same(proxy.limited(), { requests: 1 })
})

await proxyTest(
  'requests: what is left is in each answer of a tenant with a rate',
  async (t, lab) => {
    const deployment = await lab.deployment({
      serve: answering(ok('x', 'ratelimit: "own";r=5;t=1\r\n')),
    })
    const rated = tenant('acme', deployment, { limits: { requests: '6/m', burst: 3 } })
    const proxy = await lab.proxy({ tenants: [rated, tenant('globex', deployment)] })
    const client = await lab.client(proxy)
    const { head } = await call(client)
    const own = '"own";r=5;t=1'
    t.same(
      fieldsOf(head, 'ratelimit'),
      [own, '"requests";r=2;t=10'],
      'beside those of the deployment',
    )
    t.same(fieldsOf(head, 'ratelimit-policy'), ['"requests";q=3;w=30'])
    await client.send(get().replace('acme', 'globex'))
    const other = await readAnswer(client)
    t.same(fieldsOf(other.head, 'ratelimit'), [own], 'nothing of a tenant without')
    t.same(fieldsOf(other.head, 'ratelimit-policy'), [])
  },
)

await http2Test(
  'requests: over HTTP/2 the same, and to gRPC as trailers alone',
  async (t, lab, h2) => {
    const deployment = await h2.deployment(stream => respond(stream))
    const limits = { requests: '6/m', burst: 1 }
    const acme = {
      id: 'acme',
      hosts: ['acme.test'],
      limits,
      deployment: { endpoints: [deployment.url] },
    }
    const proxy = await lab.proxy({ tenants: [acme] })
    const client = await h2.client(proxy)
    const first = request(client)
    t.equal(await outcomeOf(first), '200 ok')
    t.equal(fieldIn(first, 'ratelimit'), '"requests";r=0;t=10')
    t.equal(fieldIn(first, 'ratelimit-policy'), '"requests";q=1;w=10')
    const second = request(client)
    t.match(await outcomeOf(second), /^429 .*rate_limited/)
    t.equal(fieldIn(second, 'retry-after'), '10')
    t.equal(fieldIn(second, 'ratelimit'), '"requests";r=0;t=10')
    const third = request(client, { method: 'POST', more: GRPC })
    t.equal(await outcomeOf(third), '200 ')
    t.equal(third.sections.length, 1)
    t.equal(fieldIn(third, 'grpc-status'), '8', 'RESOURCE_EXHAUSTED')
    t.equal(fieldIn(third, 'retry-after'), '10')
    t.equal(fieldIn(third, 'ratelimit-policy'), '"requests";q=1;w=10')
  },
)

await proxyTest('quotas: 429 with the same fields, by the name of the quota', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering(ok('x')) })
  const quotas = [{ name: 'few', of: 'calls', amount: 1, per: 'month' }]
  const proxy = await lab.proxy({ tenants: [tenant('acme', deployment, { quotas })] })
  const client = await lab.client(proxy)
  await call(client)
  const { told, head } = await call(client)
  t.equal(told, '429 quota_exhausted')
  t.match(fieldsOf(head, 'ratelimit')[0], /^"few";r=0;t=\d+$/)
  t.match(fieldsOf(head, 'ratelimit-policy')[0], /^"few";q=1;w=2\d{6}$/, 'a month in seconds')
  t.equal(fieldsOf(head, 'ratelimit')[0]?.split('t=')[1], fieldsOf(head, 'retry-after')[0])
})

// === connections

await proxyTest('newConnections: 429, and the connection ends', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering(ok('x')) })
  const limits = { newConnections: '2/m' }
  const tenants = [tenant('acme', deployment, { limits }), tenant('globex', deployment)]
  const proxy = await lab.proxy({ tenants })
  const [first, second] = [await lab.client(proxy), await lab.client(proxy)]
  t.equal((await call(first)).told, '200')
  const { told, head } = await call(second)
  t.equal(told, '429 rate_limited')
  t.same(fieldsOf(head, 'retry-after'), ['30'])
  t.same(fieldsOf(head, 'ratelimit-policy'), ['"newConnections";q=1;w=30'])
  t.same(fieldsOf(head, 'connection'), ['close'])
  await second.readToEnd()
  t.equal((await call(first)).told, '200', 'a connection that is open is not new')
  const other = await lab.client(proxy)
  await other.send(get().replace('acme', 'globex'))
  t.equal((await readAnswer(other)).status, 200, 'another tenant notices nothing')
  t.same(proxy.limited(), { newConnections: 1 })
})

await proxyTest('newConnections: a tunnel is closed', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering('x') })
  const own = { name: 'own', mode: 'private', port: 0, protocol: 'tcp' }
  const limits = { newConnections: '1/m' }
  const proxy = await lab.proxy({
    listeners: [own],
    tenants: [tenant('acme', deployment, { address: '127.0.0.1', limits })],
  })
  const first = await lab.client(proxy, 'own')
  await first.send('GET / HTTP/1.1\r\n\r\n')
  t.equal(await first.readBytes(1), 'x')
  const second = await lab.client(proxy, 'own')
  await eventually(() => second.closed || second.ended)
  t.ok(second.closed || second.ended)
  t.same(proxy.limited(), { newConnections: 1 })
  t.equal(proxy.rejected('rate_limited'), 1)
})

for (const limits of [{ newConnections: '1/m' }, { connections: 1 }]) {
  const [name = ''] = Object.keys(limits)
  await http2Test(
    `${name}: over HTTP/2 the refused connection is told to go`,
    async (t, lab, h2) => {
      const deployment = await h2.deployment(stream => respond(stream))
      const endpoints = [deployment.url]
      const proxy = await lab.proxy({
        tenants: [{ id: 'acme', hosts: ['acme.test'], limits, deployment: { endpoints } }],
      })
      const [first, second] = [await h2.client(proxy), await h2.client(proxy)]
      t.equal(await outcomeOf(request(first)), '200 ok')
      t.match(await outcomeOf(request(second)), /^(429|503) /)
      await second.until(() => second.over)
      t.ok(second.over)
      t.equal(await outcomeOf(request(first)), '200 ok')
      t.same(proxy.limited(), { [name]: 1 })
    },
  )
}

// === streams

await http2Test(
  'streams: 503 beyond them, on one connection, of one tenant',
  async (t, lab, h2) => {
    const deployment = await h2.deployment()
    const of = (id: string, limits: Record<string, unknown>): Record<string, unknown> => ({
      id,
      hosts: [`${id}.test`],
      limits,
      deployment: { endpoints: [deployment.url] },
    })
    const proxy = await lab.proxy({ tenants: [of('acme', { streams: 2 }), of('globex', {})] })
    const client = await h2.client(proxy)
    const running = [request(client), request(client)]
    await deployment.came(2)
    t.match(await outcomeOf(request(client)), /^503 .*tenant_overloaded/)
    const refused = request(client, { method: 'POST', more: GRPC })
    await outcomeOf(refused)
    t.equal(fieldIn(refused, 'grpc-status'), '8')
    const others = [1, 2, 3].map(() => request(client, { authority: 'globex.test' }))
    await deployment.came(5)
    const elsewhere = request(await h2.client(proxy))
    await deployment.came(6)
    for (const { stream } of deployment.streams) respond(stream)
    for (const stream of [...running, ...others, elsewhere])
      t.equal(await outcomeOf(stream), '200 ok')
    t.same(proxy.limited(), { streams: 2 })
    const again = [request(client), request(client)]
    await deployment.came(8)
    again[0]?.reset()
    const next = request(client)
    await deployment.came(9)
    t.match(await outcomeOf(request(client)), /^503 /, 'two again')
    for (const { stream } of deployment.streams.slice(7))
      if (stream.resetByPeer === undefined) respond(stream)
    t.equal(await outcomeOf(next), '200 ok')
  },
)

// === deployments

await proxyTest(
  'upstreamConnections and pending: the lesser of them and of the deployment',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.proxy({
      limits: { upstreamConnections: 1, pending: 1 },
      tenants: [tenant('acme', deployment)],
    })
    const clients = [await lab.client(proxy), await lab.client(proxy), await lab.client(proxy)]
    const [running, waiting, refused] = clients as [Peer, Peer, Peer]
    await running.send(get('/1'))
    const upstream = await deployment.next()
    await upstream.readHead()
    await waiting.send(get('/2'))
    await eventually(() => proxy.limited().upstream_connections === 1)
    const { told } = await call(refused)
    t.equal(told, '503 upstream_queue_full')
    await upstream.send(ok('x'))
    t.equal((await readAnswer(running)).body, 'x')
    await upstream.readHead()
    await upstream.send(ok('y'))
    t.equal((await readAnswer(waiting)).body, 'y')
    t.equal(deployment.peers.length, 1)
    t.same(proxy.limited(), { upstream_connections: 2, upstream_queue: 1 })
  },
)

// === handshakes

const authority = await TestAuthority.create(file)
const { certPath, keyPath } = await authority.server(['acme.test', 'globex.test', 'nobody.test'])

function secured(more: Record<string, unknown>): Record<string, unknown> {
  const certificates = [{ cert: certPath, key: keyPath }]
  const listener = { name: 'public', mode: 'shared', address: '127.0.0.1:0', tls: { certificates } }
  return { listeners: [listener], ...more }
}

async function visitAs(port: number, servername: string): Promise<string> {
  const call = `GET / HTTP/1.1\r\nhost: ${servername}\r\nconnection: close\r\n\r\n`
  const { text, error } = await visit(port, { ca: authority.cert, servername, call })
  return error === undefined ? text.slice(9, 12) : 'refused'
}

await proxyTest(
  'handshakes: begun by the name that is asked for, each tenant its own',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('x')) })
    const acme = tenant('acme', deployment, { limits: { handshakes: '2/m' } })
    const proxy = await lab.proxy(secured({ tenants: [acme, tenant('globex', deployment)] }))
    const port = proxy.port('public')
    t.equal(await visitAs(port, 'acme.test'), '200')
    t.equal(await visitAs(port, 'acme.test'), 'refused')
    for (let visits = 0; visits < 3; visits++) t.equal(await visitAs(port, 'globex.test'), '200')
    t.same(proxy.limited(), { handshakes: 1 })
    t.same(proxy.handshakeFailures(), { tenant_limit: 1 })
    t.equal(proxy.rejected('tls_handshake_failed'), 1)
  },
)

await proxyTest('handshakes: a limit of the service holds for each tenant', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering(ok('x')) })
  const tenants = [tenant('acme', deployment), tenant('globex', deployment)]
  const proxy = await lab.proxy(secured({ tenants, limits: { handshakes: '1/m' } }))
  const port = proxy.port('public')
  const told: string[] = []
  for (const name of ['acme.test', 'acme.test', 'globex.test', 'globex.test'])
    told.push(await visitAs(port, name))
  t.same(told, ['200', 'refused', '200', 'refused'])
  t.equal(await visitAs(port, 'nobody.test'), '401', 'a name of nobody is nobody’s limit')
})

await proxyTest(
  'handshakes: on an address of its own a tenant has them by that',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('x')) })
    const certificates = [{ cert: certPath, key: keyPath }]
    const own = { name: 'own', mode: 'private', port: 0, protocol: 'http', tls: { certificates } }
    const limits = { handshakes: '1/m' }
    const proxy = await lab.proxy({
      listeners: [own],
      tenants: [tenant('acme', deployment, { address: '127.0.0.1', limits })],
    })
    const port = proxy.port('own')
    t.equal(await visitAs(port, 'acme.test'), '200')
    t.equal(await visitAs(port, 'globex.test'), 'refused', 'whatever name it asks for')
  },
)

// === a change of the number of workers

await proxyTest('a worker takes a larger or a smaller share while it serves', async (t, lab) => {
  const deployment = await lab.deployment()
  const limits = { concurrency: 2, upstreamConnections: 2 }
  const proxy = await lab.proxy({ tenants: [tenant('acme', deployment, { limits })] })
  const [first, second] = [await lab.client(proxy), await lab.client(proxy)]
  await first.send(get('/1', `x-api-key: ${keyOf('acme')}\r\n`))
  const upstream = await deployment.next()
  await upstream.readHead()
  proxy.worker.shareLimits(2)
  t.equal((await call(second)).told, '503 tenant_overloaded', 'one of two')
  proxy.worker.shareLimits(1)
  await second.send(get('/2'))
  const other = await deployment.next()
  await other.readHead()
  await finish(t, first, upstream)
  await finish(t, second, other)
})

async function finish(t: Test, client: Peer, upstream: Peer): Promise<void> {
  await upstream.send(ok('z'))
  t.equal((await readAnswer(client)).body, 'z')
}

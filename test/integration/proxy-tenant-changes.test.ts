/** A change of a tenant changes what is different about it, and nothing else of what it has at run time. */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AdvancingClock } from '../support/advancing-clock.ts'
import { TestAuthority } from '../support/certificates.ts'
import { answering, type ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  get,
  ok,
  post,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import { proxyConfig, type RunningProxy } from '../support/start-proxy.ts'

type Input = Record<string, unknown>

/** Applies this tenant, and these limits of the service, as the primary would. */
function changer(proxy: RunningProxy): (tenants: Input | Input[], limits?: Input) => Promise<void> {
  let generation = 1
  return async (tenants, limits = {}) => {
    generation += 1
    const parsed = proxyConfig({
      listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
      tenants: [tenants].flat(),
      limits,
    })
    const problems = await proxy.change(parsed.tenants, parsed.limits, generation)
    if (problems.length > 0) throw new Error(problems.join('\n'))
  }
}

const otherKey = { apiKey: `sha256:${createHash('sha256').update('another').digest('hex')}` }

/** A call that `upstream` answers. */
async function served(client: Peer, upstream: Peer, target: string): Promise<void> {
  await client.send(get(target))
  const head = await upstream.readHead()
  if (!head.startsWith(`GET ${target} `)) throw new Error(`${head} is not ${target}`)
  await upstream.send(ok(target))
  const { body } = await readAnswer(client)
  if (body !== target) throw new Error(`${body} is not the answer to ${target}`)
}

async function firstCall(client: Peer, deployment: ManualDeployment): Promise<Peer> {
  await client.send(get('/first'))
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send(ok())
  await readAnswer(client)
  return upstream
}

await proxyTest('a change of credentials alone renews neither pool nor limiter', async (t, lab) => {
  const deployment = await lab.deployment()
  const limits = { requests: '3/m', burst: 3, concurrency: 2 }
  const acme = tenant('acme', deployment, { limits })
  const proxy = await lab.proxy({ tenants: [acme] })
  const change = changer(proxy)
  const client = await lab.client(proxy)
  const upstream = await firstCall(client, deployment)
  await change({ ...acme, credentials: [...(acme.credentials as object[]), otherKey] })
  await served(client, upstream, '/same-connection')
  await change({ ...acme, credentials: [otherKey], hosts: ['acme.test', 'more.test'] })
  await served(client, upstream, '/again')
  t.equal(deployment.peers.length, 1, 'the connection to the deployment is the same')
  await client.send(get())
  const { status, body } = await readAnswer(client)
  t.equal(status, 429, 'what was taken from the limit stays taken')
  t.equal(codeOf(body), 'rate_limited')
})

await proxyTest('other limits hold at once, and forget nothing', async (t, lab) => {
  const deployment = await lab.deployment()
  const acme = tenant('acme', deployment, { limits: { concurrency: 5 } })
  const proxy = await lab.proxy({ tenants: [acme] })
  const change = changer(proxy)
  const first = await lab.client(proxy)
  await first.send(get('/1'))
  const upstream = await deployment.next()
  await upstream.readHead()
  await change(tenant('acme', deployment, { limits: { concurrency: 1 } }))
  const second = await lab.client(proxy)
  await second.send(get('/2'))
  const refused = await readAnswer(second)
  t.equal(codeOf(refused.body), 'tenant_overloaded', 'the call of before counts')
  await upstream.send(ok('1'))
  t.equal((await readAnswer(first)).body, '1')
  await served(second, upstream, '/3')
  await change(tenant('acme', deployment), { concurrency: 1 })
  await served(second, upstream, '/4')
  await change(tenant('acme', deployment, { limits: { requests: '1/m', burst: 1 } }))
  await served(second, upstream, '/5')
  await second.send(get())
  t.equal((await readAnswer(second)).status, 429)
  t.equal(deployment.peers.length, 1)
})

await proxyTest('other limits of the service touch no connection', async (t, lab) => {
  const deployment = await lab.deployment()
  const acme = tenant('acme', deployment)
  const proxy = await lab.proxy({ tenants: [acme] })
  const change = changer(proxy)
  const client = await lab.client(proxy)
  const upstream = await firstCall(client, deployment)
  await client.send(get('/under-way'))
  await upstream.readHead()
  await change(acme, { concurrency: 1, connections: 7 })
  const second = await lab.client(proxy)
  await second.send(get())
  t.equal(codeOf((await readAnswer(second)).body), 'tenant_overloaded')
  await upstream.send(ok())
  await readAnswer(client)
  await served(client, upstream, '/after')
  t.equal(deployment.peers.length, 1)
})

await proxyTest('a body that has begun is held to the limit that it began with', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({ tenants: [tenant('acme', deployment)] })
  const client = await lab.client(proxy)
  await client.send(post('0123456789').slice(0, -5))
  const upstream = await deployment.next()
  await upstream.readHead()
  await changer(proxy)(tenant('acme', deployment, { limits: { body: '4B' } }))
  await client.send('56789')
  t.equal(await upstream.readBytes(10), '0123456789')
  await upstream.send(ok())
  t.equal((await readAnswer(client)).status, 200)
  await client.send(post('0123456789'))
  t.equal(codeOf((await readAnswer(client)).body), 'body_too_large')
})

await proxyTest(
  'an endpoint that is added takes calls, and those that stay keep their connections',
  async (t, lab) => {
    const one = await lab.deployment()
    const two = await lab.deployment()
    const at = (...deployments: ManualDeployment[]): Input => ({
      ...tenant('acme', one),
      deployment: { endpoints: deployments.map(({ port }) => `http://127.0.0.1:${port}`) },
    })
    const proxy = await lab.proxy({ tenants: [at(one)] })
    const change = changer(proxy)
    const client = await lab.client(proxy)
    const upstream = await firstCall(client, one)
    await client.send(get('/held'))
    await upstream.readHead()
    await change(at(one, two))
    const second = await lab.client(proxy)
    await second.send(get('/new'))
    const other = await two.next()
    t.match(await other.readHead(), 'GET /new ', 'the one with less to do')
    await other.send(ok())
    await readAnswer(second)
    await upstream.send(ok())
    await readAnswer(client)
    await change(at(one))
    await other.until(() => other.ended || other.closed, 'what is removed keeps no connection')
    await served(client, upstream, '/kept')
    t.equal(one.peers.length, 1)
  },
)

await proxyTest(
  'who waits for a connection is served by the endpoint that takes the place of the former one',
  async (t, lab) => {
    const before = await lab.deployment()
    const after = await lab.deployment()
    const at = ({ port }: ManualDeployment): Input => ({
      ...tenant('acme', before),
      deployment: { endpoints: [`http://127.0.0.1:${port}`], maxConnections: 1 },
    })
    const proxy = await lab.proxy({ tenants: [at(before)] })
    const client = await lab.client(proxy)
    await client.send(get('/1'))
    const upstream = await before.next()
    await upstream.readHead()
    const waiting = await lab.client(proxy)
    await waiting.send(get('/2'))
    await eventually(() => (proxy.limited().upstream_connections ?? 0) > 0)
    await changer(proxy)(at(after))
    await upstream.send(ok('1'))
    t.equal((await readAnswer(client)).body, '1', 'the former one ends what it has begun')
    const next = await after.next()
    t.match(await next.readHead(), 'GET /2 ')
    await next.send(ok('2'))
    t.equal((await readAnswer(waiting)).body, '2')
  },
)

await proxyTest('a tunnel of a tenant that changes goes on', async (t, lab) => {
  const deployment = await lab.deployment()
  const elsewhere = await lab.deployment()
  const acme = tenant('acme', deployment, { address: '127.0.0.1' })
  const proxy = await lab.proxy({
    listeners: [{ name: 'tcp', mode: 'private', port: 0, protocol: 'tcp' }],
    tenants: [acme],
  })
  const change = changer(proxy)
  const tunnel = await lab.client(proxy, 'tcp')
  await tunnel.send('hello')
  const upstream = await deployment.next()
  await upstream.readBytes(5)
  await change({ ...acme, credentials: [otherKey], limits: { connections: 1 } })
  await change(tenant('acme', elsewhere, { address: '127.0.0.1', limits: { connections: 1 } }))
  await upstream.send('still there')
  t.equal(await tunnel.readBytes(11), 'still there')
  const second = await lab.client(proxy, 'tcp')
  await second.until(() => second.ended || second.closed, 'a second one is refused')
  t.equal(proxy.rejected('too_many_connections'), 1, 'it still counts')
})

await proxyTest(
  'TLS files of a deployment that change are used without a reload',
  async (t, lab) => {
    const [former, ca] = [await TestAuthority.create(t), await TestAuthority.create(t)]
    const folder = t.testdir({ 'ca.crt': former.cert })
    const file = join(folder, 'ca.crt')
    const { cert, key } = await ca.server([], ['127.0.0.1'])
    const deployment = await lab.deployment({ tls: { cert, key }, serve: answering(ok('served')) })
    const endpoints = [`https://127.0.0.1:${deployment.port}`]
    const deployed = { deployment: { endpoints, tls: { ca: file } } }
    const clock = new AdvancingClock()
    const proxy = await lab.proxy({ tenants: [tenant('acme', deployment, deployed)] }, { clock })
    const client = await lab.client(proxy)
    const look = (): void => {
      clock.advance(60_000)
      proxy.worker.reportNow()
    }
    const call = async (): Promise<string> => {
      await client.send(get())
      const { body } = await readAnswer(client)
      return codeOf(body) || body
    }
    t.equal(await call(), 'upstream_tls')
    writeFileSync(file, 'half of a file')
    look()
    t.equal(await call(), 'upstream_tls')
    writeFileSync(file, ca.cert)
    // All tenants once a minute, a part of them with each report.
    look()
    look()
    t.equal(await call(), 'served')
  },
)

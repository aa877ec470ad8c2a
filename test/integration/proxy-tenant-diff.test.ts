/** A change of one tenant leaves connections, pools and limits of all others alone, and a tenant without traffic holds nothing. */
import { AdvancingClock } from '../support/advancing-clock.ts'
import {
  codeOf,
  eventually,
  get,
  keyOf,
  ok,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import { proxyConfig, type RunningProxy } from '../support/start-proxy.ts'

const CHANGES = 50

async function apply(
  proxy: RunningProxy,
  generation: number,
  tenants: readonly object[],
): Promise<string[]> {
  const { tenants: parsed, limits } = proxyConfig({
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    tenants,
  })
  return proxy.change(parsed, limits, generation)
}

await proxyTest(
  'connections, tunnels and limits of a tenant survive any number of changes of others',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const other = await lab.deployment()
    const acme = tenant('acme', deployment, {
      address: '127.0.0.1',
      limits: { requests: '2/m', burst: 2 },
    })
    const proxy = await lab.proxy({
      listeners: [
        { name: 'public', mode: 'shared', address: '127.0.0.1:0' },
        { name: 'tcp', mode: 'private', port: 0, protocol: 'tcp' },
      ],
      tenants: [acme],
    })
    const client = await lab.client(proxy)
    await client.send(get('/1'))
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(ok('1'))
    await readAnswer(client)
    const tunnel = await lab.client(proxy, 'tcp')
    await tunnel.send('hello')
    const tunnelled = await deployment.next()
    await tunnelled.readBytes(5)
    for (let change = 1; change <= CHANGES; change += 1) {
      const limits = { concurrency: change }
      t.same(await apply(proxy, change + 1, [acme, tenant('globex', other, { limits })]), [])
    }
    await tunnelled.send('still there')
    t.equal(await tunnel.readBytes(11), 'still there')
    await client.send(get('/2'))
    t.match(await upstream.readHead(), 'GET /2 ', 'the resting connection is used')
    await upstream.send(ok('2'))
    await readAnswer(client)
    await client.send(get('/3'))
    const { status, body } = await readAnswer(client)
    t.equal(status, 429, 'what was spent of the limit stays spent')
    t.equal(codeOf(body), 'rate_limited')
  },
)

await proxyTest('a diff that one tenant spoils changes nothing at all', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({ tenants: [tenant('acme', deployment)] })
  const stolen = { ...tenant('globex', deployment), hosts: ['acme.test'] }
  const fresh = tenant('fresh', deployment)
  const problems = await apply(proxy, 2, [tenant('acme', deployment), fresh, stolen])
  t.match(problems, [/"acme" and "globex" both claim acme\.test/])
  const client = await lab.client(proxy)
  await client.send(get('/', `x-api-key: ${keyOf('fresh')}\r\n`).replace('acme.test', 'x.test'))
  t.equal((await readAnswer(client)).status, 401, 'not even what was right about it')
  await client.send(get())
  await (await deployment.next()).send(ok('acme'))
  t.equal((await readAnswer(client)).body, 'acme')
})

await proxyTest(
  'a key is revoked with the change, also where it was used a moment ago',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const other = await lab.deployment()
    const plain = (id: string, credentials: object[] = []): object => ({
      ...tenant(id, id === 'acme' ? deployment : other),
      credentials,
    })
    const { credentials } = tenant('acme', deployment) as { credentials: object[] }
    const proxy = await lab.proxy({ tenants: [plain('acme', credentials), plain('globex')] })
    const client = await lab.client(proxy)
    const call = get('/', `x-api-key: ${keyOf('acme')}\r\n`)
    await client.send(call)
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(ok('acme'))
    t.equal((await readAnswer(client)).body, 'acme')
    t.same(await apply(proxy, 2, [plain('acme'), plain('globex')]), [])
    await client.send(call)
    t.equal((await readAnswer(client)).status, 401)
  },
)

await proxyTest('a tenant without traffic holds no pool, and is served anew', async (t, lab) => {
  const deployment = await lab.deployment()
  const clock = new AdvancingClock()
  const proxy = await lab.proxy(
    { tenants: [tenant('acme', deployment)], timeouts: { idle: '50ms' } },
    { clock },
  )
  const call = async (): Promise<void> => {
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(ok('acme'))
    t.equal((await readAnswer(client)).body, 'acme')
    client.end()
    await client.gone()
    await upstream.until(() => upstream.ended || upstream.closed, 'the idle connection closes')
  }
  const told = (): unknown[] => proxy.reports().flatMap(({ endpoints }) => endpoints)
  await call()
  for (let report = 0; report < 10; report += 1) proxy.worker.reportNow()
  t.equal(told().length, 1, 'not for a minute')
  await eventually(() => {
    clock.advance(60_000)
    proxy.worker.reportNow()
    return told().length > 1
  })
  t.same(told(), [
    { tenant: 'acme', healthy: 1, ejected: 0 },
    { tenant: 'acme', healthy: 0, ejected: 0, gone: true },
  ])
  await call()
  proxy.worker.reportNow()
  t.match(told().slice(2, 3), [{ tenant: 'acme', healthy: 1, ejected: 0 }])
})

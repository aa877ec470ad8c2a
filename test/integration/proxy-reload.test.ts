/** Other tenants while the worker runs: who stays notices nothing, who is gone is refused, who is new is served. */
import { freePorts } from '../support/free-ports.ts'
import { codeOf, get, keyOf, ok, proxyTest, readAnswer, tenant } from '../support/proxy-lab.ts'
import { proxyConfig, type RunningProxy } from '../support/start-proxy.ts'

/** Applies these tenants, as the primary would. */
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

const asOther = (): string => get().replace('acme', 'globex')

await proxyTest(
  'a tenant that stays as it is keeps connections and calls under way',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const other = await lab.deployment()
    const acme = tenant('acme', deployment)
    const proxy = await lab.proxy({ tenants: [acme, tenant('globex', other)] })
    const client = await lab.client(proxy)
    await client.send(get('/1'))
    const upstream = await deployment.next()
    await upstream.readHead()
    t.same(
      await apply(proxy, 2, [acme, tenant('globex', other, { limits: { concurrency: 5 } })]),
      [],
    )
    await upstream.send(ok('under way'))
    t.equal((await readAnswer(client)).body, 'under way')
    await client.send(get('/2'))
    t.match(await upstream.readHead(), 'GET /2 ', 'the resting connection is used')
    await upstream.send(ok('after'))
    t.equal((await readAnswer(client)).body, 'after')
    t.equal(deployment.peers.length, 1)
  },
)

await proxyTest(
  'a tenant that is gone is refused on its open connection, and its resting ones close',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const other = await lab.deployment()
    const globex = tenant('globex', other)
    const proxy = await lab.proxy({ tenants: [tenant('acme', deployment), globex] })
    const client = await lab.client(proxy)
    await client.send(get('/', `x-api-key: ${keyOf('acme')}\r\n`))
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(ok())
    await readAnswer(client)
    t.same(await apply(proxy, 2, [globex]), [])
    await upstream.until(() => upstream.ended || upstream.closed, 'the resting connection closes')
    for (const [request, code] of [
      [get('/', `x-api-key: ${keyOf('acme')}\r\n`), 'credential_invalid'],
      [get(), 'unroutable'],
    ] as const) {
      await client.send(request)
      const { status, body } = await readAnswer(client)
      t.equal(status, 401)
      t.equal(codeOf(body), code)
    }
    await client.send(asOther())
    const next = await other.next()
    await next.readHead()
    await next.send(ok('still here'))
    t.equal((await readAnswer(client)).body, 'still here')
  },
)

await proxyTest(
  'a call of a tenant that changes goes on at the old deployment; the next goes to the new one',
  async (t, lab) => {
    const before = await lab.deployment()
    const after = await lab.deployment()
    const proxy = await lab.proxy({ tenants: [tenant('acme', before)] })
    const client = await lab.client(proxy)
    await client.send(get('/1'))
    const upstream = await before.next()
    await upstream.readHead()
    t.same(await apply(proxy, 2, [tenant('acme', after)]), [])
    await upstream.send(ok('old'))
    t.equal((await readAnswer(client)).body, 'old')
    await upstream.until(() => upstream.ended || upstream.closed, 'its connection is not kept')
    await client.send(get('/2'))
    const next = await after.next()
    t.match(await next.readHead(), 'GET /2 ')
    await next.send(ok('new'))
    t.equal((await readAnswer(client)).body, 'new')
  },
)

await proxyTest('a disabled tenant is refused on its open connection', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({ tenants: [tenant('acme', deployment)] })
  const client = await lab.client(proxy)
  await client.send(get())
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send(ok())
  await readAnswer(client)
  await apply(proxy, 2, [tenant('acme', deployment, { disabled: true })])
  await client.send(get())
  const { status, body } = await readAnswer(client)
  t.equal(status, 403)
  t.equal(codeOf(body), 'tenant_disabled')
})

await proxyTest(
  'the address of a new tenant is bound, that of one that is gone is not accepted any more',
  async (t, lab) => {
    const one = await lab.deployment()
    const two = await lab.deployment()
    const acme = tenant('acme', one, { address: '127.0.2.1' })
    const globex = tenant('globex', two, { address: '127.0.2.2' })
    // A port that is the same on both addresses.
    const [port = 0] = await freePorts(1)
    const proxy = await lab.proxy({
      listeners: [{ name: 'own', mode: 'private', port, protocol: 'tcp' }],
      tenants: [acme],
    })
    const first = await lab.clientAt(port, '127.0.2.1')
    await first.send('one')
    const upstream = await one.next()
    t.equal(await upstream.readBytes(3), 'one')
    await t.rejects(lab.clientAt(port, '127.0.2.2'), { code: 'ECONNREFUSED' })
    t.same(await apply(proxy, 2, [acme, globex]), [])
    const second = await lab.clientAt(port, '127.0.2.2')
    await second.send('two')
    t.equal(await (await two.next()).readBytes(3), 'two')
    await first.send('more')
    t.equal(await upstream.readBytes(4), 'more', 'the tunnel of the first notices nothing')
    t.same(await apply(proxy, 3, [globex]), [])
    await t.rejects(lab.clientAt(port, '127.0.2.1'), { code: 'ECONNREFUSED' })
  },
)

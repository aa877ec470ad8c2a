/** Endpoints with names: found by DNS, followed as they lead elsewhere, verified by their names all the same. */
import type { TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import { DnsLookup } from '../../src/runtime/names/dns-lookup.ts'
import { TestAuthority } from '../support/certificates.ts'
import { type DnsServer, dnsServer, type Zone } from '../support/dns-server.ts'
import { answering } from '../support/manual-deployment.ts'
import {
  codeOf,
  eventually,
  fieldsOf,
  get,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

interface World {
  readonly proxy: RunningProxy
  readonly dns: DnsServer
}

/** A proxy that asks a DNS server of the test, in front of `deployment`. */
async function world(
  t: Test,
  lab: ProxyLab,
  zone: Zone,
  deployment: Record<string, unknown>,
): Promise<World> {
  const dns = await dnsServer(t, zone)
  dns.ttl = 1
  const acme = tenant('acme', await lab.deployment(), { deployment })
  const lookup = new DnsLookup({ servers: [dns.address], timeoutMs: 200 })
  return { proxy: await lab.proxy({ tenants: [acme] }, { lookup }), dns }
}

async function call(lab: ProxyLab, proxy: RunningProxy): Promise<string> {
  const client = await lab.client(proxy)
  await client.send(get())
  const { status, body } = await readAnswer(client)
  client.reset()
  return status === 200 ? body : `${status} ${codeOf(body)}`
}

await proxyTest(
  'the first call waits until the name is found, and keeps the name',
  async (t, lab) => {
    const deployment = await lab.deployment({ host: '127.0.0.2' })
    const authority = `web.test:${deployment.port}`
    const { proxy, dns } = await world(
      t,
      lab,
      { 'web.test': ['127.0.0.2'] },
      { endpoints: [`http://${authority}`] },
    )
    t.same(dns.questions, [], 'without traffic nobody asks')
    const client = await lab.client(proxy)
    await client.send('GET / HTTP/1.0\r\nx-api-key: none\r\n\r\n')
    t.equal((await readAnswer(client)).status, 401)
    t.same(dns.questions, [])
    const other = await lab.client(proxy)
    await other.send(get())
    const upstream = await deployment.next()
    t.same(fieldsOf(await upstream.readHead(), 'host'), ['acme.test'])
    await upstream.send(ok('found'))
    t.equal((await readAnswer(other)).body, 'found')
    t.same(dns.questions, ['A web.test'])
  },
)

await proxyTest(
  'a name that leads elsewhere takes calls along; the old address ends what it has',
  async (t, lab) => {
    const old = await lab.deployment({ host: '127.0.0.2' })
    const { port } = old
    const { proxy, dns } = await world(
      t,
      lab,
      { 'web.test': ['127.0.0.2'] },
      { endpoints: [`http://web.test:${port}`] },
    )
    const idle = await lab.client(proxy)
    await idle.send(get())
    const resting = await old.next()
    await resting.readHead()
    // One call is under way, and another has left an idle connection.
    const long = await lab.client(proxy)
    await long.send(get('/long'))
    const busy = await old.next()
    await busy.readHead()
    await resting.send(ok())
    await readAnswer(idle)
    await lab.deployment({ host: '127.0.0.3', port, serve: answering(ok('new')) })
    dns.zone['web.test'] = ['127.0.0.3']
    await resting.until(() => resting.ended || resting.closed, 'the end of the idle connection')
    t.equal(await call(lab, proxy), 'new')
    await busy.send(ok('done'))
    t.equal((await readAnswer(long)).body, 'done')
    await busy.until(() => busy.ended || busy.closed, 'its end, once the call is over')
  },
)

await proxyTest('each address of a name is an endpoint', async (t, lab) => {
  const one = await lab.deployment({ host: '127.0.0.2', serve: answering(ok('one')) })
  const { port } = one
  await lab.deployment({ host: '127.0.0.3', port, serve: answering(ok('two')) })
  const { proxy } = await world(
    t,
    lab,
    { 'web.test': ['127.0.0.2', '127.0.0.3', '127.0.0.4'] },
    { endpoints: [`http://web.test:${port}`] },
  )
  const bodies = new Set<string>()
  for (let index = 0; index < 30; index++) bodies.add(await call(lab, proxy))
  t.same([...bodies].toSorted(), ['one', 'two'], 'where one does not serve another does')
  proxy.worker.reportNow()
  const last = proxy
    .reports()
    .flatMap(({ endpoints }) => endpoints)
    .at(-1)
  t.equal((last?.healthy ?? 0) + (last?.ejected ?? 0), 3)
})

await proxyTest('while DNS is down, calls go where they went', async (t, lab) => {
  const deployment = await lab.deployment({ host: '127.0.0.2', serve: answering(ok('still')) })
  const { proxy, dns } = await world(
    t,
    lab,
    { 'web.test': ['127.0.0.2'] },
    { endpoints: [`http://web.test:${deployment.port}`] },
  )
  t.equal(await call(lab, proxy), 'still')
  dns.zone['web.test'] = 'broken'
  const asked = dns.questions.length
  await eventually(() => dns.questions.length >= asked + 3)
  t.ok(dns.questions.length >= asked + 3)
  t.equal(await call(lab, proxy), 'still')
})

await proxyTest(
  'a name that leads nowhere is 503, at once from the second call on, until it leads somewhere',
  async (t, lab) => {
    const deployment = await lab.deployment({ host: '127.0.0.2', serve: answering(ok('found')) })
    const { proxy, dns } = await world(
      t,
      lab,
      {},
      { endpoints: [`http://web.test:${deployment.port}`] },
    )
    t.equal(await call(lab, proxy), '503 upstream_unresolved')
    const asked = dns.questions.length
    t.equal(await call(lab, proxy), '503 upstream_unresolved')
    t.equal(dns.questions.length, asked, 'no question a call')
    dns.zone['web.test'] = ['127.0.0.2']
    await eventually(() => dns.questions.length > asked)
    let body = ''
    for (let index = 0; index < 100 && body !== 'found'; index++) body = await call(lab, proxy)
    t.equal(body, 'found')
    t.equal(proxy.limited().upstream_connections, undefined)
  },
)

await proxyTest(
  'a tunnel waits for the name too, and is closed where there is none',
  async (t, lab) => {
    const deployment = await lab.deployment({ host: '127.0.0.2' })
    const dns = await dnsServer(t, { 'web.test': ['127.0.0.2'] })
    const lookup = new DnsLookup({ servers: [dns.address], timeoutMs: 200 })
    const at = (id: string, address: string, name: string): Record<string, unknown> =>
      tenant(id, deployment, {
        address,
        deployment: { endpoints: [`tcp://${name}:${deployment.port}`] },
      })
    const proxy = await lab.proxy(
      {
        listeners: [{ name: 'tcp', mode: 'private', port: 0, protocol: 'tcp' }],
        tenants: [at('acme', '127.0.0.1', 'web.test'), at('globex', '127.0.1.2', 'none.test')],
      },
      { lookup },
    )
    const portOf = (tenantId: string): number =>
      Number(
        proxy.bound
          .find(bound => bound.tenant === tenantId)
          ?.address.split(':')
          .at(-1),
      )
    const client = await lab.clientAt(portOf('acme'), '127.0.0.1')
    await client.send('hello')
    t.equal(await (await deployment.next()).readBytes(5), 'hello')
    const other = await lab.clientAt(portOf('globex'), '127.0.1.2')
    t.equal(await other.readToEnd(), '')
    t.equal(proxy.rejected('upstream_unresolved'), 1)
  },
)

await proxyTest(
  'over TLS the certificate must have the name, whatever the address',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const serverNames: (string | false | null)[] = []
    const deployment = await lab.deployment({
      host: '127.0.0.2',
      tls: await ca.server(['web.test']),
      serve: peer => {
        serverNames.push((peer.socket as TLSSocket).servername ?? null)
        return answering(ok('verified'))(peer)
      },
    })
    const zone = { 'web.test': ['127.0.0.2'], 'other.test': ['127.0.0.2'] }
    const to = (name: string): Promise<World> =>
      world(t, lab, zone, {
        endpoints: [`https://${name}:${deployment.port}`],
        tls: { ca: ca.certPath },
        health: { path: '/', interval: '50ms' },
      })
    const { proxy } = await to('web.test')
    t.equal(await call(lab, proxy), 'verified')
    await eventually(() => serverNames.length >= 2)
    t.ok(serverNames.length >= 2 && serverNames.every(name => name === 'web.test'), 'by checks too')
    t.equal(await call(lab, (await to('other.test')).proxy), '502 upstream_tls')
  },
)

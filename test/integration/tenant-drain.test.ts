/**
 * A tenant that an operator drains: nothing new of it is taken, what is under way has its time, and no other tenant notices,
 * be it on the same connection.
 */
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

const HOUR = 3_600_000
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: x\r\n\r\n'
const OF_OTHER = 'GET / HTTP/1.1\r\nhost: other.test\r\n\r\n'

await proxyTest(
  'drain of a tenant: the call under way ends as it would, with connection: close, and the next one is refused',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    proxy.worker.drainTenant({ tenant: 'acme', callsMs: HOUR, tunnelsMs: HOUR })
    const late = await lab.client(proxy)
    await late.send(get())
    const refused = await readAnswer(late)
    t.equal(refused.status, 503)
    t.equal(codeOf(refused.body), 'tenant_draining')
    t.same(fieldsOf(refused.head, 'connection'), ['close'])
    t.same(fieldsOf(refused.head, 'retry-after'), ['1'])
    await late.until(() => late.ended, 'the end behind the refusal')
    await upstream.send(ok('whole'))
    const answer = await readAnswer(client)
    t.match(answer, { status: 200, body: 'whole' })
    t.same(fieldsOf(answer.head, 'connection'), ['close'])
    await client.until(() => client.ended, 'the end behind the answer')
    t.equal(proxy.rejected('tenant_draining'), 1)
    for (const peer of [client, late]) peer.end()
  },
)

await proxyTest(
  'drain of a tenant: a connection that rests ends, and those of another tenant stay',
  async (t, lab) => {
    const acme = await lab.deployment({ serve: answering(ok('acme')) })
    const other = await lab.deployment({ serve: answering(ok('other')) })
    const proxy = await lab.proxy({
      tenants: [tenant('acme', acme), tenant('other', other)],
      drain: { idle: '100ms' },
    })
    const [client, bystander] = [await lab.client(proxy), await lab.client(proxy)]
    await client.send(get())
    await readAnswer(client)
    await bystander.send(OF_OTHER)
    await readAnswer(bystander)
    proxy.worker.drainTenant({ tenant: 'acme', callsMs: HOUR, tunnelsMs: HOUR })
    await client.until(() => client.ended || client.closed, 'the end of what rests')
    await bystander.send(OF_OTHER)
    const answer = await readAnswer(bystander)
    t.match(answer, { status: 200, body: 'other' })
    t.same(fieldsOf(answer.head, 'connection'), [])
  },
)

await proxyTest(
  'drain of a tenant: a call that does not end in its time is ended, with a code of its own',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const [silent, begun] = [await lab.client(proxy), await lab.client(proxy)]
    await silent.send(get())
    await (await deployment.next()).readHead()
    await begun.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun')
    await begun.read('begun')
    proxy.worker.drainTenant({ tenant: 'acme', callsMs: 50, tunnelsMs: 50 })
    const answer = await readAnswer(silent)
    t.equal(answer.status, 503)
    t.equal(codeOf(answer.body), 'tenant_draining')
    await begun.gone()
    t.notOk(begun.ended, 'half an answer does not look whole: it is a reset')
    t.equal(proxy.totals().calls, 2, 'both are counted')
    silent.end()
  },
)

await proxyTest('drain of a tenant: tunnels have a time of their own', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({
    tenants: [
      tenant('acme', deployment, {
        address: '127.0.0.1',
        deployment: { endpoints: [`tcp://127.0.0.1:${deployment.port}`] },
      }),
    ],
    listeners: [{ name: 'public', mode: 'private', port: 0, bind: 'wildcard', protocol: 'tcp' }],
  })
  const client = await lab.client(proxy)
  await client.send('one')
  const upstream = await deployment.next()
  await upstream.read('one')
  proxy.worker.drainTenant({ tenant: 'acme', callsMs: 1, tunnelsMs: 200 })
  const late = await lab.client(proxy)
  await late.until(() => late.ended || late.closed, 'the end of a new one')
  t.equal(proxy.rejected('tenant_draining'), 1, 'a new one is refused')
  await client.send('two')
  await upstream.read('two')
  t.notOk(client.closed, 'what is open goes on')
  await client.gone()
  t.equal(proxy.totals().ingress, 6)
})

await proxyTest(
  'drain of a tenant: a call that becomes a tunnel when the time of tunnels is over has the time of calls',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const [early, late] = [await lab.client(proxy), await lab.client(proxy)]
    const upstreams: Peer[] = []
    for (const client of [early, late]) {
      await client.send(get('/', 'connection: Upgrade\r\nupgrade: x\r\n'))
      const upstream = await deployment.next()
      await upstream.readHead()
      upstreams.push(upstream)
    }
    await upstreams[0]?.send(SWITCH)
    await early.readHead()
    proxy.worker.drainTenant({ tenant: 'acme', callsMs: 500, tunnelsMs: 0 })
    await early.gone()
    await upstreams[1]?.send(SWITCH)
    await late.readHead()
    await late.gone()
    t.equal(proxy.totals().calls, 2)
  },
)

await http2Test(
  'drain of a tenant: on a connection that many tenants share only its own streams end',
  async (t, lab, http2) => {
    const [acme, other] = [await http2.deployment(), await http2.deployment()]
    const unused = await lab.deployment()
    const proxy = await lab.proxy({
      tenants: [
        tenant('acme', unused, { deployment: { endpoints: [acme.url] } }),
        tenant('other', unused, { deployment: { endpoints: [other.url] } }),
      ],
    })
    const client = await http2.client(proxy)
    const ofOther = request(client, { authority: 'other.test' })
    await other.came(1)
    const ofAcme = request(client)
    await acme.came(1)
    proxy.worker.drainTenant({ tenant: 'acme', callsMs: 50, tunnelsMs: 50 })
    t.match(await outcomeOf(ofAcme), /^503 .*tenant_draining/)
    const [held] = other.streams
    if (held !== undefined) respond(held.stream, 'of the other')
    t.equal(await outcomeOf(ofOther), '200 of the other')
    t.same(client.goneAways, [], 'the connection is counted for the other tenant, and stays')
  },
)

await http2Test(
  'drain of a tenant: its connection of HTTP/2 gets GOAWAY, and ends behind its streams',
  async (t, lab, http2) => {
    const acme = await http2.deployment()
    const unused = await lab.deployment()
    const proxy = await lab.proxy({
      tenants: [tenant('acme', unused, { deployment: { endpoints: [acme.url] } })],
    })
    const client = await http2.client(proxy)
    const running = request(client)
    await acme.came(1)
    proxy.worker.drainTenant({ tenant: 'acme', callsMs: HOUR, tunnelsMs: HOUR })
    await client.until(() => client.goneAways.length > 0)
    const [held] = acme.streams
    if (held !== undefined) respond(held.stream, 'whole')
    t.equal(await outcomeOf(running), '200 whole')
    await client.until(() => client.over)
  },
)

await proxyTest(
  'a drained tenant stays so when its configuration changes, and is served again when somebody says so',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('ok')) })
    const proxy = await lab.proxy({ tenants: [tenant('acme', deployment)] })
    const status = async (lines = ''): Promise<number> => {
      const client = await lab.client(proxy)
      await client.send(get('/', lines))
      const answer = await readAnswer(client)
      client.end()
      return answer.status
    }
    t.equal(await status(), 200)
    proxy.worker.drainTenant({ tenant: 'acme', callsMs: 0, tunnelsMs: 0 })
    t.equal(await status(), 503)
    t.equal(await status(`x-api-key: ${keyOf('acme')}\r\n`), 503, 'by whatever evidence')
    const changed = { ...tenant('acme', deployment), hosts: ['acme.test', 'more.test'] }
    const { configSchema } = await import('../../src/config/schema.ts')
    const config = configSchema.parse({
      listeners: [{ name: 'a', mode: 'shared', address: '127.0.0.1:0' }],
      tenants: [changed],
      mixer: { token: 'a token for tests only' },
    })
    t.same(await proxy.change(config.tenants, config.limits, 2), [])
    t.equal(await status(), 503, 'another object, the same tenant')
    proxy.worker.resumeTenant('acme')
    t.equal(await status(), 200)
  },
)

await proxyTest(
  'when a tenant is drained, nothing of it is left at its deployment',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('ok')) })
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    await readAnswer(client)
    t.equal(deployment.peers.length, 1)
    proxy.worker.drainTenant({ tenant: 'acme', callsMs: 20, tunnelsMs: 20 })
    await eventually(() => deployment.peers.every(peer => peer.ended || peer.closed))
    t.ok(deployment.peers.every(peer => peer.ended || peer.closed))
  },
)

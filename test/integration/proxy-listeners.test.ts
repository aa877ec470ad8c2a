/** Other listeners while the worker runs: what is new is listened at, what is gone ends politely, the rest notices nothing. */
import net from 'node:net'
import { TestAuthority } from '../support/certificates.ts'
import { freePorts } from '../support/free-ports.ts'
import { answering } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  eventually,
  get,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const UPGRADE = 'connection: Upgrade\r\nupgrade: x\r\n'
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: x\r\n\r\n'

const shared = (name: string, port: number, more: object = {}): object => ({
  name,
  mode: 'shared',
  address: `127.0.0.1:${port}`,
  ...more,
})

interface Running {
  readonly proxy: RunningProxy
  /** Asks for these listeners, and has what is left behind end; throws where they cannot be. */
  readonly listen: (...listeners: object[]) => Promise<void>
}

/** A proxy with these listeners before a deployment that answers at once. */
async function running(
  lab: ProxyLab,
  listeners: object[],
  input: Record<string, unknown> = {},
): Promise<Running> {
  const deployment = await lab.deployment({ serve: answering(ok('ok')) })
  const tenants = [tenant('acme', deployment, { address: '127.0.0.1' })]
  const proxy = await lab.proxy({ listeners, tenants, drain: { idle: '100ms' }, ...input })
  let generation = 1
  return {
    proxy,
    listen: async (...wanted) => {
      generation += 1
      const problems = await proxy.listen(wanted, generation)
      if (problems.length > 0) throw new Error(problems.join('\n'))
      proxy.worker.settleListeners()
    },
  }
}

async function call(client: Peer): Promise<string> {
  await client.send(get())
  return (await readAnswer(client)).body
}

await proxyTest('a listener is added and removed, and others notice nothing', async (t, lab) => {
  const [one = 0, two = 0] = await freePorts(2)
  const { proxy, listen } = await running(lab, [shared('one', one)])
  const client = await lab.clientAt(one, '127.0.0.1')
  t.equal(await call(client), 'ok')
  await listen(shared('one', one), shared('two', two))
  const second = await lab.clientAt(two, '127.0.0.1')
  t.equal(await call(second), 'ok')
  t.same(
    proxy.bound.map(({ listener }) => listener),
    ['one', 'two'],
  )
  await listen(shared('one', one))
  await second.until(() => second.ended, 'an idle connection of what is gone ends')
  await t.rejects(lab.clientAt(two, '127.0.0.1'), { code: 'ECONNREFUSED' })
  t.equal(await call(client), 'ok', 'on its connection of before')
  await listen(shared('one', one), shared('two', two))
  t.equal(await call(await lab.clientAt(two, '127.0.0.1')), 'ok', 'it may come back')
  const byListener = (name: string): number =>
    proxy.totals(({ listener, operation }) => listener === name && operation === 'other').calls
  t.same([byListener('one'), byListener('two')], [2, 2], 'usage knows which is which')
})

await proxyTest('a listener that moves keeps its connections', async (t, lab) => {
  const [one = 0, two = 0] = await freePorts(2)
  const { listen } = await running(lab, [shared('public', one)])
  const client = await lab.clientAt(one, '127.0.0.1')
  t.equal(await call(client), 'ok')
  await listen(shared('public', two))
  t.equal(await call(client), 'ok')
  t.equal(await call(await lab.clientAt(two, '127.0.0.1')), 'ok')
  await t.rejects(lab.clientAt(one, '127.0.0.1'), { code: 'ECONNREFUSED' })
})

await proxyTest(
  'a call under way on a listener that is gone is answered, and is the last one',
  async (t, lab) => {
    const [one = 0, two = 0] = await freePorts(2)
    const deployment = await lab.deployment()
    const { proxy, listen } = await running(lab, [shared('one', one), shared('two', two)], {
      tenants: [tenant('acme', deployment)],
    })
    const client = await lab.clientAt(one, '127.0.0.1')
    await client.send(get('/1'))
    const upstream = await deployment.next()
    await upstream.readHead()
    await listen(shared('two', two))
    await upstream.send(ok('under way'))
    const { body, head } = await readAnswer(client)
    t.equal(body, 'under way')
    t.match(head.toLowerCase(), 'connection: close')
    await client.until(() => client.ended, 'the connection ends behind it')
    client.end()
    await eventually(() => proxy.worker.openConnections === 0)
  },
)

await proxyTest(
  'what does not end in the time of a drain is cut, of that listener alone',
  async (t, lab) => {
    const [one = 0, two = 0] = await freePorts(2)
    const deployment = await lab.deployment()
    const listeners = [
      { name: 'one', mode: 'private', port: one, protocol: 'tcp' },
      { name: 'two', mode: 'private', port: two, protocol: 'tcp' },
    ]
    const { listen } = await running(lab, listeners, {
      tenants: [tenant('acme', deployment, { address: '127.0.0.1' })],
      timeouts: { drain: '200ms' },
    })
    const [leaving, staying] = [
      await lab.clientAt(one, '127.0.0.1'),
      await lab.clientAt(two, '127.0.0.1'),
    ]
    const upstreams: Peer[] = []
    for (const tunnel of [leaving, staying]) {
      await tunnel.send('hello')
      const upstream = await deployment.next()
      await upstream.readBytes(5)
      upstreams.push(upstream)
    }
    await listen(...listeners.slice(1))
    await upstreams[0]?.send('still there')
    t.equal(await leaving.readBytes(11), 'still there', 'it has its time')
    await leaving.gone()
    await upstreams[1]?.send('still there')
    t.equal(await staying.readBytes(11), 'still there')
  },
)

await proxyTest(
  'a call that becomes a tunnel when the time of tunnels is over has the time of calls',
  async (t, lab) => {
    const [one = 0, two = 0] = await freePorts(2)
    const deployment = await lab.deployment()
    const { listen } = await running(lab, [shared('one', one), shared('two', two)], {
      tenants: [tenant('acme', deployment)],
      timeouts: { drain: '600ms' },
      drain: { tunnels: '50ms' },
    })
    const [early, late] = [
      await lab.clientAt(one, '127.0.0.1'),
      await lab.clientAt(one, '127.0.0.1'),
    ]
    const upstreams: Peer[] = []
    for (const client of [early, late]) {
      await client.send(get('/', UPGRADE))
      const upstream = await deployment.next()
      await upstream.readHead()
      upstreams.push(upstream)
    }
    await upstreams[0]?.send(SWITCH)
    await early.readHead()
    await listen(shared('two', two))
    await early.gone()
    await upstreams[1]?.send(SWITCH)
    await late.readHead()
    t.notOk(late.closed, 'it is a tunnel')
    await late.gone()
  },
)

await proxyTest('an address that cannot be bound changes nothing', async (t, lab) => {
  const [one = 0, two = 0, three = 0] = await freePorts(3)
  const { proxy, listen } = await running(lab, [shared('one', one), shared('two', two)])
  const client = await lab.clientAt(one, '127.0.0.1')
  const taken = net.createServer().listen(0, '127.0.0.1')
  t.teardown(() => taken.close())
  await new Promise(resolve => taken.once('listening', resolve))
  const { port } = taken.address() as net.AddressInfo
  await t.rejects(
    listen(shared('two', two, { protocol: 'http' }), shared('new', three), shared('bad', port)),
    { message: /^listener "bad": 127\.0\.0\.1:\d+: the address is already in use .*EADDRINUSE/ },
  )
  t.equal(await call(client), 'ok')
  t.equal(await call(await lab.clientAt(one, '127.0.0.1')), 'ok')
  await t.rejects(lab.clientAt(three, '127.0.0.1'), { code: 'ECONNREFUSED' })
  proxy.worker.settleListeners()
  t.equal(await call(await lab.clientAt(one, '127.0.0.1')), 'ok', 'nothing has been left behind')
})

await proxyTest('a change that is taken back has ended nothing', async (t, lab) => {
  const [one = 0, two = 0, three = 0] = await freePorts(3)
  const before = [shared('one', one), shared('two', two)]
  const { proxy } = await running(lab, before)
  const clients = [await lab.clientAt(one, '127.0.0.1'), await lab.clientAt(two, '127.0.0.1')]
  for (const client of clients) t.equal(await call(client), 'ok')
  const between = [shared('one', one, { protocol: 'http' }), shared('three', three)]
  t.same(await proxy.listen(between, 2), [])
  t.equal(await call(await lab.clientAt(two, '127.0.0.1')), 'ok', 'it still accepts')
  t.same(await proxy.listen(before, 3), [])
  proxy.worker.settleListeners()
  for (const client of clients) t.equal(await call(client), 'ok')
  t.equal(await call(await lab.clientAt(two, '127.0.0.1')), 'ok')
  await t.rejects(lab.clientAt(three, '127.0.0.1'), { code: 'ECONNREFUSED' })
})

await proxyTest('a listener of ours that is in the way is named', async (t, lab) => {
  const [one = 0] = await freePorts(1)
  const { listen } = await running(lab, [shared('narrow', one)])
  const wide = { name: 'wide', mode: 'shared', address: `0.0.0.0:${one}` }
  await t.rejects(listen(wide), { message: /the listener "narrow" still has this port/ })
  t.equal(await call(await lab.clientAt(one, '127.0.0.1')), 'ok')
})

await proxyTest(
  'TLS is switched on and off at the same address, and no connection is refused meanwhile',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const { certPath: cert, keyPath: key } = await ca.server(['acme.test'])
    const [port = 0] = await freePorts(1)
    const { proxy, listen } = await running(lab, [shared('public', port)])
    const plain = await lab.clientAt(port, '127.0.0.1')
    t.equal(await call(plain), 'ok')
    await listen(shared('public', port, { tls: { certificates: [{ cert, key }] } }))
    await plain.until(() => plain.ended, 'who came in the clear is asked to come again')
    const secure = await lab.tlsClient(proxy, { ca: ca.cert, servername: 'acme.test' })
    t.equal(await call(secure), 'ok')
    await listen(shared('public', port))
    t.equal(await call(await lab.clientAt(port, '127.0.0.1')), 'ok')
  },
)

await proxyTest('a private port is added for all tenants, and removed', async (t, lab) => {
  const [one = 0, two = 0] = await freePorts(2)
  const at = (name: string, port: number): object => ({ name, mode: 'private', port })
  const { proxy, listen } = await running(lab, [at('one', one)])
  const client = await lab.clientAt(one, '127.0.0.1')
  t.equal(await call(client), 'ok')
  await listen(at('one', one), at('two', two))
  t.equal(await call(await lab.clientAt(two, '127.0.0.1')), 'ok')
  t.match(proxy.bound, [{ tenant: 'acme' }, { tenant: 'acme' }])
  await listen(at('two', two))
  await t.rejects(lab.clientAt(one, '127.0.0.1'), { code: 'ECONNREFUSED' })
  t.equal(await call(await lab.clientAt(two, '127.0.0.1')), 'ok')
})

await proxyTest(
  'a client that has just come to a listener that goes gets its call',
  async (t, lab) => {
    const [one = 0, two = 0] = await freePorts(2)
    const { proxy, listen } = await running(lab, [shared('one', one), shared('two', two)])
    const client = await lab.clientAt(one, '127.0.0.1')
    await client.send('GET / HT')
    await eventually(() => proxy.worker.openConnections === 1)
    await listen(shared('two', two))
    await client.send('TP/1.1\r\nhost: acme.test\r\n\r\n')
    t.equal((await readAnswer(client)).body, 'ok')
    await client.until(() => client.ended, 'its only one')
  },
)

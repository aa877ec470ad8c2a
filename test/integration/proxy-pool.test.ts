/** The cap on connections to a deployment: who waits, in which order, for how long, and what becomes of who leaves. */

import type { ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  get,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

interface World {
  readonly deployment: ManualDeployment
  readonly proxy: RunningProxy
}

/** A tenant `acme` with one connection to its deployment, unless `policy` says otherwise; listeners `public` and `tcp`. */
async function world(lab: ProxyLab, policy: Record<string, unknown> = {}): Promise<World> {
  const deployment = await lab.deployment()
  const endpoints = [`http://127.0.0.1:${deployment.port}`]
  const proxy = await lab.proxy({
    listeners: [
      { name: 'public', mode: 'shared', address: '127.0.0.1:0' },
      { name: 'tcp', mode: 'private', port: 0, protocol: 'tcp' },
    ],
    tenants: [
      tenant('acme', deployment, {
        address: '127.0.0.1',
        deployment: { endpoints, maxConnections: 1, ...policy },
      }),
    ],
  })
  return { deployment, proxy }
}

/** A client that has asked for `target`. */
async function caller(lab: ProxyLab, proxy: RunningProxy, target: string): Promise<Peer> {
  const client = await lab.client(proxy)
  await client.send(get(target))
  return client
}

/** Clients that have asked, one after the other, and wait. */
async function waiting(lab: ProxyLab, proxy: RunningProxy, ...targets: string[]): Promise<Peer[]> {
  const clients: Peer[] = []
  const before = proxy.limited().upstream_connections ?? 0
  for (const target of targets) {
    clients.push(await caller(lab, proxy, target))
    await eventually(() => proxy.limited().upstream_connections === before + clients.length)
  }
  return clients
}

await proxyTest(
  'calls beyond the cap wait, and are served in the order they came',
  async (t, lab) => {
    const { deployment, proxy } = await world(lab)
    const first = await caller(lab, proxy, '/1')
    const upstream = await deployment.next()
    t.match(await upstream.readHead(), /^GET \/1 /)
    const others = await waiting(lab, proxy, '/2', '/3', '/4')
    for (const [index, client] of [first, ...others].entries()) {
      await upstream.send(ok(`answer ${index + 1}`))
      t.equal((await readAnswer(client)).body, `answer ${index + 1}`)
      if (index < 3) t.match(await upstream.readHead(), new RegExp(`^GET /${index + 2} `))
    }
    t.equal(deployment.peers.length, 1, 'over one connection')
    t.same(proxy.limited(), { upstream_connections: 3 })
    t.equal(proxy.totals().calls, 4)
  },
)

await proxyTest(
  'where a connection closes, a new one is made for the first who waits',
  async (t, lab) => {
    const { deployment, proxy } = await world(lab)
    const first = await caller(lab, proxy, '/1')
    const upstream = await deployment.next()
    await upstream.readHead()
    const [second] = await waiting(lab, proxy, '/2')
    await upstream.send(ok('last', 'connection: close\r\n'))
    t.equal((await readAnswer(first)).body, 'last')
    const next = await deployment.next()
    t.match(await next.readHead(), /^GET \/2 /)
    await next.send(ok('next'))
    t.equal((await readAnswer(second as Peer)).body, 'next')
  },
)

await proxyTest(
  'a queue that is full refuses at once, and the deployment sees nothing of it',
  async (t, lab) => {
    const { deployment, proxy } = await world(lab, { queue: { calls: 1 } })
    const first = await caller(lab, proxy, '/1')
    const upstream = await deployment.next()
    await upstream.readHead()
    const [second] = await waiting(lab, proxy, '/2')
    const third = await caller(lab, proxy, '/3')
    const { status, body, head } = await readAnswer(third)
    t.equal(status, 503)
    t.equal(codeOf(body), 'upstream_queue_full')
    t.match(head, /\r\nretry-after: \d/)
    t.equal(proxy.limited().upstream_queue, 1)
    await upstream.send(ok('1'))
    t.equal((await readAnswer(first)).body, '1')
    t.match(await upstream.readHead(), /^GET \/2 /)
    await upstream.send(ok('2'))
    t.equal((await readAnswer(second as Peer)).body, '2')
    await third.send(get('/3-again'))
    t.match(await upstream.readHead(), /^GET \/3-again /, 'its connection goes on')
    await upstream.send(ok('3'))
    t.equal((await readAnswer(third)).body, '3')
  },
)

await proxyTest('who waits for longer than the queue allows is refused', async (t, lab) => {
  const { deployment, proxy } = await world(lab, { queue: { timeout: '100ms' } })
  const first = await caller(lab, proxy, '/1')
  const upstream = await deployment.next()
  await upstream.readHead()
  const [second, third] = await waiting(lab, proxy, '/2', '/3')
  for (const client of [second, third]) {
    const { status, body } = await readAnswer(client as Peer)
    t.equal(status, 503)
    t.equal(codeOf(body), 'upstream_queue_timeout')
  }
  t.equal(proxy.limited().upstream_queue_timeout, 2)
  t.equal(proxy.rejected('upstream_queue_timeout'), 2)
  await upstream.send(ok('1'))
  t.equal((await readAnswer(first)).body, '1')
  t.equal(proxy.totals().calls, 1, 'what no deployment saw is no usage')
})

await proxyTest('a caller that goes away leaves the queue', async (t, lab) => {
  const { deployment, proxy } = await world(lab)
  const first = await caller(lab, proxy, '/1')
  const upstream = await deployment.next()
  await upstream.readHead()
  const [second, third] = await waiting(lab, proxy, '/2', '/3')
  ;(second as Peer).reset()
  await eventually(() => proxy.rejected('client_closed') === 1)
  await upstream.send(ok('1'))
  t.equal((await readAnswer(first)).body, '1')
  t.match(await upstream.readHead(), /^GET \/3 /)
  await upstream.send(ok('3'))
  t.equal((await readAnswer(third as Peer)).body, '3')
})

await proxyTest('a client that has its answer does not overtake those who wait', async (t, lab) => {
  const { deployment, proxy } = await world(lab)
  const first = await lab.client(proxy)
  await first.send(get('/1') + get('/1-next'))
  const upstream = await deployment.next()
  await upstream.readHead()
  const [second] = await waiting(lab, proxy, '/2')
  await upstream.send(ok('1'))
  t.equal((await readAnswer(first)).body, '1')
  t.match(await upstream.readHead(), /^GET \/2 /)
  await upstream.send(ok('2'))
  t.equal((await readAnswer(second as Peer)).body, '2')
  t.match(await upstream.readHead(), /^GET \/1-next /)
  await upstream.send(ok('1-next'))
  t.equal((await readAnswer(first)).body, '1-next')
})

await proxyTest('a call that waited is sent with its body', async (t, lab) => {
  const { deployment, proxy } = await world(lab)
  const first = await caller(lab, proxy, '/1')
  const upstream = await deployment.next()
  await upstream.readHead()
  const second = await lab.client(proxy)
  await second.send('POST /2 HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 10\r\n\r\nfirst')
  await eventually(() => proxy.limited().upstream_connections === 1)
  await upstream.send(ok('1'))
  t.equal((await readAnswer(first)).body, '1')
  await upstream.readHead()
  t.equal(await upstream.readBytes(5), 'first')
  await second.send('later')
  t.equal(await upstream.readBytes(5), 'later')
  await upstream.send(ok('2'))
  t.equal((await readAnswer(second)).body, '2')
})

await proxyTest('tunnels count as calls do, and wait as they do', async (t, lab) => {
  const { deployment, proxy } = await world(lab)
  const first = await lab.client(proxy, 'tcp')
  await first.send('1')
  const one = await deployment.next()
  await one.readBytes(1)
  const second = await lab.client(proxy, 'tcp')
  await second.send('2')
  await eventually(() => proxy.limited().upstream_connections === 1)
  const [call] = await waiting(lab, proxy, '/call')
  first.reset()
  const two = await deployment.next()
  t.equal(await two.readBytes(1), '2', 'what was sent while it waited')
  await two.send('answer')
  t.equal(await second.readBytes(6), 'answer')
  second.reset()
  const three = await deployment.next()
  t.match(await three.readHead(), /^GET \/call /)
  await three.send(ok('call'))
  t.equal((await readAnswer(call as Peer)).body, 'call')
})

await proxyTest('a tunnel that finds the queue full is closed', async (t, lab) => {
  const { deployment, proxy } = await world(lab, { queue: { calls: 0 } })
  await caller(lab, proxy, '/1')
  await (await deployment.next()).readHead()
  const client = await lab.client(proxy, 'tcp')
  t.equal(await client.readToEnd(), '')
  t.equal(proxy.rejected('upstream_queue_full'), 1)
})

await proxyTest('an idle connection makes room for a tunnel', async (t, lab) => {
  const { deployment, proxy } = await world(lab, { queue: { calls: 0 } })
  const client = await caller(lab, proxy, '/1')
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send(ok())
  await readAnswer(client)
  const other = await lab.client(proxy, 'tcp')
  await other.send('hello')
  const next = await deployment.next()
  t.equal(await next.readBytes(5), 'hello')
  await upstream.until(() => upstream.ended || upstream.closed, 'the end of the idle one')
})

await proxyTest('the end of the proxy does not wait for the queue', async (t, lab) => {
  const { deployment, proxy } = await world(lab)
  await caller(lab, proxy, '/1')
  await (await deployment.next()).readHead()
  const [second] = await waiting(lab, proxy, '/2')
  await proxy.worker.close()
  t.equal(await (second as Peer).readToEnd(), '')
  t.equal(proxy.rejected('client_closed'), 1)
})

/** A client whose call was answered over a connection that rests now, or did until the deployment closed it on the next call. */
async function meetStale(
  lab: ProxyLab,
  proxy: RunningProxy,
  deployment: ManualDeployment,
): Promise<Peer> {
  const client = await caller(lab, proxy, '/warm')
  const stale = await deployment.next()
  await stale.readHead()
  await stale.send(ok())
  await readAnswer(client)
  await client.send(get('/again'))
  await stale.readHead()
  stale.destroy()
  return client
}

await proxyTest('retries have a budget', async (t, lab) => {
  const { deployment, proxy } = await world(lab, { retries: { budget: '0%', minimum: 0 } })
  const client = await meetStale(lab, proxy, deployment)
  const { status, body } = await readAnswer(client)
  t.equal(status, 502)
  t.equal(codeOf(body), 'upstream_reset')
  t.equal(proxy.limited().upstream_retries, 1)
  t.equal(deployment.peers.length, 1, 'no second connection')
})

await proxyTest(
  'a connection does not rest for as long as the deployment says that it keeps it',
  async (t, lab) => {
    const { deployment, proxy } = await world(lab)
    const client = await caller(lab, proxy, '/warm')
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(ok('warm', 'keep-alive: timeout=1, max=9\r\n'))
    t.notMatch((await readAnswer(client)).head, 'timeout=1', 'it is said to the proxy alone')
    // The proxy closes it, long before it would by `timeouts.idle`.
    t.equal(await upstream.readToEnd(), '')
    t.notOk(upstream.error)
  },
)

await proxyTest(
  'a connection whose time is over gets no call, though nobody has closed it yet',
  async (t, lab) => {
    const { deployment, proxy } = await world(lab, { retries: { budget: '0%', minimum: 0 } })
    for (let call = 0; call < 3; call++) {
      const client = await caller(lab, proxy, `/${call}`)
      const upstream = await deployment.next()
      t.match(await upstream.readHead(), `GET /${call} `)
      await upstream.send(ok('once', 'keep-alive: timeout=0\r\n'))
      t.equal((await readAnswer(client)).body, 'once')
    }
    t.same(proxy.limited(), {})
  },
)

await proxyTest('a retry ends with its call, and then there may be another', async (t, lab) => {
  const { deployment, proxy } = await world(lab, { retries: { budget: '0%', minimum: 1 } })
  for (let call = 0; call < 3; call++) {
    const client = await meetStale(lab, proxy, deployment)
    const upstream = await deployment.next()
    t.match(await upstream.readHead(), 'GET /again ')
    await upstream.send(ok('again', 'connection: close\r\n'))
    t.equal((await readAnswer(client)).body, 'again')
    await upstream.readToEnd()
  }
  t.same(proxy.limited(), {})
})

for (const scheme of ['http', 'h2c']) {
  await proxyTest(
    `calls that meet a dead endpoint at once go to another, without a budget: ${scheme}`,
    async (t, lab) => {
      const alive = await lab.deployment({
        serve: async peer => {
          await peer.readHead()
          await peer.send(ok('alive', 'connection: close\r\n'))
        },
      })
      const dead = await lab.deployment()
      await dead.close()
      const deployment = {
        endpoints: [`${scheme}://127.0.0.1:${dead.port}`, `http://127.0.0.1:${alive.port}`],
        retries: { budget: '0%', minimum: 0 },
        ejection: { failures: 100 },
      }
      // Draws the first endpoint of two.
      const proxy = await lab.proxy(
        { tenants: [tenant('acme', alive, { deployment })] },
        { random: () => 0 },
      )
      const clients = await Promise.all(Array.from({ length: 10 }, async () => lab.client(proxy)))
      await Promise.all(clients.map(async client => client.send(get())))
      for (const client of clients) t.equal((await readAnswer(client)).body, 'alive')
      t.same(proxy.limited(), {})
    },
  )
}

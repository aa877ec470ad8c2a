/** Connections that serve more than one call, on both sides of the proxy, and what happens when one grows stale. */
import {
  codeOf,
  eventually,
  get,
  keyOf,
  ok,
  post,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'

await proxyTest('calls one after another use one connection on each side', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(get('/1'))
  const upstream = await deployment.next()
  for (const target of ['/1', '/2', '/3']) {
    if (target !== '/1') await client.send(get(target))
    t.match(await upstream.readHead(), `GET ${target} HTTP/1.1\r\n`)
    await upstream.send(ok(target))
    t.equal((await readAnswer(client)).body, target)
  }
  t.equal(deployment.peers.length, 1)
})

await proxyTest('another client of the same tenant gets the resting connection', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  for (const body of ['one', 'two']) {
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = deployment.peers[0] ?? (await deployment.next())
    await upstream.readHead()
    await upstream.send(ok(body))
    t.equal((await readAnswer(client)).body, body)
    client.destroy()
  }
  t.equal(deployment.peers.length, 1)
})

await proxyTest(
  'a connection that rests for one tenant never serves another at the same endpoint',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment), tenant('globex', deployment)],
    })
    const client = await lab.client(proxy)
    for (const [index, id] of ['acme', 'globex', 'acme', 'globex'].entries()) {
      await client.send(`GET / HTTP/1.1\r\nhost: x\r\nx-api-key: ${keyOf(id)}\r\n\r\n`)
      const upstream = index < 2 ? await deployment.next() : deployment.peers[index - 2]
      t.match(await upstream?.readHead(), `x-amt-tenant: ${id}\r\n`)
      await upstream?.send(ok(id))
      t.equal((await readAnswer(client)).body, id)
    }
    t.equal(deployment.peers.length, 2)
  },
)

const SPOILED: Record<
  string,
  (peer: { send(text: string): Promise<void>; end(): void }) => Promise<void>
> = {
  'bytes that nobody asked for': peer => peer.send(ok('poison')),
  'a FIN': async peer => peer.end(),
}
for (const [what, spoil] of Object.entries(SPOILED)) {
  await proxyTest(
    `a resting connection that gets ${what} is closed and never used`,
    async (t, lab) => {
      const deployment = await lab.deployment()
      const proxy = await lab.forOne(deployment)
      const client = await lab.client(proxy)
      await client.send(get())
      const first = await deployment.next()
      await first.readHead()
      await first.send(ok('first'))
      await readAnswer(client)
      await spoil(first)
      await first.until(() => first.ended || first.closed, 'the proxy closes')
      await client.send(get())
      const second = await deployment.next()
      await second.readHead()
      await second.send(ok('second'))
      t.equal((await readAnswer(client)).body, 'second')
    },
  )
}

await proxyTest(
  'a GET that meets a stale connection is sent once more, on a new one',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get('/warm'))
    const stale = await deployment.next()
    await stale.readHead()
    await stale.send(ok())
    await readAnswer(client)
    await client.send(get('/again'))
    await stale.readHead()
    stale.destroy()
    const fresh = await deployment.next()
    t.match(await fresh.readHead(), 'GET /again ')
    fresh.destroy()
    const { status, body } = await readAnswer(client)
    t.equal(status, 502, 'and not a third time')
    t.equal(codeOf(body), 'upstream_reset')
    t.equal(deployment.peers.length, 2)
  },
)

await proxyTest('a GET on a new connection is not sent twice', async (t, lab) => {
  const deployment = await lab.deployment({
    serve: async peer => {
      await peer.readHead()
      peer.destroy()
    },
  })
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(get())
  t.equal((await readAnswer(client)).status, 502)
  t.equal(deployment.peers.length, 1)
})

for (const [name, request] of Object.entries({
  'a POST': post(''),
  'a PUT with a body': post('abc').replace('POST', 'PUT'),
})) {
  await proxyTest(`${name} that meets a stale connection is never sent twice`, async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    const stale = await deployment.next()
    await stale.readHead()
    await stale.send(ok())
    await readAnswer(client)
    await client.send(request)
    await stale.readHead()
    stale.destroy()
    const { status, body } = await readAnswer(client)
    t.equal(status, 502)
    t.equal(codeOf(body), 'upstream_reset')
    t.equal(deployment.peers.length, 1)
  })
}

await proxyTest('connection: close of the deployment ends that connection only', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  for (const body of ['one', 'two']) {
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(ok(body, 'connection: close\r\n'))
    const answer = await readAnswer(client)
    t.equal(answer.body, body)
    t.notMatch(answer.head, /connection:/i)
    await upstream.until(() => upstream.ended || upstream.closed, 'the proxy closes')
  }
})

await proxyTest('connection: close of the client ends its connection only', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  for (let call = 0; call < 2; call++) {
    const client = await lab.client(proxy)
    await client.send(get('/', 'connection: close\r\n'))
    const upstream = deployment.peers[0] ?? (await deployment.next())
    t.notMatch(await upstream.readHead(), /connection:/i)
    await upstream.send(ok())
    t.match((await readAnswer(client)).head, /connection: close/)
    await client.readToEnd()
  }
  t.equal(deployment.peers.length, 1)
})

await proxyTest(
  'an answer with more bytes behind it is delivered, and its connection not used again',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    const first = await deployment.next()
    await first.readHead()
    await first.send(`${ok('mine')}${ok('poison')}`)
    t.equal((await readAnswer(client)).body, 'mine')
    await client.send(get())
    const second = await deployment.next()
    await second.readHead()
    await second.send(ok('second'))
    t.equal((await readAnswer(client)).body, 'second')
  },
)

await proxyTest('a client that stays idle too long is closed without an answer', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, { timeouts: { idle: '200ms' } })
  const client = await lab.client(proxy)
  await client.send(get())
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send(ok())
  await readAnswer(client)
  t.equal(await client.readToEnd(), '')
  await upstream.until(() => upstream.ended || upstream.closed, 'the resting connection closes')
  await eventually(() => proxy.worker.openConnections === 0)
})

/** Upgraded connections (RFC 9110 §7.8): a tunnel behind a call, and what must not become one. */
import { codeOf, fieldsOf, get, ok, post, proxyTest, readAnswer } from '../support/proxy-lab.ts'

const UPGRADE = 'connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: abc\r\n'
const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n'

await proxyTest(
  'an upgrade passes with its fields, and then bytes pass both ways',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get('/ws', UPGRADE))
    const upstream = await deployment.next()
    const request = await upstream.readHead()
    t.same(fieldsOf(request, 'connection'), ['upgrade'])
    t.same(fieldsOf(request, 'upgrade'), ['websocket'])
    t.same(fieldsOf(request, 'sec-websocket-key'), ['abc'])
    await upstream.send(SWITCH)
    const head = await client.readHead()
    t.match(head, /^HTTP\/1\.1 101 /)
    t.same(fieldsOf(head, 'connection'), ['upgrade'])
    t.same(fieldsOf(head, 'upgrade'), ['websocket'])
    t.same(fieldsOf(head, 'sec-websocket-accept'), ['x'])
    await client.send('GET / HTTP/1.1\r\n\r\n')
    t.equal(
      await upstream.readBytes(18),
      'GET / HTTP/1.1\r\n\r\n',
      'nothing is read as HTTP any more',
    )
    await upstream.send('\x00\xff pong')
    t.equal(await client.readBytes(7), '\x00\xff pong')
  },
)

await proxyTest(
  'bytes that come together with the heads are not lost, and keep their order',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(`${get('/ws', UPGRADE)}early `)
    const upstream = await deployment.next()
    await upstream.readHead()
    t.equal(upstream.text, '', 'nothing passes before the deployment has agreed')
    await client.send('bytes ')
    await upstream.send(`${SWITCH}welcome`)
    await client.readHead()
    t.equal(await client.readBytes(7), 'welcome')
    await client.send('later')
    t.equal(await upstream.readBytes(17), 'early bytes later')
  },
)

await proxyTest(
  'the end of one side of an upgraded connection passes, and the other side goes on',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    for (const first of ['client', 'deployment']) {
      const client = await lab.client(proxy)
      await client.send(get('/ws', UPGRADE))
      const upstream = await deployment.next()
      await upstream.readHead()
      await upstream.send(SWITCH)
      await client.readHead()
      const [one, other] = first === 'client' ? [client, upstream] : [upstream, client]
      await one.send('last')
      one.end()
      t.equal(await other.readToEnd(), 'last')
      await other.send('still here')
      t.equal(await one.readBytes(10), 'still here')
      other.end()
      await one.gone()
      await other.gone()
    }
  },
)

await proxyTest(
  'a client that ends before the deployment agrees is ended there too',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(`${get('/ws', UPGRADE)}all`)
    client.end()
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(SWITCH)
    t.equal(await upstream.readToEnd(), 'all')
    await upstream.send('bye')
    upstream.end()
    await client.readHead()
    t.equal(await client.readToEnd(), 'bye')
  },
)

await proxyTest(
  'a vanished side of an upgraded connection takes the other with it',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    for (const first of ['client', 'deployment']) {
      const client = await lab.client(proxy)
      await client.send(get('/ws', UPGRADE))
      const upstream = await deployment.next()
      await upstream.readHead()
      await upstream.send(SWITCH)
      await client.readHead()
      const [one, other] = first === 'client' ? [client, upstream] : [upstream, client]
      one.reset()
      await other.until(() => other.ended || other.closed, 'the end')
      other.end()
      t.pass(`the ${first} vanished`)
    }
  },
)

await proxyTest(
  'a deployment that does not want to upgrade answers like any other call',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get('/ws', UPGRADE))
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(ok('no'))
    t.equal((await readAnswer(client)).body, 'no')
    await client.send(get('/next'))
    t.match(await upstream.readHead(), 'GET /next ')
    await upstream.send(ok('next'))
    t.equal((await readAnswer(client)).body, 'next')
  },
)

const NOT_ASKED: Record<string, string> = {
  'no Upgrade': get(),
  'an Upgrade that Connection does not name': get('/', 'upgrade: websocket\r\n'),
  h2c: get('/', 'connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n'),
  'h2c among others': get('/', 'connection: upgrade\r\nupgrade: websocket, h2c\r\n'),
  'an Upgrade with a body': post('abc', `content-length: 3\r\n${UPGRADE}`),
}
for (const [name, request] of Object.entries(NOT_ASKED)) {
  await proxyTest(`101 in answer to ${name} is an error of the deployment`, async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(request)
    const upstream = await deployment.next()
    const head = await upstream.readHead()
    t.same(fieldsOf(head, 'upgrade'), [], 'it is not passed on')
    await upstream.send(SWITCH)
    const { status, body } = await readAnswer(client)
    t.equal(status, 502)
    t.equal(codeOf(body), 'upstream_malformed')
    await upstream.until(() => upstream.ended || upstream.closed, 'the connection is closed')
  })
}

const DISAGREED: Record<string, string> = {
  'a protocol that was not offered': SWITCH.replace('upgrade: websocket', 'upgrade: other'),
  'one more protocol than was offered': SWITCH.replace(
    'upgrade: websocket',
    'upgrade: websocket, other',
  ),
  'no protocol': SWITCH.replace('upgrade: websocket\r\n', ''),
  'an Upgrade that its Connection does not name': SWITCH.replace('connection: Upgrade\r\n', ''),
  'a version of HTTP': SWITCH.replace('upgrade: websocket', 'upgrade: h2c'),
}
for (const [name, answer] of Object.entries(DISAGREED)) {
  await proxyTest(`101 with ${name} is an error of the deployment`, async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get('/ws', UPGRADE))
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(answer)
    const { status, body } = await readAnswer(client)
    t.same([status, codeOf(body)], [502, 'upstream_malformed'])
    await upstream.until(() => upstream.ended || upstream.closed, 'the connection is closed')
  })
}

await proxyTest('one of several offered protocols is agreed on, in any case', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(get('/ws', 'connection: upgrade\r\nupgrade: other/1, WebSocket\r\n'))
  const upstream = await deployment.next()
  t.same(fieldsOf(await upstream.readHead(), 'upgrade'), ['other/1, WebSocket'])
  await upstream.send(`${SWITCH}hello`)
  t.match(await client.readHead(), /^HTTP\/1\.1 101 /)
  t.equal(await client.readBytes(5), 'hello')
})

await proxyTest('what comes over an upgraded connection is usage, both ways', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  const request = get('/ws', UPGRADE)
  await client.send(request)
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send(SWITCH)
  await client.readHead()
  const heads = client.total
  await client.send('12345')
  await upstream.readBytes(5)
  await upstream.send('1234567')
  await client.readBytes(7)
  client.end()
  await upstream.readToEnd()
  upstream.end()
  await client.gone()
  const { calls, ingress, egress } = proxy.totals(record => record.code === '1xx')
  t.same({ calls, ingress, egress }, { calls: 1, ingress: request.length + 5, egress: heads + 7 })
})

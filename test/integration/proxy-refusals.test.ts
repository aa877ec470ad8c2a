/** What the proxy refuses: with which answer, and what becomes of the connection. */
import { type Test } from 'tap'
import { answering } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  fieldsOf,
  get,
  keyOf,
  ok,
  post,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'

const MIB = 1024 * 1024

async function refused(t: Test, client: Peer, status: number, code: string): Promise<string> {
  const answer = await readAnswer(client)
  t.equal(answer.status, status)
  t.equal(codeOf(answer.body), code)
  t.same(fieldsOf(answer.head, 'content-type'), ['application/problem+json'])
  return answer.head
}

await proxyTest(
  'an unroutable call is 401 and says how to do better; the connection goes on',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('x')) })
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send('GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n')
    const head = await refused(t, client, 401, 'unroutable')
    t.same(fieldsOf(head, 'www-authenticate'), ['Bearer', 'ApiKey'])
    t.same(fieldsOf(head, 'x-request-id').length, 1)
    await client.send(get())
    t.equal((await readAnswer(client)).body, 'x')
    t.equal(proxy.rejected('unroutable'), 1)
    t.equal(proxy.totals().calls, 1, 'a refused call is no usage')
  },
)

await proxyTest("a key of one tenant at another's name or address is 403", async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({
    listeners: [
      { name: 'public', mode: 'shared', address: '127.0.0.1:0' },
      { name: 'own', mode: 'private', port: 0 },
    ],
    tenants: [tenant('acme', deployment, { address: '127.0.0.1' }), tenant('globex', deployment)],
  })
  for (const listener of ['public', 'own']) {
    const client = await lab.client(proxy, listener)
    await client.send(get('/', `x-api-key: ${keyOf('globex')}\r\n`))
    await refused(t, client, 403, 'tenant_mismatch')
  }
  t.equal(deployment.peers.length, 0)
})

await proxyTest('a key that nobody has is 401, also where the name would do', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(get('/', `x-api-key: ${keyOf('stranger')}\r\n`))
  await refused(t, client, 401, 'credential_invalid')
  t.equal(deployment.peers.length, 0)
})

await proxyTest('a disabled tenant is 403', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({ tenants: [tenant('acme', deployment, { disabled: true })] })
  const client = await lab.client(proxy)
  await client.send(get())
  await refused(t, client, 403, 'tenant_disabled')
})

await proxyTest('HEAD is refused without a body, and the connection goes on', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering(ok('x')) })
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(`HEAD / HTTP/1.1\r\nhost: nobody.test\r\n\r\n${get()}`)
  t.match(await client.readHead(), /^HTTP\/1\.1 401 /)
  t.equal((await readAnswer(client)).body, 'x')
})

await proxyTest(
  'a refused call with a small body keeps the connection, and its body is not read as a call',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('x')) })
    const proxy = await lab.forOne(deployment)
    for (const body of [
      `content-length: ${get('/smuggled').length}\r\n\r\n${get('/smuggled')}`,
      `transfer-encoding: chunked\r\n\r\n${get('/smuggled').length.toString(16)}\r\n${get('/smuggled')}\r\n0\r\n\r\n`,
    ]) {
      const client = await lab.client(proxy)
      await client.send(`POST / HTTP/1.1\r\nhost: nobody.test\r\n${body}${get('/next')}`)
      await refused(t, client, 401, 'unroutable')
      t.equal((await readAnswer(client)).body, 'x')
      client.end()
      t.equal(await client.readToEnd(), '')
    }
  },
)

await proxyTest(
  'a refused call with a large body closes, and the answer arrives though the client is still sending',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    client.socket.pause()
    await client.send(`POST / HTTP/1.1\r\nhost: nobody.test\r\ncontent-length: ${8 * MIB}\r\n\r\n`)
    client.flood(Buffer.alloc(64 * 1024), 8 * MIB)
    await eventually(() => client.socket.writableLength === 0)
    client.socket.resume()
    t.match(await refused(t, client, 401, 'unroutable'), 'connection: close\r\n')
    await client.readToEnd()
    t.equal(client.error, undefined, 'not reset')
  },
)

await proxyTest(
  'a body that is too large by its length is 413, before any of it goes on',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment, { limits: { body: '1KiB' } })],
    })
    const client = await lab.client(proxy)
    await client.send(post('x'.repeat(1025)))
    await refused(t, client, 413, 'body_too_large')
    t.equal(deployment.peers.length, 0)
    await client.send(post('x'.repeat(1024)))
    const upstream = await deployment.next()
    await upstream.read('x'.repeat(1024))
    await upstream.send(ok())
    t.equal((await readAnswer(client)).status, 200, 'as much as may be')
  },
)

await proxyTest(
  'a chunked body that grows too large is 413, and its deployment gets to know',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment, { limits: { body: '1KiB' } })],
    })
    const client = await lab.client(proxy)
    await client.send(post('', 'transfer-encoding: chunked\r\n'))
    const upstream = await deployment.next()
    for (let piece = 0; piece < 3; piece++) await client.send(`190\r\n${'x'.repeat(400)}\r\n`)
    await refused(t, client, 413, 'body_too_large')
    await client.readToEnd()
    await upstream.until(() => upstream.ended || upstream.closed, 'the close')
    t.notMatch(upstream.text, '\r\n0\r\n\r\n')
  },
)

await proxyTest(
  'calls beyond the rate are 429, and retry-after says when one fits again',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('x')) })
    const proxy = await lab.proxy({
      tenants: [
        tenant('acme', deployment, { limits: { requests: '1/s', burst: 2 } }),
        tenant('globex', deployment),
      ],
    })
    const client = await lab.client(proxy)
    await client.send(get().repeat(3))
    t.equal((await readAnswer(client)).status, 200)
    t.equal((await readAnswer(client)).status, 200)
    const head = await refused(t, client, 429, 'rate_limited')
    t.same(fieldsOf(head, 'retry-after'), ['1'])
    await client.send(get().replace('acme', 'globex'))
    t.equal(
      (await readAnswer(client)).status,
      200,
      'the limit of one tenant is not that of another',
    )
    await new Promise(resolve => setTimeout(resolve, 1_050))
    await client.send(get())
    t.equal((await readAnswer(client)).status, 200)
    const limited = proxy.reports().flatMap(report => report.limited)
    t.ok(limited.some(entry => entry.tenant === 'acme' && entry.limit === 'requests'))
  },
)

await proxyTest(
  'calls at once beyond the concurrency are 503, and places come back',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment, { limits: { concurrency: 1 } })],
    })
    const [first, second] = [await lab.client(proxy), await lab.client(proxy)]
    await first.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await second.send(get())
    t.match(await refused(t, second, 503, 'tenant_overloaded'), /retry-after: \d/)
    await upstream.send(ok('done'))
    t.equal((await readAnswer(first)).body, 'done')
    await second.send(get())
    await upstream.readHead()
    await upstream.send(ok('now'))
    t.equal((await readAnswer(second)).body, 'now')
  },
)

await proxyTest(
  'connections beyond their number are 503 and closed, and places come back',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('x')) })
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment, { limits: { connections: 1 } })],
    })
    const first = await lab.client(proxy)
    await first.send(get())
    t.equal((await readAnswer(first)).status, 200)
    const second = await lab.client(proxy)
    await second.send(get())
    t.match(await refused(t, second, 503, 'too_many_connections'), 'connection: close\r\n')
    await second.readToEnd()
    second.end()
    await first.send(get())
    t.equal((await readAnswer(first)).status, 200, 'the first one is not disturbed')
    first.end()
    await first.gone()
    await eventually(() => proxy.worker.openConnections === 0)
    const third = await lab.client(proxy)
    await third.send(get())
    t.equal((await readAnswer(third)).status, 200)
  },
)

await proxyTest(
  'a bad chunk in a body is 400, and the deployment sees no end of it',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(post('3\r\nabc\r\n', 'transfer-encoding: chunked\r\n'))
    const upstream = await deployment.next()
    await upstream.read('abc\r\n')
    await client.send('xyz\r\n')
    t.match(await refused(t, client, 400, 'malformed_chunk'), 'connection: close\r\n')
    await upstream.until(() => upstream.ended || upstream.closed, 'the close')
    t.notMatch(upstream.text, '\r\n0\r\n\r\n')
  },
)

await proxyTest(
  'a bad chunk in the body of a refused call closes behind the answer',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(
      'POST / HTTP/1.1\r\nhost: nobody.test\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n',
    )
    await refused(t, client, 401, 'unroutable')
    t.equal(await client.readToEnd(), '')
  },
)

/** Calls that count their hops, and calls that go in a circle (RFC 9110 §7.6.2, §7.6.3). */
import { codeOf, fieldsOf, get, ok, proxyTest, readAnswer } from '../support/proxy-lab.ts'

const options = (method: string, hops: string, lines = ''): string =>
  `${method} /x HTTP/1.1\r\nhost: acme.test\r\nmax-forwards: ${hops}\r\n${lines}\r\n`

await proxyTest('OPTIONS with no hop left is answered here, and is no usage', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  const secret = 'x-secret: told to nobody\r\ncontent-length: 3\r\n'
  await client.send(`${options('OPTIONS', '0', secret)}abc`)
  const head = await client.readHead()
  t.match(head, /^HTTP\/1\.1 204 /)
  t.match(fieldsOf(head, 'allow').join(), 'GET')
  t.same(fieldsOf(head, 'x-request-id').length, 1)
  t.notMatch(head, 'secret')
  t.equal(deployment.peers.length, 0)
  t.equal(proxy.totals().calls, 0)
  await client.send(options('OPTIONS', '1'))
  const upstream = await deployment.next()
  t.same(fieldsOf(await upstream.readHead(), 'max-forwards'), ['0'], 'one hop less')
  await upstream.send(ok('here'))
  t.equal((await readAnswer(client)).body, 'here', 'the connection went on')
})

await proxyTest('TRACE with no hop left is refused, and reflects nothing', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(options('TRACE', '0', 'cookie: secret\r\n'))
  const { status, head, body } = await readAnswer(client)
  t.equal(status, 501)
  t.equal(codeOf(body), 'unsupported_method')
  t.notMatch(head + body, 'secret')
  t.equal(deployment.peers.length, 0)
})

await proxyTest('only who may make a call is answered in place of a deployment', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  for (const method of ['OPTIONS', 'TRACE']) {
    await client.send(options(method, '0').replace('acme', 'nobody'))
    t.equal((await readAnswer(client)).status, 401)
  }
})

await proxyTest('hops that are no number are 400 where they count', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(options('OPTIONS', '-1'))
  const { status, body } = await readAnswer(client)
  t.same([status, codeOf(body)], [400, 'malformed_field'])
  await client.readToEnd()
  const other = await lab.client(proxy)
  await other.send(options('GET', '-1'))
  const upstream = await deployment.next()
  t.same(fieldsOf(await upstream.readHead(), 'max-forwards'), ['-1'], 'elsewhere they mean nothing')
  await upstream.send(ok())
  t.equal((await readAnswer(other)).status, 200)
})

await proxyTest('a call that comes back is refused, wherever it came back from', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(get())
  const upstream = await deployment.next()
  const via = fieldsOf(await upstream.readHead(), 'via').join()
  await upstream.send(ok())
  await readAnswer(client)
  for (const lines of [
    `via: ${via}\r\n`,
    `via: 1.0 fred, ${via}, 1.1 x\r\n`,
    `via: 1.0 fred\r\nVIA: ${via}\r\n`,
    `via: ${via}\r\nconnection: via\r\n`,
  ]) {
    await client.send(get('/', lines))
    const { status, body } = await readAnswer(client)
    t.same([status, codeOf(body)], [508, 'loop_detected'], lines)
  }
  t.equal(deployment.peers.length, 1)
  t.equal(proxy.totals().calls, 1, 'no usage')
  t.equal(proxy.rejected('loop_detected'), 4)
})

await proxyTest('two proxies of the same service in a chain are no circle', async (t, lab) => {
  const deployment = await lab.deployment()
  const [outer, inner] = [await lab.forOne(deployment), await lab.forOne(deployment)]
  const first = await lab.client(outer)
  await first.send(get())
  const between = await deployment.next()
  const [via = ''] = fieldsOf(await between.readHead(), 'via')
  const second = await lab.client(inner)
  await second.send(get('/', `via: ${via}\r\n`))
  const upstream = await deployment.next()
  const names = fieldsOf(await upstream.readHead(), 'via')
  t.equal(names[0], via)
  t.equal(new Set(names).size, 2)
  for (const name of names) t.match(name, /^1\.1 amt-[0-9a-f]{12}$/)
  await upstream.send(ok('inner'))
  t.equal((await readAnswer(second)).body, 'inner')
  await between.send(ok('outer'))
  t.equal((await readAnswer(first)).body, 'outer')
})

/** Clients that take too long, and the end of a worker. */

import { answering } from '../support/manual-deployment.ts'
import { connectPeer } from '../support/peer.ts'
import { codeOf, eventually, get, ok, post, proxyTest, readAnswer } from '../support/proxy-lab.ts'

await proxyTest(
  'a head that drips in is 408 after the header timeout, however often a byte comes',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { timeouts: { header: '300ms' } })
    const client = await lab.client(proxy)
    await client.send('GET / HTTP/1.1\r\nhost: acme.test\r\nx: ')
    const drip = setInterval(() => void client.send('a'), 20)
    const started = performance.now()
    const { status, body } = await readAnswer(client)
    clearInterval(drip)
    const took = performance.now() - started
    t.ok(took > 250 && took < 2_000, `${took} ms`)
    t.equal(status, 408)
    t.equal(codeOf(body), 'header_timeout')
    await client.readToEnd()
    t.equal(proxy.rejected('header_timeout'), 1)
  },
)

await proxyTest(
  'a worker that was busy for longer than a timeout hears who has spoken meanwhile',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok()) })
    // Long enough for a busy machine to come from the first connection to the last line below.
    const timeouts = { detect: '500ms', header: '500ms' }
    const proxy = await lab.forOne(deployment, { timeouts })
    const [silent, half] = [await lab.client(proxy), await lab.client(proxy)]
    await half.send('GET / HTTP/1.1\r\n')
    // The proxy has accepted both, and runs in this process: one turn of ours is one of its own.
    await eventually(() => proxy.worker.openConnections === 2)
    silent.socket.write(get())
    half.socket.write('host: acme.test\r\n\r\n')
    const until = performance.now() + 800
    while (performance.now() < until);
    t.equal((await readAnswer(silent)).status, 200, 'it is not taken for TCP')
    t.equal((await readAnswer(half)).status, 200, 'nor is this one late')
  },
)

await proxyTest(
  'the header timeout of a second call begins with its first byte',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { timeouts: { header: '250ms' } })
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(ok())
    await readAnswer(client)
    await new Promise(resolve => setTimeout(resolve, 400))
    await client.send('GET / HTTP/1.1\r\n')
    const { status } = await readAnswer(client)
    t.equal(status, 408)
  },
)

await proxyTest(
  'a body that stops is 408 after the body timeout; one that drips goes on',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { timeouts: { body: '300ms' } })
    const client = await lab.client(proxy)
    await client.send(post('', 'content-length: 10\r\n'))
    const upstream = await deployment.next()
    for (let piece = 0; piece < 4; piece++) {
      await new Promise(resolve => setTimeout(resolve, 120))
      await client.send('x')
    }
    await upstream.read('xxxx')
    const { status, body } = await readAnswer(client)
    t.equal(status, 408)
    t.equal(codeOf(body), 'body_timeout')
    await upstream.until(() => upstream.ended || upstream.closed, 'the deployment gets to know')
  },
)

await proxyTest(
  'a deployment that leaves a client waiting for 100 is late itself: 504',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { timeouts: { body: '200ms', response: '400ms' } })
    const client = await lab.client(proxy)
    await client.send(post('', 'content-length: 10\r\nexpect: 100-continue\r\n'))
    const upstream = await deployment.next()
    await upstream.readHead()
    const { status, body } = await readAnswer(client)
    t.equal(status, 504)
    t.equal(codeOf(body), 'upstream_timeout')
  },
)

await proxyTest(
  'a drain closes connections that rest for drain.idle, and lets running calls end',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, {
      timeouts: { drain: '5s' },
      drain: { idle: '100ms' },
    })
    const [idle, running, early, fresh] = [
      await lab.client(proxy),
      await lab.client(proxy),
      await lab.client(proxy),
      await lab.client(proxy),
    ]
    await idle.send(get('/idle'))
    const one = await deployment.next()
    await one.readHead()
    await one.send(ok())
    await readAnswer(idle)
    await running.send(get('/running'))
    await one.readHead()
    await early.send(get('/early'))
    const two = await deployment.next()
    await two.readHead()
    await two.send('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n')
    await early.readHead()
    const port = proxy.port('public')
    const drained = proxy.worker.drain()
    await idle.until(() => idle.ended, 'the idle connection ends')
    await fresh.until(() => fresh.ended || fresh.closed, 'and the one that said nothing')
    await t.rejects(connectPeer(port), 'nobody is accepted any more')
    await one.send(ok('ran'))
    const answer = await readAnswer(running)
    t.equal(answer.body, 'ran')
    t.match(answer.head, 'connection: close\r\n')
    await running.readToEnd()
    await two.send('done')
    t.equal(await early.readToEnd(), 'done')
    for (const client of [idle, running, early, fresh]) client.end()
    const started = performance.now()
    await drained
    t.ok(performance.now() - started < 3_000, 'it does not wait for the deadline')
  },
)

await proxyTest(
  'a call that is under way at the deadline of a drain is cut, and is in the last report',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { timeouts: { drain: '200ms' } })
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf')
    await client.read('half')
    await proxy.worker.drain()
    t.equal(proxy.worker.openConnections, 0)
    const reported = proxy.reports().flatMap(report => report.usage)
    t.equal(
      reported.reduce((calls, record) => calls + record.calls, 0),
      1,
    )
    t.equal(
      reported.reduce((bytes, record) => bytes + record.egress, 0),
      client.total,
    )
    await upstream.until(() => upstream.ended || upstream.closed, 'the deployment gets to know')
    await eventually(() => client.ended || client.closed)
  },
)

await proxyTest(
  'a head is complete, and its timeout over, while its token is still being checked',
  async (t, lab) => {
    const keys = await lab.deployment()
    const deployment = await lab.deployment()
    const issuer = 'https://issuer.test'
    const proxy = await lab.forOne(deployment, {
      authentication: {
        jwt: [{ issuer, audiences: ['a'], jwks: `http://127.0.0.1:${keys.port}/keys` }],
      },
      timeouts: { header: '200ms', idle: '200ms' },
    })
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const now = Math.floor(Date.now() / 1_000)
    const claims = { iss: issuer, aud: 'a', exp: now + 600, tenant: 'acme' }
    const token = `${part({ alg: 'ES256', kid: '1' })}.${part(claims)}.${'A'.repeat(86)}`
    const request = get('/', `authorization: Bearer ${token}\r\n`)
    const client = await lab.client(proxy)
    await client.send(request.slice(0, 30))
    await eventually(() => proxy.worker.openConnections === 1)
    await client.send(request.slice(30))
    const fetching = await keys.next()
    await fetching.readHead()
    await new Promise(resolve => setTimeout(resolve, 500))
    t.equal(client.total, 0, 'nothing is said before the verdict')
    await fetching.send(ok('{"keys":[]}', 'content-type: application/json\r\n'))
    const { status } = await readAnswer(client)
    t.equal(status, 401)
    t.equal(client.text, '', 'and only once')
    t.equal(proxy.rejected('header_timeout'), 0)
  },
)

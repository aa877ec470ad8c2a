/** Peers that move a byte now and then, and calls that take too long as a whole. */
import { codeOf, eventually, get, post, proxyTest, readAnswer } from '../support/proxy-lab.ts'

const FAST_WINDOW = { request: '1KiB/s', response: '1KiB/s', window: '200ms' }

await proxyTest(
  'a body that drips in is 408, though no pause of it is long, and its deployment gets to know',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { minimumRate: FAST_WINDOW })
    const client = await lab.client(proxy)
    await client.send(post('', 'content-length: 100000\r\n'))
    const upstream = await deployment.next()
    const drip = setInterval(() => void client.send('x'), 20)
    const { status, body } = await readAnswer(client)
    clearInterval(drip)
    t.equal(status, 408)
    t.equal(codeOf(body), 'body_too_slow')
    await client.readToEnd()
    await upstream.until(() => upstream.ended || upstream.closed, 'the deployment gets to know')
    t.equal(proxy.totals(record => record.code === '4xx').calls, 1, 'it was sent, so it is usage')
  },
)

await proxyTest('a body at the least rate goes through', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, { minimumRate: FAST_WINDOW })
  const client = await lab.client(proxy)
  await client.send(post('', 'content-length: 8192\r\n'))
  const upstream = await deployment.next()
  await upstream.readHead()
  for (let piece = 0; piece < 16; piece++) {
    await new Promise(resolve => setTimeout(resolve, 50))
    await client.send('x'.repeat(512))
  }
  await upstream.read('x'.repeat(8192))
  await upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
  t.equal((await readAnswer(client)).status, 200)
})

await proxyTest(
  'a client is not to blame for a body that its deployment does not take',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, {
      minimumRate: FAST_WINDOW,
      timeouts: { body: '2s' },
    })
    const client = await lab.client(proxy)
    await client.send(post('', 'content-length: 1000000000\r\n'))
    const upstream = await deployment.next()
    await upstream.readHead()
    upstream.socket.pause()
    client.flood(Buffer.alloc(64 * 1024, 'y'), 1_000_000_000)
    const { status, body } = await readAnswer(client)
    t.equal(status, 504)
    t.equal(codeOf(body), 'upstream_timeout')
    t.equal(proxy.rejected('body_too_slow'), 0)
  },
)

await proxyTest(
  'a client that does not take its answer is cut, and its deployment is free',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { minimumRate: FAST_WINDOW })
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n')
    await client.readHead()
    client.socket.pause()
    upstream.flood(Buffer.alloc(64 * 1024, 'z'), 100_000_000)
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.worker.openConnections, 0)
    await upstream.until(() => upstream.ended || upstream.closed, 'the deployment gets to know')
    t.equal(proxy.totals(record => record.code === '2xx').calls, 1)
  },
)

await proxyTest(
  'a client that takes the last of its answers too slowly is cut, too',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { minimumRate: FAST_WINDOW })
    const client = await lab.client(proxy)
    client.socket.pause()
    await client.send(get('/', 'connection: close\r\n'))
    const upstream = await deployment.next()
    await upstream.readHead()
    const body = 'b'.repeat(16 * 1024 * 1024)
    void upstream.send(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.worker.openConnections, 0)
  },
)

await proxyTest(
  'an answer that begins and then stops is the fault of the deployment',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { timeouts: { idle: '200ms' } })
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf')
    await client.readHead()
    await client.until(() => client.closed, 'half an answer is cut')
    await upstream.until(() => upstream.ended || upstream.closed, 'the deployment gets to know')
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.worker.openConnections, 0)
  },
)

await proxyTest('a call that takes too long as a whole is 504', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, { timeouts: { call: '250ms' } })
  const client = await lab.client(proxy)
  await client.send(post('', 'content-length: 1000\r\n'))
  await deployment.next()
  const drip = setInterval(() => void client.send('x'), 20)
  const { status, body } = await readAnswer(client)
  clearInterval(drip)
  t.equal(status, 504)
  t.equal(codeOf(body), 'call_timeout')
})

await proxyTest(
  'an answer that is under way when its call runs out of time is cut',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { timeouts: { call: '250ms' } })
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n')
    await client.readHead()
    const drip = setInterval(() => void upstream.send('x'), 20)
    await client.until(() => client.closed, 'cut in the middle')
    clearInterval(drip)
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.worker.openConnections, 0)
  },
)

await proxyTest('the time of a call ends with it: a later one has its own', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, { timeouts: { call: '300ms' } })
  const client = await lab.client(proxy)
  for (let call = 0; call < 3; call++) {
    await client.send(get())
    const upstream = call === 0 ? await deployment.next() : deployment.peers[0]
    await upstream?.readHead()
    await new Promise(resolve => setTimeout(resolve, 200))
    await upstream?.send('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
    t.equal((await readAnswer(client)).status, 200)
  }
})

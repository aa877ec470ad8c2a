/** The polite end of a worker: nobody who has a connection loses a call, and each kind of connection has its time. */
import { connect } from 'node:net'
import { TestAuthority } from '../support/certificates.ts'
import { answering } from '../support/manual-deployment.ts'
import { Peer } from '../support/peer.ts'
import { eventually, fieldsOf, get, ok, proxyTest, readAnswer } from '../support/proxy-lab.ts'

const UPGRADE = 'connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: abc\r\n'
const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n'

await proxyTest(
  'drain: a call on a connection that rested is answered with connection: close',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('ok')) })
    const proxy = await lab.forOne(deployment, { drain: { idle: '10s' } })
    const client = await lab.client(proxy)
    await client.send(get())
    t.same(fieldsOf((await readAnswer(client)).head, 'connection'), [])
    const drained = proxy.worker.drain()
    await client.send(get())
    const { status, head } = await readAnswer(client)
    t.equal(status, 200)
    t.same(fieldsOf(head, 'connection'), ['close'])
    await client.until(() => client.ended, 'the end behind the answer')
    client.end()
    await drained
    t.equal(proxy.totals().calls, 2)
  },
)

await proxyTest(
  'drain: a refusal says connection: close as well, and ends the connection',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { drain: { idle: '10s' } })
    const client = await lab.client(proxy)
    await client.send('GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n')
    t.equal((await readAnswer(client)).status, 401)
    const drained = proxy.worker.drain()
    await client.send('GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n')
    const { status, head } = await readAnswer(client)
    t.equal(status, 401)
    t.same(fieldsOf(head, 'connection'), ['close'])
    await client.until(() => client.ended, 'the end behind the answer')
    client.end()
    await drained
  },
)

await proxyTest(
  'drain: a connection that rests for drain.idle ends; nobody waits for timeouts.drain',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('ok')) })
    const proxy = await lab.forOne(deployment, {
      drain: { idle: '150ms' },
      timeouts: { drain: '20s' },
    })
    const [used, fresh] = [await lab.client(proxy), await lab.client(proxy)]
    await used.send(get())
    await readAnswer(used)
    const started = performance.now()
    const drained = proxy.worker.drain()
    await used.until(() => used.ended, 'the end of what rests')
    t.ok(performance.now() - started >= 140, 'it had its time')
    await fresh.until(() => fresh.ended || fresh.closed, 'and of what never said anything')
    for (const client of [used, fresh]) client.end()
    await drained
    t.ok(performance.now() - started < 10_000)
  },
)

await proxyTest(
  'drain: a connection whose TLS handshake has only begun gets its first call',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const { certPath: cert, keyPath: key } = await ca.server(['acme.test'])
    const deployment = await lab.deployment({ serve: answering(ok('ok')) })
    const proxy = await lab.forOne(deployment, {
      drain: { idle: '10s' },
      listeners: [
        {
          name: 'public',
          mode: 'shared',
          address: '127.0.0.1:0',
          tls: { certificates: [{ cert, key }] },
        },
      ],
    })
    const raw = connect(proxy.port('public'), '127.0.0.1')
    await eventually(() => proxy.worker.openConnections === 1)
    const drained = proxy.worker.drain()
    const { connect: secure } = await import('node:tls')
    const socket = secure({ socket: raw, ca: ca.cert, servername: 'acme.test' })
    const client = lab.own(new Peer(socket))
    await client.send(get())
    const { status, head } = await readAnswer(client)
    t.equal(status, 200)
    t.same(fieldsOf(head, 'connection'), ['close'])
    client.end()
    await drained
  },
)

await proxyTest(
  'drain: one that has not got through its handshake within drain.idle is closed',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const { certPath: cert, keyPath: key } = await ca.server(['acme.test'])
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, {
      drain: { idle: '100ms' },
      timeouts: { drain: '20s', handshake: '20s' },
      listeners: [
        {
          name: 'public',
          mode: 'shared',
          address: '127.0.0.1:0',
          tls: { certificates: [{ cert, key }] },
        },
      ],
    })
    const client = await lab.client(proxy)
    await eventually(() => proxy.worker.openConnections === 1)
    const started = performance.now()
    await proxy.worker.drain()
    t.ok(performance.now() - started < 10_000)
    await client.until(() => client.ended || client.closed, 'the close')
  },
)

await proxyTest('drain: tunnels have drain.tunnels, longer than calls', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, {
    timeouts: { drain: '200ms' },
    drain: { tunnels: '20s' },
  })
  const [socket, call] = [await lab.client(proxy), await lab.client(proxy)]
  await socket.send(get('/ws', UPGRADE))
  const one = await deployment.next()
  await one.readHead()
  await one.send(SWITCH)
  await socket.readHead()
  await call.send(get('/slow'))
  const two = await deployment.next()
  await two.readHead()
  const drained = proxy.worker.drain()
  await call.until(() => call.closed, 'the call is cut')
  await socket.send('still here')
  t.equal(await one.readBytes(10), 'still here')
  one.end()
  socket.end()
  await drained
})

await proxyTest('drain: tunnels have drain.tunnels, shorter than calls', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, {
    timeouts: { drain: '20s' },
    drain: { tunnels: '200ms' },
  })
  const [socket, call] = [await lab.client(proxy), await lab.client(proxy)]
  await socket.send(get('/ws', UPGRADE))
  const one = await deployment.next()
  await one.readHead()
  await one.send(SWITCH)
  await socket.readHead()
  await call.send(get('/slow'))
  const two = await deployment.next()
  await two.readHead()
  const drained = proxy.worker.drain()
  await socket.until(() => socket.ended || socket.closed, 'the tunnel is cut')
  await two.send(ok('slow'))
  t.equal((await readAnswer(call)).body, 'slow')
  call.end()
  await drained
})

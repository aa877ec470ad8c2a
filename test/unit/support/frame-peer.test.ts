/** The peers that tests of HTTP/2 count with, held against each other and against `node:http2`. */
import { once } from 'node:events'
import { createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { type Test, test } from 'tap'
import { createAuthority, issueServerCertificate } from '../../../src/runtime/certificates/issue.ts'
import { FramePeer, type FramePeerOptions } from '../../support/http2/frame-peer.ts'
import type { Fields, FrameStream } from '../../support/http2/frame-stream.ts'
import { type HeldDeployment, heldDeployment } from '../../support/http2/held-deployment.ts'

const GET: Fields = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/x'],
  [':authority', 'example.com'],
]
const POST: Fields = [[':method', 'POST'], ...GET.slice(1)]

interface Pair {
  readonly client: FramePeer
  readonly deployment: HeldDeployment
}

async function pair(
  t: Test,
  upstream: 'h2c' | 'h2' = 'h2c',
  options: FramePeerOptions = {},
): Promise<Pair> {
  const authority = await createAuthority('test', Date.now())
  const secret = await issueServerCertificate(
    authority,
    { names: [], addresses: ['127.0.0.1'] },
    Date.now(),
  )
  const deployment = await heldDeployment(t, upstream, secret)
  const place = { host: '127.0.0.1', port: Number(new URL(deployment.url).port) }
  const secure = upstream === 'h2' ? { tls: { ca: authority.cert } } : {}
  const client = await FramePeer.connect({ ...place, ...secure }, options)
  t.teardown(() => client.abort('end'))
  return { client, deployment }
}

/** Octets of a connection are those of its streams and those of nobody. */
function allCounted(t: Test, client: FramePeer): void {
  const streams = [...client.streams.values()]
  const sum = (of: (stream: FrameStream) => number): number =>
    streams.reduce((all, stream) => all + of(stream), 0)
  t.equal(client.connectionSent + sum(stream => stream.sent), client.sent)
  t.equal(client.connectionReceived + sum(stream => stream.received), client.received)
}

for (const upstream of ['h2c', 'h2'] as const) {
  await test(`a call both ways with bodies, trailers, padding and CONTINUATION (${upstream})`, async t => {
    const { client, deployment } = await pair(t, upstream, { window: 1_000 })
    const stream = client.request([...POST, ['x-long', 'y'.repeat(3_000)]], {
      fragment: 700,
      padding: 30,
      priority: true,
    })
    stream.write(Buffer.alloc(200_000, 'q'), { frame: 5_000, padding: 100 })
    stream.end([['x-sum', '1']])
    const call = await deployment.next()
    await call.until(() => call.ended)
    t.equal(call.received, 200_000)
    t.same(call.trailers, [['x-sum', '1']])
    call.answer([['x-kind', 'held']])
    call.data(Buffer.alloc(50_000, 'a'))
    call.end([['x-sum', '2']])
    await stream.until(() => stream.over)
    t.equal(stream.status, 200)
    t.equal(stream.dataReceived, 50_000)
    t.same(stream.trailers, [['x-sum', '2']])
    t.ok(stream.sent > 200_000 + 3_000)
    allCounted(t, client)
  })
}

await test('a stream that is not granted a window stops, and no other', async t => {
  const { client, deployment } = await pair(t, 'h2c', { window: 100, granting: 'never' })
  const [one, other] = [client.request(GET, { end: true }), client.request(GET, { end: true })]
  for (const call of [await deployment.next(), await deployment.next()]) {
    call.answer()
    call.data(Buffer.alloc(150, 'a'))
    call.end()
  }
  other.grant(50)
  await other.until(() => other.over)
  t.equal(other.dataReceived, 150)
  t.equal(one.dataReceived, 100)
  await client.barrier()
  t.equal(one.dataReceived, 100)
  one.grant(50)
  await one.until(() => one.over)
  t.equal(one.dataReceived, 150)
  allCounted(t, client)
})

await test('a window is uncertain only where the end was on its way', async t => {
  const { client, deployment } = await pair(t, 'h2c', { window: 100, granting: 'never' })
  const stream = client.request(GET, { end: true })
  const call = await deployment.next()
  call.answer()
  call.data(Buffer.alloc(150, 'a'))
  call.end()
  await stream.until(() => stream.dataReceived === 100)
  stream.grant(30)
  stream.grant(30)
  stream.grant(30)
  await stream.until(() => stream.over)
  t.equal(stream.uncertain, 13, 'the third was not needed')
})

await test('both sides can reset, and the other side hears it', async t => {
  const { client, deployment } = await pair(t)
  const mine = client.request(POST)
  const call = await deployment.next()
  mine.write(Buffer.alloc(10))
  await call.until(() => call.received === 10)
  mine.reset()
  await call.until(() => false)
  t.ok(call.aborted)
  t.equal(mine.uncertain, 0)
  const theirs = client.request(GET, { end: true })
  const other = await deployment.next()
  other.answer()
  other.reset()
  await theirs.until(() => theirs.over)
  t.equal(theirs.resetByPeer, 2)
  allCounted(t, client)
})

await test('GOAWAY names the last stream, and the end of the connection wakes who waits', async t => {
  const { client, deployment } = await pair(t)
  client.request(GET, { end: true })
  await deployment.next()
  client.goAway()
  t.equal(await client.barrier(), true)
  const stream = client.request(GET, { end: true })
  const waited = stream.until(() => stream.over && stream.remoteEnded)
  client.abort('reset')
  t.equal(await waited, false)
})

await test('node:http2 takes and answers what this client writes', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200 }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '3' }))
    stream.pipe(stream)
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = await FramePeer.connect({ host: '127.0.0.1', port }, { window: 10_000 })
  t.teardown(() => client.abort('end'))
  const stream = client.request(POST, { fragment: 10, padding: 3 })
  stream.write(Buffer.alloc(100_000, 'q'), { padding: 7, frame: 900 })
  stream.end()
  await stream.until(() => stream.over)
  t.equal(stream.dataReceived, 100_000)
  t.same(stream.trailers, [['x-sum', '3']])
  allCounted(t, client)
})

/**
 * Tunnels over HTTP/2: WebSocket by extended CONNECT (RFC 8441) to deployments of either version, WebSocket over HTTP/1.1 on
 * the same listener, and plain CONNECT where the tenant has it.
 */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { ClientHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { t } from 'tap'
import { type Call, problemOf } from '../support/http2/call.ts'
import type { Http1Client } from '../support/http2/http1-client.ts'
import { answerOf, type Http2Client } from '../support/http2/http2-client.ts'
import { as, type Mix, mixTest, type Scene } from '../support/http2/mixes.ts'
import { eventually } from '../support/proxy-lab.ts'

t.setTimeout(120_000)

const takes = ({ downstream }: Mix): boolean => downstream === 2
const WEBSOCKET = {
  'sec-websocket-version': '13',
  'sec-websocket-protocol': 'chat',
  'sec-websocket-extensions': 'permessage-deflate',
}

/** Extended CONNECT; its stream is the tunnel once it is answered with 200. */
function openWebSocket(client: Http2Client, call: Call, protocol = 'websocket'): ClientHttp2Stream {
  const { fields } = call
  return client.open(
    { ...call, method: 'CONNECT', fields: { ...WEBSOCKET, ...fields } },
    { ':protocol': protocol, ':scheme': 'http' },
  )
}

async function statusOf(stream: ClientHttp2Stream): Promise<number> {
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
  return Number(headers[':status'])
}

/** As many octets as were sent, from the other end of a tunnel that gives back what it gets. */
async function throughAndBack(stream: Duplex, text: string): Promise<string> {
  let back = ''
  stream.setEncoding('latin1')
  const done = new Promise<void>(resolve => {
    stream.on('data', function take(chunk: string) {
      back += chunk
      if (back.length < text.length) return
      stream.off('data', take)
      resolve()
    })
  })
  stream.write(text, 'latin1')
  await done
  return back
}

await mixTest(
  'WebSocket by extended CONNECT reaches a deployment of either version',
  async (t, scene) => {
    const client = await scene.http2Client()
    t.equal(client.session.remoteSettings.enableConnectProtocol, true, 'it is announced')
    const stream = openWebSocket(client, as('acme', { path: '/ws?room=1' }))
    t.equal(await statusOf(stream), 200)
    t.equal(
      await throughAndBack(stream, '\x81\x85\x01\x02\x03\x04hello'),
      '\x81\x85\x01\x02\x03\x04hello',
    )
    const big = 'z'.repeat(500_000)
    t.equal(await throughAndBack(stream, big), big)
    const [seen] = scene.acme.tunnels
    if (seen === undefined) throw new Error('no tunnel')
    t.equal(seen['x-amt-tenant'], 'acme')
    t.equal(seen['sec-websocket-protocol'], 'chat')
    t.equal(seen['sec-websocket-version'], '13')
    t.equal(seen['x-api-key'], undefined)
    if (scene.mix.upstream === 1) {
      t.match(seen['sec-websocket-key'], /^[A-Za-z0-9+/]{22}==$/, 'HTTP/1.1 needs a key')
      t.match([seen.upgrade, seen.connection], ['websocket', /upgrade/i])
    } else {
      t.equal(seen[':protocol' as 'via'], 'websocket')
      t.equal(seen['sec-websocket-key'], undefined)
      t.equal(seen.upgrade, undefined)
    }
    const beside = await client.call(as('globex', { path: '/report' }))
    t.equal(beside.status, 200, 'calls go on beside it')
    stream.end()
    await once(stream, 'close')
    t.equal(stream.rstCode, 0, 'the end of it is an end')
    await eventually(() => scene.proxy.totals().calls === 2)
    const { calls, ingress, egress } = scene.proxy.totals(({ tenant }) => tenant === 'acme')
    t.equal(calls, 1)
    t.ok(ingress > big.length && egress > big.length, 'its bytes are counted')
  },
  { takes },
)

await mixTest(
  'a key of the handshake belongs to HTTP/1.1',
  async (t, scene) => {
    const client = await scene.http2Client()
    const one = openWebSocket(client, as('acme', { path: '/ws' }))
    const two = openWebSocket(client, as('acme', { path: '/ws' }))
    t.same([await statusOf(one), await statusOf(two)], [200, 200])
    const keys = scene.acme.tunnels.map(seen => seen['sec-websocket-key'])
    if (scene.mix.upstream === 1) t.not(keys[0], keys[1], 'a new one each time')
    for (const stream of [one, two]) {
      stream.end()
      stream.resume()
      await once(stream, 'close')
    }
  },
  { takes },
)

await mixTest(
  'a tunnel that is nobody’s, or to another version of HTTP, goes nowhere',
  async (t, scene) => {
    const client = await scene.http2Client()
    const nobody = await answerOf(openWebSocket(client, { path: '/ws' }))
    t.same([nobody.status, problemOf(nobody)], [401, 'unroutable'])
    for (const protocol of ['h2c', 'HTTP']) {
      const hidden = await answerOf(openWebSocket(client, as('acme', { path: '/ws' }), protocol))
      t.same([hidden.status, problemOf(hidden)], [501, 'unsupported_method'], protocol)
    }
    t.same(scene.acme.tunnels, [])
    t.equal((await client.call(as('acme', { path: '/report' }))).status, 200)
  },
  { takes },
)

await mixTest(
  'a tunnel that the client resets is cut at the deployment, and the other way round',
  async (t, scene) => {
    const client = await scene.http2Client()
    const one = openWebSocket(client, as('acme', { path: '/ws' }))
    t.equal(await statusOf(one), 200)
    await throughAndBack(one, 'hello')
    one.close(8)
    const gone = (): boolean =>
      scene.mix.upstream === 1
        ? scene.acme.connections.every(({ destroyed }) => destroyed)
        : scene.acme.tunnelStreams.every(({ closed }) => closed)
    await eventually(gone)
    t.ok(gone())
    const two = openWebSocket(client, as('acme', { path: '/ws' }))
    t.equal(await statusOf(two), 200)
    two.on('end', () => two.end())
    two.resume()
    for (const stream of scene.acme.tunnelStreams) stream.close(2)
    if (scene.mix.upstream === 1) for (const socket of scene.acme.connections) socket.destroy()
    await once(two, 'close')
    t.equal((await client.call(as('acme', { path: '/report' }))).status, 200)
  },
  { takes },
)

/** The tunnel of an upgrade over HTTP/1.1, on the listener that has HTTP/2 too. */
async function upgrade(scene: Scene): Promise<{ answer: IncomingMessage; socket: Duplex }> {
  const client = (await scene.client(1)) as Http1Client
  const request = client.open(
    as('acme', {
      path: '/ws',
      fields: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...WEBSOCKET,
      },
    }),
  )
  request.end()
  const [answer, socket] = (await once(request, 'upgrade')) as [IncomingMessage, Duplex]
  return { answer, socket }
}

await mixTest(
  'WebSocket over HTTP/1.1 works on the same listener',
  async (t, scene) => {
    const { answer, socket } = await upgrade(scene)
    t.equal(answer.statusCode, 101)
    t.equal(answer.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', 'RFC 6455 §1.3')
    t.equal(await throughAndBack(socket, 'hello'), 'hello')
    socket.destroy()
  },
  { takes: ({ downstream }) => downstream === 1 },
)

function openConnect(client: Http2Client, id: string): ClientHttp2Stream {
  const { fields } = as(id)
  const stream = client.session.request(
    {
      ':method': 'CONNECT',
      ':authority': 'far.example:443',
      ...(fields as Record<string, string>),
    },
    { endStream: false },
  )
  stream.on('error', () => {})
  return stream
}

await mixTest(
  'plain CONNECT becomes a tunnel where the tenant has it, and nowhere else',
  async (t, scene) => {
    const client = await scene.http2Client()
    const refused = await answerOf(openConnect(client, 'globex'))
    t.same([refused.status, problemOf(refused)], [501, 'unsupported_method'])
    t.same(scene.globex.tunnels, [])
    const stream = openConnect(client, 'acme')
    t.equal(await statusOf(stream), 200)
    t.equal(await throughAndBack(stream, '\x16\x03\x01 not HTTP'), '\x16\x03\x01 not HTTP')
    t.match(scene.acme.tunnels[0], { ':authority': 'far.example:443', 'x-amt-tenant': 'acme' })
    stream.end()
    await once(stream, 'close')
    t.equal((await client.call(as('globex', { path: '/report' }))).status, 200)
  },
  { takes, acme: { connect: true } },
)

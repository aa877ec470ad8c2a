/** CONNECT (RFC 9110 §9.3.6): refused, unless the tenant's own deployment is to decide what a tunnel leads to. */
import type { ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  fieldsOf,
  get,
  keyOf,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const CONNECT = `CONNECT far.example:443 HTTP/1.1\r\nhost: far.example:443\r\nx-api-key: ${keyOf('acme')}\r\n\r\n`
const CONNECTED = 'HTTP/1.1 200 Connected\r\nx-from: acme\r\n\r\n'

interface Scene {
  readonly deployment: ManualDeployment
  readonly proxy: RunningProxy
  readonly client: Peer
}

async function allowing(lab: ProxyLab, connect = true): Promise<Scene> {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({ tenants: [tenant('acme', deployment, { connect })] })
  return { deployment, proxy, client: await lab.client(proxy) }
}

await proxyTest('CONNECT is 501 where the tenant has no tunnels', async (t, lab) => {
  const { deployment, proxy, client } = await allowing(lab, false)
  // What follows is nobody's: it is meant for a tunnel that was never there, and is no call.
  await client.send(CONNECT + get('/smuggled'))
  const { status, head, body } = await readAnswer(client)
  t.same([status, codeOf(body)], [501, 'unsupported_method'])
  t.match(head, 'connection: close\r\n')
  t.equal(await client.readToEnd(), '')
  t.equal(deployment.peers.length, 0)
  t.equal(proxy.totals().calls, 0)
})

await proxyTest('CONNECT of nobody is 401, and no call behind it is read', async (t, lab) => {
  const { deployment, client } = await allowing(lab)
  await client.send(CONNECT.replace(/x-api-key.*\r\n/, '') + get('/smuggled'))
  t.equal((await readAnswer(client)).status, 401)
  t.equal(await client.readToEnd(), '')
  t.equal(deployment.peers.length, 0)
})

await proxyTest(
  "CONNECT goes to the tenant's own deployment, and becomes a tunnel",
  async (t, lab) => {
    const { deployment, proxy, client } = await allowing(lab)
    await client.send(`${CONNECT}early`)
    const upstream = await deployment.next()
    const head = await upstream.readHead()
    t.match(head, /^CONNECT far\.example:443 HTTP\/1\.1\r\nhost: far\.example:443\r\n/)
    t.same(fieldsOf(head, 'x-amt-tenant'), ['acme'])
    t.same(fieldsOf(head, 'content-length'), [])
    await upstream.send(`${CONNECTED}first`)
    const answer = await client.readHead()
    t.match(answer, /^HTTP\/1\.1 200 Connected\r\n/)
    t.same(fieldsOf(answer, 'x-from'), ['acme'])
    for (const name of ['content-length', 'transfer-encoding', 'connection'])
      t.same(fieldsOf(answer, name), [], name)
    t.equal(await client.readBytes(5), 'first')
    t.equal(await upstream.readBytes(5), 'early')
    const heads = client.total - 5
    await client.send('\x16\x03\x01 not HTTP')
    t.equal(await upstream.readBytes(12), '\x16\x03\x01 not HTTP')
    client.end()
    t.equal(await upstream.readToEnd(), '')
    await upstream.send('last')
    upstream.end()
    t.equal(await client.readToEnd(), 'last')
    await client.gone()
    const { calls, ingress, egress } = proxy.totals(record => record.code === '2xx')
    t.same(
      { calls, ingress, egress },
      { calls: 1, ingress: CONNECT.length + 5 + 12, egress: heads + 9 },
    )
  },
)

const NO_TUNNELS: Record<string, string> = {
  'a length': CONNECTED.replace('\r\n\r\n', '\r\ncontent-length: 5\r\n\r\n'),
  'a length of 0': CONNECTED.replace('\r\n\r\n', '\r\ncontent-length: 0\r\n\r\n'),
  'a transfer coding': CONNECTED.replace('\r\n\r\n', '\r\ntransfer-encoding: chunked\r\n\r\n'),
  'another protocol':
    'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
}
for (const [name, answer] of Object.entries(NO_TUNNELS)) {
  await proxyTest(
    `an answer to CONNECT with ${name} is an error of the deployment`,
    async (t, lab) => {
      const { deployment, client } = await allowing(lab)
      await client.send(
        CONNECT.replace('\r\n\r\n', '\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'),
      )
      const upstream = await deployment.next()
      await upstream.readHead()
      await upstream.send(answer)
      const { status, body } = await readAnswer(client)
      t.same([status, codeOf(body)], [502, 'upstream_malformed'])
      t.equal(await client.readToEnd(), '')
      await upstream.until(() => upstream.ended || upstream.closed, 'the connection is closed')
    },
  )
}

await proxyTest('any other answer to CONNECT is an ordinary one, and the last', async (t, lab) => {
  const { deployment, client } = await allowing(lab)
  await client.send(CONNECT + get('/smuggled'))
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send(ok('not there').replace('200 OK', '403 Forbidden'))
  const { status, head, body } = await readAnswer(client)
  t.same([status, body], [403, 'not there'])
  t.match(head, 'connection: close\r\n')
  t.equal(await client.readToEnd(), '')
  t.notMatch(upstream.text, 'smuggled')
})

await proxyTest('CONNECT with a body, or for two places at once, is refused', async (t, lab) => {
  const { deployment, proxy } = await allowing(lab)
  const rows: readonly (readonly [string, string])[] = [
    ['ambiguous_framing', CONNECT.replace('\r\n\r\n', '\r\ncontent-length: 3\r\n\r\nabc')],
    ['ambiguous_framing', CONNECT.replace('\r\n\r\n', '\r\ntransfer-encoding: chunked\r\n\r\n')],
    ['invalid_host', CONNECT.replace('host: far', 'host: near')],
    ['malformed_target', CONNECT.replace('CONNECT far.example:443', 'CONNECT /')],
  ]
  for (const [code, request] of rows) {
    const client = await lab.client(proxy)
    await client.send(request)
    const { status, body } = await readAnswer(client)
    t.same([status, codeOf(body)], [400, code])
    await client.readToEnd()
  }
  t.equal(deployment.peers.length, 0)
})

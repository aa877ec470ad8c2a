/** `deployment.proxyProtocol`: what deployments are told of who is there, by the header in front of a connection. */
import { parseProxyHeader } from '../../src/codec/proxy-protocol.ts'
import { TestAuthority } from '../support/certificates.ts'
import { freePorts } from '../support/free-ports.ts'
import { headerRelay } from '../support/header-relay.ts'
import { answering, type ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import { proxyV2 } from '../support/proxy-header.ts'
import {
  codeOf,
  eventually,
  get,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const VERSIONS = ['v1', 'v2'] as const
const LOCAL = { v1: 'PROXY UNKNOWN\r\n', v2: '\r\n\r\n\0\r\nQUIT\n\x20\0\0\0' } as const
const UPGRADE = 'connection: upgrade\r\nupgrade: websocket\r\n'
const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'

const behind = (
  deployment: ManualDeployment,
  proxyProtocol: string,
  more: Record<string, unknown> = {},
): Record<string, unknown> =>
  tenant('acme', deployment, {
    address: '127.0.0.1',
    deployment: {
      endpoints: [`http://127.0.0.1:${deployment.port}`],
      proxyProtocol,
      ...more,
    },
  })

async function privateProxy(
  lab: ProxyLab,
  acme: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Promise<RunningProxy> {
  return lab.proxy({
    listeners: [{ name: 'public', mode: 'private', port: 0, ...more }],
    trustedProxies: ['127.0.0.1'],
    tenants: [acme],
  })
}

/** The header that a connection began with: its source and destination, and the text that followed. */
async function header(peer: Peer): Promise<{ source: string; destination: string; rest: string }> {
  await peer.until(() => parseProxyHeader(peer.bytes).kind !== 'incomplete', 'a PROXY header')
  const result = parseProxyHeader(peer.bytes)
  if (result.kind !== 'header') throw new Error(`no header: ${JSON.stringify(peer.text)}`)
  const { source, destination } = result.header
  const written = (end: typeof source): string => (end ? `${end.address}:${end.port}` : 'local')
  const rest = peer.take().slice(result.length)
  return { source: written(source), destination: written(destination), rest }
}

const endOf = (client: Peer): string => `127.0.0.1:${client.socket.localPort}`

for (const version of VERSIONS) {
  await proxyTest(
    `a tunnel begins with a header of its client, which is not billed (${version})`,
    async (t, lab) => {
      const deployment = await lab.deployment()
      const proxy = await privateProxy(lab, behind(deployment, version), { protocol: 'tcp' })
      const client = await lab.client(proxy)
      await client.send('hello')
      const upstream = await deployment.next()
      const { source, destination, rest } = await header(upstream)
      t.equal(source, endOf(client))
      t.equal(destination, `127.0.0.1:${proxy.port('public')}`)
      if (rest !== 'hello') t.equal(rest + (await upstream.readBytes(5 - rest.length)), 'hello')
      await upstream.send('hi')
      t.equal(await client.readBytes(2), 'hi')
      t.match(proxy.totals(), { ingress: 5, egress: 2 })
    },
  )

  await proxyTest(
    `the shared connections of calls say that they are the proxy's own (${version})`,
    async (t, lab) => {
      const deployment = await lab.deployment()
      const proxy = await privateProxy(lab, behind(deployment, version))
      const client = await lab.client(proxy)
      await client.send(get('/1'))
      const upstream = await deployment.next()
      t.equal(await upstream.readBytes(LOCAL[version].length), LOCAL[version])
      t.match(await upstream.readHead(), /^GET \/1 /)
      await upstream.send(ok('1'))
      t.equal((await readAnswer(client)).body, '1')
      const other = await lab.client(proxy)
      await other.send(get('/2'))
      t.match(await upstream.readHead(), /^GET \/2 /, 'another client uses the same connection')
      await upstream.send(ok('2'))
      t.equal((await readAnswer(other)).body, '2')
      t.equal(deployment.peers.length, 1)
    },
  )

  await proxyTest(
    `an upgrade has a connection of its own with a header of its client (${version})`,
    async (t, lab) => {
      const deployment = await lab.deployment()
      const proxy = await privateProxy(lab, behind(deployment, version))
      const client = await lab.client(proxy)
      await client.send(get('/ws', UPGRADE))
      const upstream = await deployment.next()
      await upstream.until(() => upstream.text.includes('\r\n\r\n'), 'the head')
      t.equal((await header(upstream)).source, endOf(client))
      await upstream.send(SWITCH)
      await client.readHead()
      await upstream.send('pushed')
      t.equal(await client.readBytes(6), 'pushed')
    },
  )

  await proxyTest(
    `a connection that was announced for one client never serves another (${version})`,
    async (t, lab) => {
      const deployment = await lab.deployment()
      const proxy = await privateProxy(lab, behind(deployment, version))
      const client = await lab.client(proxy)
      await client.send(get('/ws', UPGRADE))
      const upstream = await deployment.next()
      await header(upstream)
      await upstream.send(ok('no'))
      t.equal((await readAnswer(client)).body, 'no')
      await upstream.until(() => upstream.ended || upstream.closed, 'the close')
      await client.send(get('/next'))
      const next = await deployment.next()
      t.equal(await next.readBytes(LOCAL[version].length), LOCAL[version])
      await next.readHead()
      await next.send(ok('next'))
      t.equal((await readAnswer(client)).body, 'next')
    },
  )

  await proxyTest(`health checks begin with a header, too (${version})`, async (t, lab) => {
    const deployment = await lab.deployment()
    const health = { path: '/healthz', interval: '100ms' }
    const proxy = await privateProxy(lab, behind(deployment, version, { health }))
    const client = await lab.client(proxy)
    await client.send(get())
    await eventually(() => deployment.peers.some(peer => peer.text.includes('GET /healthz')))
    const check = deployment.peers.find(peer => peer.text.includes('GET /healthz'))
    t.ok(check?.text.startsWith(`${LOCAL[version]}GET /healthz`), JSON.stringify(check?.text))
  })

  await proxyTest(`the header comes before TLS to the deployment (${version})`, async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const { cert, key } = await ca.server([], ['127.0.0.1'])
    const secure = await lab.deployment({ tls: { cert, key }, serve: answering(ok('secure')) })
    const relay = await headerRelay(t, secure.port, bytes => {
      const result = parseProxyHeader(bytes)
      return result.kind === 'header' ? result.length : undefined
    })
    const proxy = await privateProxy(
      lab,
      tenant('acme', secure, {
        address: '127.0.0.1',
        deployment: {
          endpoints: [`https://127.0.0.1:${relay.port}`],
          proxyProtocol: version,
          tls: { ca: ca.certPath },
        },
      }),
    )
    const client = await lab.client(proxy)
    await client.send(get())
    t.equal((await readAnswer(client)).body, 'secure')
    t.equal(relay.headers[0]?.toString('latin1'), LOCAL[version])
    const tunnel = await lab.client(proxy)
    await tunnel.send('\0\x01\x02')
    await eventually(() => relay.headers.length === 2)
    const second = parseProxyHeader(relay.headers[1] ?? Buffer.alloc(0))
    t.match(second, { header: { source: { port: tunnel.socket.localPort } } })
  })
}

await proxyTest('behind a balancer the deployment is told what its header said', async (t, lab) => {
  const deployment = await lab.deployment()
  const acme = { ...behind(deployment, 'v2'), address: '10.0.0.1' }
  const proxy = await privateProxy(lab, acme, {
    protocol: 'tcp',
    bind: 'wildcard',
    proxyProtocol: 'required',
  })
  const client = await lab.client(proxy)
  await client.send(Buffer.concat([proxyV2(), Buffer.from('hello')]))
  const upstream = await deployment.next()
  t.match(await header(upstream), { source: '10.1.2.3:12345', destination: '10.0.0.1:80' })
})

await proxyTest('without the setting no header is sent', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await privateProxy(lab, behind(deployment, 'off'), { protocol: 'tcp' })
  const client = await lab.client(proxy)
  await client.send('hello')
  t.equal(await (await deployment.next()).readBytes(5), 'hello')
})

await proxyTest('a deployment with TLS that is not there is told as ever', async (t, lab) => {
  const [port = 0] = await freePorts(1)
  const deployment = await lab.deployment()
  const endpoints = [`https://127.0.0.1:${port}`]
  const proxy = await privateProxy(lab, {
    ...behind(deployment, 'v2'),
    deployment: { endpoints, proxyProtocol: 'v2' },
  })
  const client = await lab.client(proxy)
  await client.send(get())
  const { status, body } = await readAnswer(client)
  t.equal(status, 503)
  t.equal(codeOf(body), 'upstream_connect')
})

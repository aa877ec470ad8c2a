/** How PostgreSQL's clients ask for TLS: granted where TLS is ended or read, carried where it is neither. */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import type { Test } from 'tap'
import { type CertificateFiles, TestAuthority } from '../support/certificates.ts'
import { helloFor } from '../support/client-hellos.ts'
import type { ManualDeployment } from '../support/manual-deployment.ts'
import { Peer } from '../support/peer.ts'
import { eventually, type ProxyLab, proxyTest, tenant } from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const SSL_REQUEST = '\0\0\0\x08\x04\xd2\x16\x2f'
const GSS_REQUEST = '\0\0\0\x08\x04\xd2\x16\x30'
const CANCEL_REQUEST = '\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02'
/** StartupMessage of protocol 3.0, for the user `u`. */
const STARTUP = '\0\0\0\x10\0\x03\0\0user\0u\0\0'

interface World {
  readonly proxy: RunningProxy
  readonly acme: ManualDeployment
  readonly own: ManualDeployment
  readonly ca: TestAuthority
  readonly certificate: CertificateFiles
}

interface Settings {
  readonly protocol?: string
  readonly tls?: boolean
  readonly passthrough?: boolean
}

/** `acme` by its client certificate; with `passthrough` also `own`, which ends TLS itself. */
async function world(t: Test, lab: ProxyLab, settings: Settings = {}): Promise<World> {
  const ca = await TestAuthority.create(t)
  const server = await ca.server(['db.test'])
  const acme = await lab.deployment()
  const own = await lab.deployment()
  const owner = {
    id: 'own',
    hosts: ['own.test'],
    passthrough: true,
    deployment: { endpoints: [`tcp://127.0.0.1:${own.port}`] },
  }
  const proxy = await lab.proxy({
    listeners: [
      {
        name: 'public',
        mode: 'shared',
        address: '127.0.0.1:0',
        protocol: settings.protocol ?? 'auto',
        ...(settings.tls === false
          ? {}
          : {
              tls: {
                certificates: [{ cert: server.certPath, key: server.keyPath }],
                clientCertificate: 'optional',
                clientCa: ca.certPath,
              },
            }),
      },
    ],
    authentication: { spiffe: { trustDomain: 'example.org' } },
    tenants: [
      tenant('acme', acme, { credentials: [{ spiffe: 'spiffe://example.org/tenant/acme' }] }),
      ...(settings.passthrough === true ? [owner] : []),
    ],
    timeouts: { handshake: '300ms', detect: '150ms' },
  })
  return { proxy, acme, own, ca, certificate: await ca.tenant('acme') }
}

/** Says these in plain, waiting for one byte of answer after each; then TLS. */
async function secured(
  lab: ProxyLab,
  { proxy, ca, certificate }: World,
  requests: readonly (readonly [request: string, answer: string])[],
  options: tls.ConnectionOptions = {},
): Promise<Peer> {
  const raw = net.connect({ port: proxy.port('public'), host: '127.0.0.1', noDelay: true })
  await once(raw, 'connect')
  for (const [request, expected] of requests) {
    for (const byte of Buffer.from(request, 'latin1')) {
      raw.write(Buffer.of(byte))
      await new Promise(resolve => setImmediate(resolve))
    }
    const [answer] = (await once(raw, 'data')) as [Buffer]
    if (answer.toString('latin1') !== expected) throw new Error(answer.toString('hex'))
  }
  raw.pause()
  raw.removeAllListeners('data')
  const { cert, key } = certificate
  const socket = tls.connect({
    socket: raw,
    ca: ca.cert,
    servername: 'db.test',
    cert,
    key,
    ...options,
  })
  const peer = lab.own(new Peer(socket, raw))
  await once(socket, 'secureConnect')
  return peer
}

async function closed(client: Peer): Promise<string> {
  await client.until(() => client.ended || client.closed, 'the close')
  return client.text
}

for (const protocol of ['auto', 'tcp']) {
  for (const passthrough of [false, true]) {
    const where = `protocol: ${protocol}${passthrough ? ', beside a tenant with passthrough' : ''}`
    await proxyTest(
      `SSLRequest is answered S, and after TLS the deployment sees the StartupMessage (${where})`,
      async (t, lab) => {
        const here = await world(t, lab, { protocol, passthrough })
        for (const requests of [
          [[SSL_REQUEST, 'S']],
          [
            [GSS_REQUEST, 'N'],
            [SSL_REQUEST, 'S'],
          ],
          // Direct TLS, as PostgreSQL 17 has it.
          [],
        ] as const) {
          const alpn = requests.length === 0 ? { ALPNProtocols: ['postgresql'] } : {}
          const client = await secured(lab, here, requests, alpn)
          if (requests.length === 0)
            t.equal((client.socket as tls.TLSSocket).alpnProtocol, 'postgresql')
          await client.send(STARTUP)
          const upstream = await here.acme.next()
          t.equal(await upstream.readBytes(STARTUP.length), STARTUP)
          await upstream.send('R\0\0\0\x08\0\0\0\0')
          t.equal(await client.readBytes(9), 'R\0\0\0\x08\0\0\0\0')
          client.reset()
          await upstream.gone()
        }
        const totals = here.proxy.totals(({ routability }) => routability === 'l4')
        t.equal(totals.connections, 3, 'routed by the client certificate')
        t.equal(totals.ingress, 3 * STARTUP.length)
      },
    )

    await proxyTest(
      `bytes behind SSLRequest before the handshake are never taken as inside TLS (${where})`,
      async (t, lab) => {
        const here = await world(t, lab, { protocol, passthrough })
        const attacks = [
          `${SSL_REQUEST}${STARTUP}`,
          `${SSL_REQUEST}\x16`,
          `${SSL_REQUEST}${helloFor('db.test').toString('latin1')}`,
          `${GSS_REQUEST}${SSL_REQUEST}`,
          `${GSS_REQUEST}${STARTUP}`,
        ]
        for (const attack of attacks) {
          const client = await lab.client(here.proxy)
          await client.send(attack)
          t.equal(await closed(client), '', JSON.stringify(attack.slice(0, 20)))
        }
        // Plain bytes in place of the handshake; they may come in one piece with nothing, and are no TLS.
        const late = await lab.client(here.proxy)
        await late.send(SSL_REQUEST)
        t.equal(await late.readBytes(1), 'S')
        await late.send(STARTUP)
        t.notMatch(await closed(late), 'R')
        await eventually(() => here.proxy.rejected('tls_handshake_failed') > attacks.length)
        t.equal(here.proxy.rejected('tls_handshake_failed'), attacks.length + 1)
        t.equal(here.acme.peers.length, 0)
      },
    )
  }
}

await proxyTest(
  'each request is granted once, and nothing else in plain is served where TLS is ended',
  async (t, lab) => {
    const here = await world(t, lab)
    for (const [requests, answers] of [
      [[SSL_REQUEST, SSL_REQUEST], 'S'],
      [[GSS_REQUEST, GSS_REQUEST], 'N'],
      [[GSS_REQUEST, STARTUP], 'N'],
      [[STARTUP], ''],
      [[CANCEL_REQUEST], ''],
      [['\0\0\0\x09\x04\xd2\x16\x2f'], ''],
      [['\0\0\0\x08\x04\xd2\x16\x31'], ''],
    ] as const) {
      const client = await lab.client(here.proxy)
      for (const [index, request] of requests.entries()) {
        await client.send(request)
        if (index < answers.length)
          await client.until(() => client.total > index || client.ended, 'an answer')
      }
      const heard = await closed(client)
      t.equal(heard.slice(0, answers.length), answers)
      t.notMatch(heard.slice(answers.length), /[SNR]/)
    }
    await eventually(() => here.proxy.rejected('tls_handshake_failed') === 7)
    t.equal(here.proxy.rejected('tls_handshake_failed'), 7)
    t.equal(here.acme.peers.length, 0)
  },
)

await proxyTest('half a request is closed in time, and counted', async (t, lab) => {
  const here = await world(t, lab)
  for (const begin of ['\0', SSL_REQUEST.slice(0, 7)]) {
    const client = await lab.client(here.proxy)
    await client.send(begin)
    t.equal(await closed(client), '')
  }
  await eventually(() => here.proxy.rejected('tls_handshake_failed') === 2)
  t.equal(here.proxy.rejected('tls_handshake_failed'), 2)
})

await proxyTest('SSLRequest is refused on a listener for HTTP', async (t, lab) => {
  const here = await world(t, lab, { protocol: 'http' })
  const client = await lab.client(here.proxy)
  await client.send(SSL_REQUEST)
  t.notMatch(await closed(client), 'S')
  await eventually(() => here.proxy.rejected('tls_handshake_failed') === 1)
  t.equal(here.proxy.rejected('tls_handshake_failed'), 1)
})

await proxyTest('on a plain private listener SSLRequest is carried as it is', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({
    listeners: [{ name: 'public', mode: 'private', port: 0, protocol: 'auto' }],
    tenants: [tenant('acme', deployment, { address: '127.0.0.1' })],
  })
  const client = await lab.client(proxy)
  await client.send(SSL_REQUEST)
  const upstream = await deployment.next()
  t.equal(await upstream.readBytes(8), SSL_REQUEST)
  await upstream.send('N')
  t.equal(await client.readBytes(1), 'N')
})

for (const tlsHere of [true, false]) {
  const where = tlsHere ? 'with TLS' : 'without TLS'
  await proxyTest(
    `a tenant with passthrough is asked for TLS as its client has asked us, on a listener ${where}`,
    async (t, lab) => {
      const { proxy, own, acme } = await world(t, lab, { tls: tlsHere, passthrough: true })
      const hello = helloFor('own.test').toString('latin1')
      for (const requests of [[SSL_REQUEST], [GSS_REQUEST, SSL_REQUEST]]) {
        const client = await lab.client(proxy)
        for (const request of requests) {
          await client.send(request)
          t.equal(await client.readBytes(1), request === SSL_REQUEST ? 'S' : 'N')
        }
        await client.send(hello)
        const upstream = await own.next()
        t.equal(await upstream.readBytes(8), SSL_REQUEST)
        t.equal(upstream.total, 8, 'no ClientHello before TLS is granted')
        await upstream.send('S')
        t.equal(await upstream.readBytes(hello.length), hello)
        await upstream.send('their handshake')
        t.equal(await client.readBytes(15), 'their handshake')
        client.reset()
        await upstream.gone()
      }
      const { ingress, egress, connections } = proxy.totals()
      t.equal(ingress, 3 * 8 + 2 * hello.length, 'what the client has sent, with its requests')
      t.equal(egress, 3 + 2 * 15)
      t.equal(connections, 2)
      t.equal(acme.peers.length, 0)
    },
  )
}

await proxyTest(
  'a deployment that does not grant TLS, or says more than that, gets no ClientHello',
  async (t, lab) => {
    const { proxy, own } = await world(t, lab, { passthrough: true })
    for (const answer of ['N', 'E\0\0\0\x05', 'SR', '']) {
      const client = await lab.client(proxy)
      await client.send(SSL_REQUEST)
      await client.readBytes(1)
      await client.send(helloFor('own.test'))
      const upstream = await own.next()
      await upstream.readBytes(8)
      if (answer === '') upstream.end()
      else await upstream.send(answer)
      t.equal(await closed(client), '', JSON.stringify(answer))
      await upstream.until(() => upstream.ended || upstream.closed, 'the close')
      t.equal(upstream.total, 8)
    }
    t.equal(proxy.rejected('upstream_tls'), 3)
    t.equal(proxy.rejected('upstream_reset'), 1)
  },
)

/** TLS on both sides: certificates by name, clients that prove who they are, deployments that must. */
import { once } from 'node:events'
import { Duplex } from 'node:stream'
import tls from 'node:tls'
import { certificateDigest } from '../../src/runtime/certificates/issue.ts'
import { type CertificateFiles, TestAuthority } from '../support/certificates.ts'
import { answering } from '../support/manual-deployment.ts'
import { OpensslAuthority, WITHOUT_OPENSSL } from '../support/openssl-authority.ts'
import { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  fieldsOf,
  get,
  ok,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'

interface ListenerTls {
  readonly certificates: readonly Pick<CertificateFiles, 'certPath' | 'keyPath'>[]
  readonly [key: string]: unknown
}

function listener({ certificates, protocol = 'auto', ...rest }: ListenerTls): object[] {
  const files = certificates.map(({ certPath, keyPath }) => ({ cert: certPath, key: keyPath }))
  const address = '127.0.0.1:0'
  return [
    { name: 'public', mode: 'shared', address, protocol, tls: { certificates: files, ...rest } },
  ]
}

await proxyTest(
  'a call over TLS is served, and the deployment is told that it was https',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, {
      listeners: listener({ certificates: [await ca.server(['acme.test'])] }),
    })
    const client = await lab.tlsClient(proxy, {
      ca: ca.cert,
      servername: 'acme.test',
      ALPNProtocols: ['http/1.1'],
    })
    t.equal((client.socket as tls.TLSSocket).alpnProtocol, 'http/1.1')
    await client.send(get())
    const upstream = await deployment.next()
    t.same(fieldsOf(await upstream.readHead(), 'x-forwarded-proto'), ['https'])
    await upstream.send(ok('secret'))
    t.equal((await readAnswer(client)).body, 'secret')
  },
)

await proxyTest(
  'the certificate is chosen by name: exact, wildcard, else the first',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const deployment = await lab.deployment()
    const certificates = [
      await ca.server(['first.test']),
      await ca.server(['*.acme.test']),
      await ca.server(['www.acme.test']),
    ]
    const proxy = await lab.forOne(deployment, { listeners: listener({ certificates }) })
    for (const [servername, name] of [
      ['www.acme.test', 'www.acme.test'],
      ['API.acme.test', '*.acme.test'],
      ['other.test', 'first.test'],
      ['a.b.acme.test', 'first.test'],
    ] as const) {
      const client = await lab.tlsClient(proxy, {
        ca: ca.cert,
        servername,
        checkServerIdentity: () => undefined,
      })
      t.equal(
        (client.socket as tls.TLSSocket).getPeerCertificate().subjectaltname,
        `DNS:${name}`,
        servername,
      )
    }
  },
)

await proxyTest(
  'certificates with keys of two kinds are chosen by name as well, however the ClientHello is cut',
  async (t, lab) => {
    if (WITHOUT_OPENSSL !== false) return t.comment(WITHOUT_OPENSSL)
    const ca = OpensslAuthority.root(t)
    const deployment = await lab.deployment()
    for (const protocol of ['auto', 'http']) {
      const certificates = [ca.server(['one.test'], 'ec'), ca.server(['two.test'], 'rsa')]
      const proxy = await lab.forOne(deployment, {
        listeners: listener({ certificates, protocol }),
      })
      for (const name of ['one.test', 'TWO.test', 'one.test']) {
        const raw = await lab.client(proxy)
        raw.socket.removeAllListeners('data')
        const pieces = new Duplex({
          read: () => raw.socket.resume(),
          // Each byte in a packet of its own, as long as these are few.
          write: (chunk: Buffer, _encoding, done) => {
            for (const byte of chunk.subarray(0, 40)) raw.socket.write(Buffer.of(byte))
            raw.socket.write(chunk.subarray(40), () => done())
          },
        })
        raw.socket.on('data', (chunk: Buffer) => pieces.push(chunk))
        const secure = tls.connect({ socket: pieces, ca: ca.cert, servername: name })
        await once(secure, 'secureConnect')
        t.equal(secure.getPeerCertificate().subjectaltname, `DNS:${name.toLowerCase()}`)
        secure.destroy()
      }
    }
  },
)

await proxyTest(
  'where only TCP is served, a client that offers nothing but h2 is refused in the handshake',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, {
      listeners: listener({
        certificates: [await ca.server(['acme.test'])],
        protocol: 'tcp',
      }),
    })
    await t.rejects(
      lab.tlsClient(proxy, { ca: ca.cert, servername: 'acme.test', ALPNProtocols: ['h2'] }),
      {
        code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
      },
    )
    await eventually(() => proxy.rejected('tls_handshake_failed') === 1)
    t.equal(proxy.rejected('tls_handshake_failed'), 1)
  },
)

await proxyTest(
  'what is not TLS on a listener with TLS is closed and counted, whether it speaks or not',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, {
      listeners: listener({ certificates: [await ca.server(['acme.test'])] }),
      timeouts: { handshake: '200ms' },
    })
    for (const text of [get(), '\0\0\0', '\x16\x03\x01\x00', '']) {
      const client = await lab.client(proxy)
      if (text !== '') await client.send(text)
      await client.until(() => client.ended || client.closed, 'the close')
      t.notMatch(client.text, 'HTTP')
    }
    await eventually(() => proxy.rejected('tls_handshake_failed') === 4)
    t.equal(proxy.rejected('tls_handshake_failed'), 4)
  },
)

await proxyTest(
  'a client certificate names the tenant, by SPIFFE id or pinned, and anything may be inside',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const acme = await lab.deployment()
    const globex = await lab.deployment()
    const pinned = await ca.tenant('someone')
    const proxy = await lab.proxy({
      listeners: listener({
        certificates: [await ca.server(['p.test'])],
        clientCertificate: 'required',
        clientCa: ca.certPath,
      }),
      authentication: { spiffe: { trustDomain: 'example.org' } },
      tenants: [
        tenant('acme', acme, { credentials: [{ spiffe: 'spiffe://example.org/tenant/acme' }] }),
        tenant('globex', globex, {
          credentials: [{ certificate: certificateDigest(pinned.cert) }],
        }),
      ],
    })
    for (const [certificate, deployment] of [
      [await ca.tenant('acme'), acme],
      [pinned, globex],
    ] as const) {
      const { cert, key } = certificate
      const redis = await lab.tlsClient(proxy, { ca: ca.cert, servername: 'p.test', cert, key })
      await redis.send('*1\r\n$4\r\nPING\r\n')
      const upstream = await deployment.next()
      t.equal(await upstream.readBytes(14), '*1\r\n$4\r\nPING\r\n')
      await upstream.send('+PONG\r\n')
      t.equal(await redis.readBytes(7), '+PONG\r\n')
      redis.end()
      t.equal(await upstream.readToEnd(), '', 'half-close passes out of TLS')
      await upstream.send('bye')
      upstream.end()
      t.equal(await redis.readToEnd(), 'bye')
      const http = await lab.tlsClient(proxy, { ca: ca.cert, servername: 'p.test', cert, key })
      await http.send('GET / HTTP/1.1\r\nhost: any.test\r\n\r\n')
      const next = await deployment.next()
      t.match(fieldsOf(await next.readHead(), 'x-forwarded-client-cert')[0], /Hash=[0-9a-f]{64}/)
      await next.send(ok())
      t.equal((await readAnswer(http)).status, 200)
    }
    t.equal(proxy.totals(record => record.routability === 'l4').connections, 4)
  },
)

await proxyTest(
  'without a certificate, with one of nobody, or with an untrusted one there is no way in',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const stranger = await (await TestAuthority.create(t)).tenant('acme')
    const nobody = await ca.tenant('nobody')
    const deployment = await lab.deployment({ serve: answering(ok('x')) })
    for (const clientCertificate of ['required', 'optional']) {
      const proxy = await lab.proxy({
        listeners: listener({
          certificates: [await ca.server(['p.test'])],
          clientCertificate,
          clientCa: ca.certPath,
        }),
        authentication: { spiffe: { trustDomain: 'example.org' } },
        tenants: [
          tenant('acme', deployment, {
            credentials: [{ spiffe: 'spiffe://example.org/tenant/acme' }],
          }),
        ],
      })
      for (const [name, own, reason] of [
        ['none', {}, clientCertificate === 'required' ? 'tls_handshake_failed' : 'unroutable'],
        ['of nobody', { cert: nobody.cert, key: nobody.key }, 'unroutable'],
        ['untrusted', { cert: stranger.cert, key: stranger.key }, 'tls_handshake_failed'],
      ] as const) {
        const before = proxy.rejected(reason)
        // With TLS 1.3 the client is through with its handshake before the other side has seen its certificate.
        const client = await lab.tlsClient(proxy, { ca: ca.cert, servername: 'p.test', ...own })
        await client.send('*1\r\n').catch(() => {})
        await client.until(() => client.ended || client.closed, `the close, with ${name}`)
        t.equal(client.total, 0, name)
        await eventually(() => proxy.rejected(reason) > before)
        t.equal(proxy.rejected(reason) - before, 1, `${clientCertificate}, ${name}`)
      }
    }
    t.equal(deployment.peers.length, 0)
  },
)

await proxyTest('SNI may name the tenant of a tunnel', async (t, lab) => {
  const ca = await TestAuthority.create(t)
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, {
    listeners: listener({ certificates: [await ca.server(['acme.test'])], protocol: 'tcp' }),
  })
  const client = await lab.tlsClient(proxy, { ca: ca.cert, servername: 'acme.test' })
  await client.send('hello')
  t.equal(await (await deployment.next()).readBytes(5), 'hello')
})

await proxyTest(
  'a PROXY header may stand before TLS, and come in one piece with it',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const deployment = await lab.deployment()
    const [listening] = listener({ certificates: [await ca.server(['acme.test'])] })
    const proxy = await lab.forOne(deployment, {
      listeners: [{ ...listening, proxyProtocol: 'required' }],
      trustedProxies: ['127.0.0.1'],
    })
    const raw = await lab.client(proxy)
    raw.socket.removeAllListeners('data')
    // Corked: the header and the ClientHello are one write.
    raw.socket.cork()
    raw.socket.write('PROXY TCP4 10.1.2.3 10.0.0.1 12345 443\r\n')
    const secure = tls.connect({ socket: raw.socket, ca: ca.cert, servername: 'acme.test' })
    const client = lab.own(new Peer(secure))
    process.nextTick(() => raw.socket.uncork())
    await once(secure, 'secureConnect')
    await client.send(get())
    const upstream = await deployment.next()
    t.same(fieldsOf(await upstream.readHead(), 'x-forwarded-for'), ['10.1.2.3'])
  },
)

for (const scheme of ['https', 'tls']) {
  await proxyTest(`a deployment with ${scheme} must prove who it is`, async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const other = await TestAuthority.create(t)
    const good = await ca.server(['orders.internal'], ['127.0.0.1'])
    const noAddress = await ca.server(['orders.internal'])
    const stranger = await other.server(['orders.internal'], ['127.0.0.1'])
    const cases: [string, CertificateFiles, Record<string, string>, boolean][] = [
      ['its address', good, {}, true],
      ['its name', noAddress, { serverName: 'orders.internal' }, true],
      ['another name', noAddress, { serverName: 'billing.internal' }, false],
      ['no such address', noAddress, {}, false],
      ['another authority', stranger, {}, false],
    ]
    for (const [name, certificate, options, trusted] of cases) {
      const deployment = await lab.deployment({
        tls: { cert: certificate.cert, key: certificate.key },
      })
      const listeners = [
        scheme === 'https'
          ? { name: 'public', mode: 'shared', address: '127.0.0.1:0' }
          : { name: 'public', mode: 'private', port: 0, protocol: 'tcp' },
      ]
      const endpoints = [`${scheme}://127.0.0.1:${deployment.port}`]
      const upstreamTls = { ca: ca.certPath, ...options }
      const proxy = await lab.proxy({
        listeners,
        tenants: [
          tenant('acme', deployment, {
            address: '127.0.0.1',
            deployment: { endpoints, tls: upstreamTls },
          }),
        ],
      })
      const client = await lab.client(proxy)
      await client.send(get())
      if (!trusted) {
        if (scheme === 'https') {
          const { status, body } = await readAnswer(client)
          t.equal(status, 502, name)
          t.equal(codeOf(body), 'upstream_tls', name)
        } else t.equal(await client.readToEnd(), '', name)
        t.equal(proxy.rejected('upstream_tls'), 1)
        t.ok(
          deployment.peers.every(peer => peer.total === 0),
          'and sees nothing of the call',
        )
        continue
      }
      const upstream = await deployment.next()
      await upstream.readHead()
      await upstream.send(ok(name))
      t.equal((await readAnswer(client)).body, name)
      if (scheme === 'https') continue
      client.end()
      await upstream.readToEnd()
      upstream.end()
      await client.gone()
    }
  })
}

await proxyTest('a deployment may ask for our certificate', async (t, lab) => {
  const ca = await TestAuthority.create(t)
  const { cert, key } = await ca.server([], ['127.0.0.1'])
  const own = await ca.tenant('proxy')
  const deployment = await lab.deployment({
    tls: { cert, key, ca: ca.cert, requestCert: true, rejectUnauthorized: true },
  })
  const endpoints = [`https://127.0.0.1:${deployment.port}`]
  for (const shown of [true, false]) {
    const files = shown ? { cert: own.certPath, key: own.keyPath } : {}
    const proxy = await lab.proxy({
      tenants: [
        tenant('acme', deployment, {
          deployment: { endpoints, tls: { ca: ca.certPath, ...files } },
        }),
      ],
    })
    const client = await lab.client(proxy)
    await client.send(get())
    if (shown) {
      const upstream = await deployment.next()
      await upstream.readHead()
      await upstream.send(ok('known'))
      t.equal((await readAnswer(client)).body, 'known')
    } else t.equal((await readAnswer(client)).status, 502)
  }
})

await proxyTest(
  'large bodies pass through TLS on both sides, whole and held back',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const { cert, key } = await ca.server([], ['127.0.0.1'])
    const deployment = await lab.deployment({ tls: { cert, key } })
    const endpoints = [`https://127.0.0.1:${deployment.port}`]
    const proxy = await lab.proxy({
      listeners: listener({ certificates: [await ca.server(['acme.test'])] }),
      tenants: [
        tenant('acme', deployment, { deployment: { endpoints, tls: { ca: ca.certPath } } }),
      ],
    })
    const client = await lab.tlsClient(proxy, { ca: ca.cert, servername: 'acme.test' })
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    client.socket.pause()
    const total = 32 * 1024 * 1024
    await upstream.send(`HTTP/1.1 200 OK\r\ncontent-length: ${total}\r\n\r\n`)
    upstream.flood(Buffer.alloc(64 * 1024), total)
    let last = -1
    let same = 0
    await eventually(() => {
      const { egress } = proxy.totals()
      same = egress === last ? same + 1 : 0
      last = egress
      return egress > 0 && same >= 20
    })
    t.ok(last < total / 2, `${last} bytes taken`)
    client.socket.resume()
    await eventually(() => client.total > total)
    t.ok(client.total > total)
  },
)

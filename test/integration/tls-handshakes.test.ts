/** Handshakes of a listener: whom they let in, why they fail, how long they may take and how many there may be. */

import { X509Certificate } from 'node:crypto'
import net from 'node:net'
import tls from 'node:tls'
import { t as file } from 'tap'
import { TestAuthority } from '../support/certificates.ts'
import { answering } from '../support/manual-deployment.ts'
import {
  type IssuedFiles,
  OpensslAuthority,
  WITHOUT_OPENSSL,
} from '../support/openssl-authority.ts'
import { runCommand } from '../support/program.ts'
import { eventually, get, ok, type ProxyLab, proxyTest, tenant } from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'
import { visit } from '../support/tls-visit.ts'

// Many authorities of OpenSSL, each a process of its own.
file.setTimeout(180_000)

const SPIFFE = { spiffe: { trustDomain: 'example.org' } }
const ACME_ID = 'spiffe://example.org/tenant/acme'

interface Setup {
  readonly certificates: readonly { readonly certPath: string; readonly keyPath: string }[]
  readonly tls?: Record<string, unknown>
  readonly listener?: Record<string, unknown>
  readonly more?: Record<string, unknown>
}

/** A listener in front of one deployment that answers `ok`. */
async function proxyWith(
  lab: ProxyLab,
  { certificates, tls: settings = {}, listener = {}, more = {} }: Setup,
): Promise<RunningProxy> {
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const files = certificates.map(({ certPath, keyPath }) => ({ cert: certPath, key: keyPath }))
  return lab.proxy({
    listeners: [
      {
        name: 'public',
        mode: 'shared',
        address: '127.0.0.1:0',
        tls: { certificates: files, ...settings },
        ...listener,
      },
    ],
    authentication: SPIFFE,
    tenants: [
      tenant('acme', deployment, { hosts: ['acme.test'], credentials: [{ spiffe: ACME_ID }] }),
    ],
    ...more,
  })
}

/** A certificate of the tenant, as an authority of OpenSSL issues it. */
function acmeOf(authority: OpensslAuthority): IssuedFiles {
  return authority.client(
    'acme',
    `subjectAltName=URI:${ACME_ID}\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth`,
  )
}

function kindOf(certificate: string): string {
  return new X509Certificate(certificate).publicKey.asymmetricKeyType ?? ''
}

async function failedWith(proxy: RunningProxy, reason: string, count = 1): Promise<boolean> {
  await eventually(() => proxy.handshakeFailures()[reason] === count)
  return proxy.handshakeFailures()[reason] === count
}

await proxyTest('TLS 1.2 and 1.3 are spoken, 1.1 is refused and counted', async (t, lab) => {
  const ca = await TestAuthority.create(t)
  const proxy = await proxyWith(lab, { certificates: [await ca.server(['acme.test'])] })
  const port = proxy.port('public')
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const seen = await visit(port, { ca: ca.cert, minVersion: version, maxVersion: version })
    t.equal(seen.protocol, version)
    t.match(seen.text, /^HTTP\/1\.1 200/)
  }
  const old = await visit(port, {
    ca: ca.cert,
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
  })
  t.match(old.error, /ALERT_PROTOCOL_VERSION/)
  t.ok(await failedWith(proxy, 'protocol_version'))
})

await proxyTest(
  'ECDSA and RSA side by side for one name: a client that knows RSA alone gets RSA',
  async (t, lab) => {
    if (WITHOUT_OPENSSL !== false) return t.comment(WITHOUT_OPENSSL)
    const ca = OpensslAuthority.root(t)
    const proxy = await proxyWith(lab, {
      certificates: [
        ca.server(['acme.test', '*.acme.test'], 'ec'),
        ca.server(['acme.test', '*.acme.test'], 'rsa'),
      ],
    })
    const port = proxy.port('public')
    const rsaOnly = [
      { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' },
      { minVersion: 'TLSv1.3', sigalgs: 'rsa_pss_rsae_sha256' },
    ] as const
    for (const servername of ['acme.test', 'www.acme.test']) {
      const common = { ca: ca.cert, servername }
      t.equal(kindOf((await visit(port, common)).serverCertificate), 'ec', servername)
      for (const options of rsaOnly) {
        const seen = await visit(port, { ...common, ...options })
        t.equal(kindOf(seen.serverCertificate), 'rsa', `${servername}, RSA alone`)
      }
    }
  },
)

await proxyTest(
  'names with keys of different kinds each get their own certificate, at any fragmentation',
  async (t, lab) => {
    if (WITHOUT_OPENSSL !== false) return t.comment(WITHOUT_OPENSSL)
    const ca = OpensslAuthority.root(t)
    for (const protocol of ['auto', 'http']) {
      const proxy = await proxyWith(lab, {
        certificates: [
          ca.server(['acme.test'], 'ec'),
          ca.server(['rsa.test'], 'rsa'),
          ca.server(['both.test'], 'rsa'),
          ca.server(['both.test', '*.both.test'], 'ec'),
        ],
        listener: { protocol },
      })
      const port = proxy.port('public')
      const kindFor = async (options: tls.ConnectionOptions): Promise<string> => {
        // Verified by name: the wrong one would be refused by the client.
        const seen = await visit(port, { ca: ca.cert, ...options })
        return seen.serverCertificate === '' ? '' : kindOf(seen.serverCertificate)
      }
      const rsaOnly = { minVersion: 'TLSv1.3', sigalgs: 'rsa_pss_rsae_sha256' } as const
      t.equal(await kindFor({ servername: 'acme.test' }), 'ec')
      t.equal(await kindFor({ servername: 'acme.test', ...rsaOnly }), '', 'there is none with RSA')
      t.equal(await kindFor({ servername: 'rsa.test' }), 'rsa', 'and not the first one')
      t.equal(await kindFor({ servername: 'both.test' }), 'ec')
      t.equal(await kindFor({ servername: 'both.test', ...rsaOnly }), 'rsa')
      t.equal(await kindFor({ servername: 'www.both.test' }), 'ec')
      const nobody = { servername: '', checkServerIdentity: () => undefined }
      t.equal(await kindFor(nobody), 'ec', 'who asks for nobody gets the first one')
      const hello = await clientHello('rsa.test')
      const slow = await lab.client(proxy)
      for (let at = 0; at < hello.length; at += 97) {
        await slow.send(hello.subarray(at, at + 97))
        await new Promise(resolve => setImmediate(resolve))
      }
      await slow.until(() => slow.total > 500, 'the flight of the server')
      slow.reset()
      const plain = await lab.client(proxy)
      await plain.send(get())
      t.ok(await failedWith(proxy, 'not_tls'))
    }
  },
)

await proxyTest(
  'a listener whose first certificate has no name serves it to everybody',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const proxy = await proxyWith(lab, { certificates: [await ca.server([], ['127.0.0.1'])] })
    const seen = await visit(proxy.port('public'), {
      ca: ca.cert,
      checkServerIdentity: () => undefined,
    })
    t.match(seen.text, /^HTTP\/1\.1 200/)
  },
)

await proxyTest(
  'no common cipher, no common protocol, plain HTTP and a client that leaves are told apart',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const proxy = await proxyWith(lab, {
      certificates: [await ca.server(['acme.test'])],
      // Elsewhere HTTP/2 is spoken.
      listener: { protocol: 'tcp' },
    })
    const port = proxy.port('public')
    await visit(port, {
      ca: ca.cert,
      maxVersion: 'TLSv1.2',
      ciphers: 'ECDHE-RSA-AES128-GCM-SHA256',
    })
    t.ok(
      await failedWith(proxy, 'no_shared_cipher'),
      'it knows RSA alone, the certificate is ECDSA',
    )
    await visit(port, { ca: ca.cert, ALPNProtocols: ['h2'] })
    t.ok(await failedWith(proxy, 'alpn'))
    const plain = await lab.client(proxy)
    await plain.send(get())
    t.ok(await failedWith(proxy, 'not_tls'))
    const leaving = await lab.client(proxy)
    await leaving.send('\x16\x03\x01')
    leaving.reset()
    t.ok(await failedWith(proxy, 'client_closed'))
    t.same(proxy.handshakeFailures(), {
      no_shared_cipher: 1,
      alpn: 1,
      not_tls: 1,
      client_closed: 1,
    })
    t.equal(proxy.rejected('tls_handshake_failed'), 4)
  },
)

await proxyTest(
  'a client that does not trust our certificate is counted as such',
  async (t, lab) => {
    if (WITHOUT_OPENSSL !== false) return t.comment(WITHOUT_OPENSSL)
    const ca = await TestAuthority.create(t)
    const proxy = await proxyWith(lab, { certificates: [await ca.server(['acme.test'])] })
    const other = await TestAuthority.create(t)
    const options = ['-verify_return_error', '-CAfile', other.certPath, '-servername', 'acme.test']
    const address = `127.0.0.1:${proxy.port('public')}`
    const { code } = await runCommand(['openssl', ['s_client', '-connect', address, ...options]])
    t.not(code, 0)
    t.ok(await failedWith(proxy, 'refused_by_client'))
  },
)

await proxyTest('why a client certificate was refused is counted', async (t, lab) => {
  if (WITHOUT_OPENSSL !== false) return t.comment(WITHOUT_OPENSSL)
  const ca = OpensslAuthority.root(t)
  const stranger = acmeOf(OpensslAuthority.root(t))
  const forServers = ca.server(['acme.test'])
  const wrongUse = ca.client(
    'acme',
    `subjectAltName=URI:${ACME_ID}\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth`,
  )
  for (const clientCertificate of ['optional', 'required']) {
    const proxy = await proxyWith(lab, {
      certificates: [forServers],
      tls: { clientCertificate, clientCa: ca.certPath },
    })
    const port = proxy.port('public')
    const { cert, key } = stranger
    t.equal((await visit(port, { ca: ca.cert, cert, key })).text, '')
    t.ok(await failedWith(proxy, 'unknown_ca'), `${clientCertificate}, of a stranger`)
    t.equal((await visit(port, { ca: ca.cert, cert: wrongUse.cert, key: wrongUse.key })).text, '')
    t.ok(await failedWith(proxy, 'certificate_invalid'), `${clientCertificate}, of a server`)
    if (clientCertificate === 'optional') continue
    const without = await visit(port, { ca: ca.cert })
    t.match(without.error, /ALERT_CERTIFICATE_REQUIRED/, 'the client is told')
    t.ok(await failedWith(proxy, 'no_certificate'))
  }
})

await proxyTest('an expired client certificate is refused as such', async (t, lab) => {
  const ca = await TestAuthority.create(t)
  const old = await ca.tenant('acme', Date.now() - 366 * 86_400_000)
  const proxy = await proxyWith(lab, {
    certificates: [await ca.server(['acme.test'])],
    tls: { clientCertificate: 'optional', clientCa: ca.certPath },
  })
  const { cert, key } = old
  t.equal((await visit(proxy.port('public'), { ca: ca.cert, cert, key })).text, '')
  t.ok(await failedWith(proxy, 'certificate_expired'))
})

await proxyTest(
  'client authorities may be several files, and intermediate ones',
  async (t, lab) => {
    if (WITHOUT_OPENSSL !== false) return t.comment(WITHOUT_OPENSSL)
    const root = OpensslAuthority.root(t)
    const middle = root.intermediate('middle')
    const other = OpensslAuthority.root(t, 'other')
    const [below, beside] = [acmeOf(middle), acmeOf(other)]
    const bare = below.cert.slice(0, below.cert.indexOf('-----END CERTIFICATE-----') + 26)
    const cases = [
      ['the chain up to a root that is trusted', [root], below.cert, below.key, true],
      ['an intermediate authority alone is trusted', [middle], bare, below.key, true],
      ['a chain with its middle left out', [root], bare, below.key, false],
      ['the second of two files', [root, other], beside.cert, beside.key, true],
      ['an authority that is not there', [root], beside.cert, beside.key, false],
    ] as const
    for (const [name, authorities, cert, key, good] of cases) {
      const proxy = await proxyWith(lab, {
        certificates: [root.server(['p.test'])],
        tls: {
          clientCertificate: 'required',
          clientCa: authorities.map(({ certPath }) => certPath),
        },
      })
      const { text } = await visit(proxy.port('public'), {
        ca: root.cert,
        servername: 'p.test',
        cert,
        key,
      })
      if (good) t.match(text, /^HTTP\/1\.1 200/, name)
      else {
        t.equal(text, '', name)
        t.ok(await failedWith(proxy, 'unknown_ca'), name)
      }
    }
  },
)

await proxyTest(
  'a revoked certificate is refused, in PEM and DER, also below an intermediate authority',
  async (t, lab) => {
    if (WITHOUT_OPENSSL !== false) return t.comment(WITHOUT_OPENSSL)
    const root = OpensslAuthority.root(t)
    const middle = root.intermediate('middle')
    for (const authority of [root, middle]) {
      const [good, revoked] = [acmeOf(authority), acmeOf(authority)]
      for (const form of ['PEM', 'DER'] as const) {
        const lists = [root.revocationList(authority === root ? [revoked] : [], { form })]
        if (authority === middle) lists.push(middle.revocationList([revoked], { form }))
        const proxy = await proxyWith(lab, {
          certificates: [root.server(['p.test'])],
          tls: { clientCertificate: 'optional', clientCa: root.certPath, crl: lists },
        })
        const common = { ca: root.cert, servername: 'p.test' }
        const { cert, key } = revoked
        t.equal((await visit(proxy.port('public'), { ...common, cert, key })).text, '')
        t.ok(await failedWith(proxy, 'certificate_revoked'), form)
        const welcome = await visit(proxy.port('public'), {
          ...common,
          cert: good.cert,
          key: good.key,
        })
        t.match(welcome.text, /^HTTP\/1\.1 200/, 'the neighbour is let in')
      }
    }
  },
)

await proxyTest(
  'an expired revocation list lets nobody of its authority in, and says that it is the list',
  async (t, lab) => {
    if (WITHOUT_OPENSSL !== false) return t.comment(WITHOUT_OPENSSL)
    const root = OpensslAuthority.root(t)
    const other = OpensslAuthority.root(t, 'other')
    const proxy = await proxyWith(lab, {
      certificates: [root.server(['p.test'])],
      tls: {
        clientCertificate: 'optional',
        clientCa: [root.certPath, other.certPath],
        crl: [root.revocationList([], { days: -1 })],
      },
    })
    for (const [count, { cert, key }] of [acmeOf(root), acmeOf(other)].entries()) {
      const seen = await visit(proxy.port('public'), {
        ca: root.cert,
        servername: 'p.test',
        cert,
        key,
      })
      t.equal(seen.text, '')
      t.ok(await failedWith(proxy, 'revocation_list', count + 1), 'expired, or none at all')
    }
    const without = await visit(proxy.port('public'), { ca: root.cert, servername: 'p.test' })
    t.match(without.text, /^HTTP\/1\.1 200/, 'who shows none is not concerned')
  },
)

await proxyTest(
  'no handshake is without a timeout, whatever the client does meanwhile',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const certificates = [await ca.server(['acme.test'])]
    const hello = await clientHello()
    for (const [proxyProtocol, protocol] of [
      ['off', 'auto'],
      ['off', 'http'],
      ['required', 'auto'],
      ['required', 'http'],
    ] as const) {
      const proxy = await proxyWith(lab, {
        certificates,
        listener: { proxyProtocol, protocol },
        more: { timeouts: { handshake: '400ms', header: '5s' }, trustedProxies: ['127.0.0.1'] },
      })
      const header = proxyProtocol === 'off' ? '' : 'PROXY TCP4 10.1.2.3 10.0.0.1 12345 443\r\n'
      const silent = await lab.client(proxy)
      if (header !== '') await silent.send(header)
      const half = await lab.client(proxy)
      await half.send(Buffer.concat([Buffer.from(header), hello.subarray(0, 100)]))
      const trickling = await lab.client(proxy)
      if (header !== '') await trickling.send(header)
      const started = performance.now()
      // A byte each 20 ms: none of the pauses is near the timeout.
      for (let at = 0; at < hello.length && !trickling.closed && !trickling.ended; at++) {
        await trickling.send(hello.subarray(at, at + 1)).catch(() => {})
        await new Promise(resolve => setTimeout(resolve, 20))
      }
      t.ok(performance.now() - started < 5_000, 'cut off long before its last byte')
      for (const client of [silent, half, trickling])
        await client.until(() => client.ended || client.closed, 'the close')
      t.ok(await failedWith(proxy, 'timeout', 3), `PROXY protocol ${proxyProtocol}, ${protocol}`)
    }
  },
)

await proxyTest(
  'after a full flight a client that says no more is timed out as well',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const proxy = await proxyWith(lab, {
      certificates: [await ca.server(['acme.test'])],
      more: { timeouts: { handshake: '200ms' } },
    })
    const client = await lab.client(proxy)
    await client.send(await clientHello())
    await client.until(() => client.ended || client.closed, 'the close')
    t.ok(client.total > 100, 'it has the answer of the server')
    t.ok(await failedWith(proxy, 'timeout'))
  },
)

await proxyTest(
  'handshakes at once are bounded; who comes on top is refused at once and counted',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const proxy = await proxyWith(lab, {
      certificates: [await ca.server(['acme.test'])],
      tls: { maxHandshakes: 3 },
      more: { timeouts: { handshake: '10m' } },
    })
    const slow = [await lab.client(proxy), await lab.client(proxy), await lab.client(proxy)]
    for (const client of slow) await client.send('\x16\x03\x01')
    await eventually(() => proxy.worker.openConnections === 3)
    const started = performance.now()
    const refused = await lab.client(proxy)
    await refused.until(() => refused.ended || refused.closed, 'the refusal')
    t.ok(performance.now() - started < 2_000, 'at once')
    t.ok(await failedWith(proxy, 'too_many'))
    t.notOk(
      slow.some(client => client.ended || client.closed),
      'the others are left alone',
    )
    slow[0]?.reset()
    await eventually(() => proxy.worker.openConnections === 2)
    const next = await visit(proxy.port('public'), { ca: ca.cert })
    t.match(next.text, /^HTTP\/1\.1 200/, 'a place that is free again is given away again')
  },
)

await proxyTest('a client cannot renegotiate', async (t, lab) => {
  const ca = await TestAuthority.create(t)
  const proxy = await proxyWith(lab, { certificates: [await ca.server(['acme.test'])] })
  const socket = tls.connect({
    port: proxy.port('public'),
    host: '127.0.0.1',
    ca: ca.cert,
    servername: 'acme.test',
    maxVersion: 'TLSv1.2',
  })
  const failed = new Promise<string>(resolve => {
    socket.on('error', ({ message }) => resolve(message))
    socket.on('close', () => resolve('closed'))
  })
  socket.on('secureConnect', () => socket.renegotiate({}, () => {}))
  t.match(await failed, /no.renegotiation|closed/i)
  socket.destroy()
})

await proxyTest(
  'the key exchange is hybrid with ML-KEM where the client offers it, and X25519 or P-256 elsewhere',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const proxy = await proxyWith(lab, { certificates: [await ca.server(['acme.test'])] })
    for (const [offered, chosen] of [
      ['X25519MLKEM768:X25519', 'X25519MLKEM768'],
      ['X25519', 'X25519'],
      ['P-256', 'prime256v1'],
    ] as const) {
      const socket = tls.connect({
        port: proxy.port('public'),
        host: '127.0.0.1',
        ca: ca.cert,
        servername: 'acme.test',
        ecdhCurve: offered,
      })
      await new Promise(resolve => socket.once('secureConnect', resolve))
      const { name } = socket.getEphemeralKeyInfo() as { name?: string }
      t.equal(name ?? 'X25519MLKEM768', chosen, offered)
      socket.destroy()
    }
    const weak = await visit(proxy.port('public'), { ca: ca.cert, ecdhCurve: 'P-521' })
    t.equal(weak.text, '')
    t.ok(await failedWith(proxy, 'no_shared_cipher'))
  },
)

/** The first flight of a client that is never answered. */
async function clientHello(servername = 'acme.test'): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as net.AddressInfo
  const taken = new Promise<Buffer>(resolve =>
    server.once('connection', socket => socket.once('data', resolve)),
  )
  const client = tls.connect({ port, host: '127.0.0.1', servername })
  client.on('error', () => {})
  const bytes = await taken
  client.destroy()
  server.close()
  return bytes
}

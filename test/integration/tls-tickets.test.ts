/** Session tickets: shared by all workers, changed from time to time, and worth nothing where the trust is another one. */
import { randomBytes } from 'node:crypto'
import { t as file, type Test } from 'tap'
import { readTlsMaterial, type TlsMaterial } from '../../src/proxy/listener/tls-material.ts'
import type { TicketSecrets } from '../../src/proxy/listener/tls-tickets.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { type CertificateFiles, TestAuthority } from '../support/certificates.ts'
import { answering } from '../support/manual-deployment.ts'
import { OpensslAuthority, WITHOUT_OPENSSL } from '../support/openssl-authority.ts'
import { eventually, ok, type ProxyLab, proxyTest, tenant } from '../support/proxy-lab.ts'
import { proxyConfig, type RunningProxy } from '../support/start-proxy.ts'
import { type Visit, visit } from '../support/tls-visit.ts'

// Many authorities of OpenSSL, each a process of its own.
file.setTimeout(180_000)

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const
const ACME_ID = 'spiffe://example.org/tenant/acme'
/** To nobody's host, so that only a certificate says whose it is. */
const BY_CERTIFICATE = {
  call: 'GET / HTTP/1.1\r\nhost: any.test\r\nconnection: close\r\n\r\n',
  servername: 'any.test',
  checkServerIdentity: () => undefined,
} as const
const DAY_MS = 86_400_000

function secret(): string {
  return randomBytes(32).toString('base64')
}

interface Setup {
  readonly server: { readonly certPath: string; readonly keyPath: string }
  readonly tls?: Record<string, unknown>
  readonly secrets?: TicketSecrets
  readonly name?: string
  readonly deps?: Parameters<ProxyLab['proxy']>[1]
}

const SHARED: TicketSecrets = { listener: 'public', current: secret(), former: null }

async function proxyWith(
  lab: ProxyLab,
  { server, tls = {}, secrets = SHARED, name = 'public', deps }: Setup,
): Promise<RunningProxy> {
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const certificates = [{ cert: server.certPath, key: server.keyPath }]
  const listener = { name, mode: 'shared', address: '127.0.0.1:0', tls: { certificates, ...tls } }
  return lab.proxy(
    {
      listeners: [listener],
      authentication: { spiffe: { trustDomain: 'example.org' } },
      tenants: [
        tenant('acme', deployment, { hosts: [], credentials: [{ spiffe: ACME_ID }] }),
        tenant('open', deployment, { hosts: ['acme.test'] }),
      ],
    },
    deps,
    { tickets: [{ ...secrets, listener: name }] },
  )
}

/** The material that a primary would send for these settings. */
function materialOf(server: CertificateFiles, tls: Record<string, unknown>): TlsMaterial {
  const certificates = [{ cert: server.certPath, key: server.keyPath }]
  const config = proxyConfig({
    listeners: [
      { name: 'public', mode: 'shared', address: '127.0.0.1:0', tls: { certificates, ...tls } },
    ],
  })
  const [listener] = config.listeners
  if (listener?.tls === undefined) throw new Error('no TLS')
  const read = readTlsMaterial({ name: 'public', tls: listener.tls })
  if ('problems' in read) throw new Error(read.problems.join('\n'))
  return read.material
}

/** Visits, and comes back to another proxy with what it was given. */
async function comeBack(
  t: Test,
  [first, second]: readonly [RunningProxy, RunningProxy],
  options: Parameters<typeof visit>[1],
): Promise<Visit> {
  const before = await visit(first.port('public'), options)
  t.notOk(before.resumed)
  t.match(before.text, /^HTTP\/1\.1 200/)
  t.ok(before.session, 'a ticket came')
  return visit(second.port('public'), { ...options, session: before.session })
}

for (const version of VERSIONS) {
  const versions = { minVersion: version, maxVersion: version }

  await proxyTest(`a session is resumed at another worker, ${version}`, async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const server = await ca.server(['acme.test'])
    const workers = [await proxyWith(lab, { server }), await proxyWith(lab, { server })] as const
    const again = await comeBack(t, workers, { ca: ca.cert, ...versions })
    t.ok(again.resumed)
    t.match(again.text, /^HTTP\/1\.1 200/)
    workers[1].worker.reportNow()
    const [handshakes] = workers[1].reports().flatMap(report => report.handshakes)
    t.same(handshakes, { listener: 'public', full: 0, resumed: 1 }, 'and counted as such')
  })

  await proxyTest(
    `a resumed session still has its client certificate, ${version}`,
    async (t, lab) => {
      const ca = await TestAuthority.create(t)
      const server = await ca.server(['acme.test'])
      const { cert, key } = await ca.tenant('acme')
      for (const clientCertificate of ['optional', 'required']) {
        const tls = { clientCertificate, clientCa: ca.certPath }
        const proxy = await proxyWith(lab, { server, tls })
        const again = await comeBack(t, [proxy, proxy], {
          ca: ca.cert,
          cert,
          key,
          ...BY_CERTIFICATE,
          ...versions,
        })
        t.ok(again.resumed, clientCertificate)
        t.match(again.text, /^HTTP\/1\.1 200/)
        const { connections } = proxy.totals(record => record.tenant === 'acme')
        t.equal(connections, 2, 'both are of the tenant of the certificate')
      }
    },
  )

  await proxyTest(`a certificate that has expired since is refused, ${version}`, async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const server = await ca.server(['acme.test'])
    const { cert, key } = await ca.tenant('acme')
    for (const clientCertificate of ['optional', 'required']) {
      let laterMs = 0
      const clock = {
        now: () => systemClock.now() + laterMs,
        monotonic: () => systemClock.monotonic(),
      }
      const tls = { clientCertificate, clientCa: ca.certPath }
      const proxy = await proxyWith(lab, { server, tls, deps: { clock } })
      const options = { ca: ca.cert, cert, key, ...BY_CERTIFICATE, ...versions }
      const before = await visit(proxy.port('public'), options)
      laterMs = 366 * DAY_MS
      // A worker looks at the clock from time to time.
      proxy.worker.reportNow()
      const again = await visit(proxy.port('public'), { ...options, session: before.session })
      t.equal(again.text, '', clientCertificate)
      await eventually(() => proxy.handshakeFailures().certificate_expired === 1)
      t.same(proxy.handshakeFailures(), { certificate_expired: 1 })
    }
  })

  await proxyTest(
    `tickets live through one change of the key, and not through two, ${version}`,
    async (t, lab) => {
      const ca = await TestAuthority.create(t)
      const proxy = await proxyWith(lab, { server: await ca.server(['acme.test']) })
      const [second, third] = [secret(), secret()]
      const rotate = (current: string, former: string): void =>
        proxy.worker.applyTickets([{ listener: 'public', current, former }])
      const options = { ca: ca.cert, ...versions }
      const { session } = await visit(proxy.port('public'), options)
      rotate(second, SHARED.current)
      const once = await visit(proxy.port('public'), { ...options, session })
      t.ok(once.resumed, 'the key before')
      rotate(third, second)
      t.notOk(
        (await visit(proxy.port('public'), { ...options, session })).resumed,
        'older than that',
      )
      const renewed = await visit(proxy.port('public'), { ...options, session: once.session })
      t.ok(renewed.resumed, 'whoever came back meanwhile got a new one')
    },
  )

  await proxyTest(`a ticket of one listener is none at another, ${version}`, async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const server = await ca.server(['acme.test'])
    const one = await proxyWith(lab, { server })
    const other = await proxyWith(lab, { server, name: 'other' })
    const options = { ca: ca.cert, ...versions }
    const { session } = await visit(one.port('public'), options)
    const there = await visit(other.port('other'), { ...options, session })
    t.notOk(there.resumed)
    t.match(there.text, /^HTTP\/1\.1 200/, 'it is no error either')
  })

  await proxyTest(`another authority makes tickets worthless, ${version}`, async (t, lab) => {
    const [ca, more] = [await TestAuthority.create(t), await TestAuthority.create(t)]
    const server = await ca.server(['acme.test'])
    const { cert, key } = await ca.tenant('acme')
    const tls = { clientCertificate: 'optional', clientCa: [ca.certPath, more.certPath] }
    const proxy = await proxyWith(lab, { server, tls })
    const options = { ca: ca.cert, ...versions, cert, key, ...BY_CERTIFICATE }
    const { session } = await visit(proxy.port('public'), options)
    const changed = { ...tls, clientCa: [more.certPath] }
    proxy.worker.applyTls(
      proxyConfig({
        listeners: [
          {
            name: 'public',
            mode: 'shared',
            address: '127.0.0.1:0',
            tls: { certificates: [{ cert: server.certPath, key: server.keyPath }], ...changed },
          },
        ],
      }).listeners,
      [materialOf(server, changed)],
    )
    const again = await visit(proxy.port('public'), { ...options, session })
    t.notOk(again.resumed)
    t.equal(again.text, '')
    await eventually(() => proxy.handshakeFailures().unknown_ca === 1)
    t.same(proxy.handshakeFailures(), { unknown_ca: 1 }, 'its authority is gone')
  })

  await proxyTest(
    `whoever asks for no certificate gives no tickets to whoever needs one, ${version}`,
    async (t, lab) => {
      const ca = await TestAuthority.create(t)
      const server = await ca.server(['acme.test'])
      const tls = { clientCertificate: 'required', clientCa: ca.certPath }
      const [easy, strict] = [
        await proxyWith(lab, { server }),
        await proxyWith(lab, { server, tls }),
      ]
      const options = { ca: ca.cert, ...versions }
      const { session } = await visit(easy.port('public'), options)
      const there = await visit(strict.port('public'), { ...options, session })
      t.equal(there.text, '')
      await eventually(() => strict.handshakeFailures().no_certificate === 1)
      t.same(strict.handshakeFailures(), { no_certificate: 1 })
    },
  )

  await proxyTest(
    `a certificate that does not verify cannot come back by ticket, ${version}`,
    async (t, lab) => {
      const [ca, strange] = [await TestAuthority.create(t), await TestAuthority.create(t)]
      const server = await ca.server(['acme.test'])
      const { cert, key } = await strange.tenant('acme')
      const tls = { clientCertificate: 'optional', clientCa: ca.certPath }
      const proxy = await proxyWith(lab, { server, tls })
      const options = { ca: ca.cert, cert, key, ...BY_CERTIFICATE, ...versions }
      const { session } = await visit(proxy.port('public'), options)
      const again = await visit(proxy.port('public'), { ...options, session })
      t.equal(again.text, '')
      await eventually(() => proxy.handshakeFailures().unknown_ca === 2)
      t.same(proxy.handshakeFailures(), { unknown_ca: 2 })
    },
  )

  await proxyTest(
    `each name of a listener resumes its own sessions, ${version}`,
    async (t, lab) => {
      if (WITHOUT_OPENSSL !== false) return t.comment(WITHOUT_OPENSSL)
      const ca = OpensslAuthority.root(t)
      const deployment = await lab.deployment({ serve: answering(ok()) })
      for (const kinds of [
        ['ec', 'ec'],
        ['ec', 'rsa'],
      ] as const) {
        const certificates = kinds.map((kind, index) => {
          const { certPath, keyPath } = ca.server([index === 0 ? 'first.test' : 'acme.test'], kind)
          return { cert: certPath, key: keyPath }
        })
        const listener = { name: 'public', mode: 'shared', address: '127.0.0.1:0' }
        const proxy = await lab.proxy({
          listeners: [{ ...listener, tls: { certificates } }],
          tenants: [tenant('acme', deployment)],
        })
        const again = await comeBack(t, [proxy, proxy], { ca: ca.cert, ...versions })
        t.ok(again.resumed, kinds.join())
        t.match(again.text, /^HTTP\/1\.1 200/)
      }
    },
  )

  await proxyTest(`tickets: off resumes nothing, ${version}`, async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const proxy = await proxyWith(lab, {
      server: await ca.server(['acme.test']),
      tls: { tickets: 'off' },
    })
    const options = { ca: ca.cert, ...versions }
    const { session } = await visit(proxy.port('public'), options)
    const again = await visit(proxy.port('public'), { ...options, session })
    t.notOk(again.resumed)
    t.match(again.text, /^HTTP\/1\.1 200/)
  })

  await proxyTest(
    `a ticket of another proxy means a full handshake, ${version}`,
    async (t, lab) => {
      const ca = await TestAuthority.create(t)
      const server = await ca.server(['acme.test'])
      const [mine, theirs] = [
        await proxyWith(lab, { server }),
        await proxyWith(lab, {
          server,
          secrets: { listener: 'public', current: secret(), former: null },
        }),
      ]
      const options = { ca: ca.cert, ...versions }
      const { session } = await visit(theirs.port('public'), options)
      const again = await visit(mine.port('public'), { ...options, session })
      t.notOk(again.resumed, 'of a proxy with other secrets')
      t.match(again.text, /^HTTP\/1\.1 200/)
    },
  )

  await proxyTest(
    `a certificate that was revoked since cannot resume, ${version}`,
    async (t, lab) => {
      if (WITHOUT_OPENSSL !== false) return t.comment(WITHOUT_OPENSSL)
      const ca = OpensslAuthority.root(t)
      const server = ca.server(['acme.test'])
      const client = ca.client(
        'acme',
        `subjectAltName=URI:${ACME_ID}\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth`,
      )
      const settings = (crl: string): Record<string, unknown> => ({
        clientCertificate: 'optional',
        clientCa: ca.certPath,
        crl: [crl],
      })
      const proxy = await proxyWith(lab, { server, tls: settings(ca.revocationList([])) })
      const options = { ca: ca.cert, ...versions, cert: client.cert, key: client.key }
      const { session } = await visit(proxy.port('public'), options)
      t.ok((await visit(proxy.port('public'), { ...options, session })).resumed)
      const tls = settings(ca.revocationList([client]))
      const certificates = [{ cert: server.certPath, key: server.keyPath }]
      proxy.worker.applyTls(
        proxyConfig({
          listeners: [
            {
              name: 'public',
              mode: 'shared',
              address: '127.0.0.1:0',
              tls: { certificates, ...tls },
            },
          ],
        }).listeners,
        [materialOf(server, tls)],
      )
      const again = await visit(proxy.port('public'), { ...options, session })
      t.equal(again.text, '')
      await eventually(() => proxy.handshakeFailures().certificate_revoked === 1)
      t.same(proxy.handshakeFailures(), { certificate_revoked: 1 })
    },
  )
}

/** SPIFFE over real connections: several trust domains, their authorities, tickets, tokens, and what deployments see. */
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CompactSign } from 'jose'
import type { Test } from 'tap'
import { TestAuthority } from '../support/certificates.ts'
import { curl, WITHOUT_CURL } from '../support/curl.ts'
import {
  authority,
  type CertificateParts,
  dns,
  type Issued,
  issue,
  svid,
  uri,
} from '../support/custom-certificate.ts'
import { answering } from '../support/manual-deployment.ts'
import { fieldsOf, get, ok, type ProxyLab, proxyTest, tenant } from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'
import { type Visit, visit } from '../support/tls-visit.ts'

const [rootA, rootB] = await Promise.all([authority('A'), authority('B')])
const belowA = await authority('below A', { issuer: rootA })
const belowB = await authority('below B', { issuer: rootB })
const ACME = 'spiffe://a.example/ns/acme/web'

interface Running {
  readonly proxy: RunningProxy
  readonly caA: string
  readonly show: (chain: readonly Issued[], options?: Parameters<typeof visit>[1]) => Promise<Visit>
}

/** Two trust domains, each with a tenant, behind one listener. */
async function start(t: Test, lab: ProxyLab, spiffe?: Record<string, unknown>): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'amt-spiffe-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const [caA, caB] = [join(folder, 'a.crt'), join(folder, 'b.crt')]
  writeFileSync(caA, rootA.cert)
  writeFileSync(caB, rootB.cert)
  const ours = await TestAuthority.create(t)
  const server = await ours.server(['p.test'])
  const proxy = await lab.proxy({
    listeners: [
      {
        name: 'public',
        mode: 'shared',
        address: '127.0.0.1:0',
        tls: {
          certificates: [{ cert: server.certPath, key: server.keyPath }],
          clientCertificate: 'optional',
          ...(spiffe === undefined ? {} : { clientCa: caA }),
        },
      },
    ],
    authentication: {
      spiffe: spiffe ?? {
        trustDomains: [
          { name: 'a.example', ca: caA },
          { name: 'b.example', ca: caB },
        ],
      },
    },
    tenants: [
      tenant('acme', await lab.deployment({ serve: answering(ok('acme')) }), {
        hosts: ['acme.test'],
        credentials: [{ spiffe: 'spiffe://a.example/ns/acme/*' }],
      }),
      tenant('admin', await lab.deployment({ serve: answering(ok('admin')) }), {
        credentials: [{ spiffe: 'spiffe://a.example/ns/acme/admin' }],
      }),
      tenant('team', await lab.deployment({ serve: answering(ok('team')) }), {
        credentials: [{ spiffe: 'spiffe://a.example/ns/acme/team/*' }],
      }),
      tenant('partner', await lab.deployment({ serve: answering(ok('partner')) }), {
        credentials: [{ spiffe: 'spiffe://b.example/*' }],
      }),
    ],
  })
  const port = proxy.port('public')
  const show: Running['show'] = ([leaf, ...more], options = {}) =>
    visit(port, {
      ca: ours.cert,
      servername: 'p.test',
      call: 'GET / HTTP/1.1\r\nhost: any.test\r\nconnection: close\r\n\r\n',
      ...(leaf === undefined
        ? {}
        : { cert: [leaf, ...more].map(({ cert }) => cert).join(''), key: leaf.key }),
      ...options,
    })
  return { proxy, caA, show }
}

await proxyTest(
  'SVIDs of several trust domains lead to their tenants, also through intermediates',
  async (t, lab) => {
    const { show } = await start(t, lab)
    t.match((await show([await svid(ACME, rootA)])).text, /acme$/)
    t.match((await show([await svid(ACME, belowA), belowA])).text, /acme$/)
    const nameless = await svid(ACME, rootA, { subject: [], altNamesCritical: true })
    t.match((await show([nameless])).text, /acme$/, 'a subject is not required')
    t.match((await show([await svid('spiffe://b.example/any', belowB), belowB])).text, /partner$/)
  },
)

await proxyTest(
  'path prefix mapping: the exact id, else the longest prefix, and never the neighbour',
  async (t, lab) => {
    const { show } = await start(t, lab)
    for (const [path, outcome] of [
      ['/ns/acme/web', /acme$/],
      ['/ns/acme/a/b/c', /acme$/],
      ['/ns/acme/admin', /admin$/],
      ['/ns/acme/admin/x', /acme$/],
      ['/ns/acme/team/x', /team$/],
      ['/ns/acme', /about:amt\/unroutable/],
      ['/ns/acme2/web', /about:amt\/unroutable/],
      ['/ns/acm', /about:amt\/unroutable/],
      ['/NS/acme/web', /about:amt\/unroutable/],
    ] as const)
      t.match((await show([await svid(`spiffe://a.example${path}`, rootA)])).text, outcome, path)
  },
)

await proxyTest(
  "an SVID that another trust domain's authority has signed is refused and counted",
  async (t, lab) => {
    const { show, proxy } = await start(t, lab)
    const forged = [
      [await svid(ACME, rootB)],
      [await svid(ACME, belowB), belowB],
      [await svid('spiffe://b.example/any', belowA), belowA],
      [await svid('spiffe://unknown.example/x', rootA)],
    ]
    for (const chain of forged)
      t.match((await show(chain)).text, /^HTTP\/1.1 401 [\s\S]*about:amt\/svid_untrusted/)
    t.equal(proxy.rejected('svid_untrusted'), forged.length)
    // Bytes that are no HTTP get no answer, and go nowhere.
    t.equal((await show([await svid(ACME, rootB)], { call: '*1\r\n$4\r\nPING\r\n' })).text, '')
  },
)

await proxyTest(
  'a bad SVID falls back to no other identity: neither name, nor pin, nor credential',
  async (t, lab) => {
    const { show, proxy } = await start(t, lab)
    const bad: readonly CertificateParts[] = [
      { altNames: [uri(ACME), uri(ACME)] },
      { altNames: [uri(ACME), uri('https://a.example')] },
      { keyUsage: ['digitalSignature', 'cRLSign'] },
      { keyUsage: 'absent' },
      { altNames: [uri(`${ACME}/`)] },
    ]
    const call = 'GET / HTTP/1.1\r\nhost: acme.test\r\nconnection: close\r\n\r\n'
    t.match((await show([], { call })).text, /acme$/, 'the host name alone would do')
    for (const parts of bad) {
      const { text } = await show([await svid(ACME, rootA, parts)], { call })
      t.match(text, /^HTTP\/1.1 401 [\s\S]*about:amt\/svid_invalid/)
    }
    t.equal(proxy.rejected('svid_invalid'), bad.length)
    const { text } = await show([await svid(ACME, rootB)], { call })
    t.match(text, /svid_untrusted/)
    // What means to be no SVID is no evidence, and contradicts nothing.
    const plain = await issue({ issuer: rootA, altNames: [dns('x')] })
    t.match((await show([plain], { call })).text, /acme$/)
  },
)

await proxyTest(
  'with several trust domains no session is resumed; with one they are',
  async (t, lab) => {
    const several = await start(t, lab)
    const one = await start(t, lab, { trustDomain: 'a.example' })
    const leaf = await svid(ACME, belowA)
    for (const [{ show }, resumed] of [
      [several, false],
      [one, true],
    ] as const) {
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const first = await show([leaf, belowA], { maxVersion })
        t.match(first.text, /acme$/)
        const second = await show([leaf, belowA], { maxVersion, session: first.session })
        t.equal(second.resumed, resumed, maxVersion)
        t.match(second.text, /acme$/)
      }
    }
  },
)

await proxyTest('deployments see subject, hash and id of an SVID', async (t, lab) => {
  const folder = mkdtempSync(join(tmpdir(), 'amt-spiffe-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'a.crt'), rootA.cert)
  const ours = await TestAuthority.create(t)
  const server = await ours.server(['p.test'])
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({
    listeners: [
      {
        name: 'public',
        mode: 'shared',
        address: '127.0.0.1:0',
        tls: {
          certificates: [{ cert: server.certPath, key: server.keyPath }],
          clientCertificate: 'required',
          clientCa: join(folder, 'a.crt'),
        },
      },
    ],
    authentication: { spiffe: { trustDomain: 'a.example' } },
    tenants: [tenant('acme', deployment, { credentials: [{ spiffe: ACME }] })],
  })
  const { cert, key, x509 } = await svid(ACME, rootA)
  const client = await lab.tlsClient(proxy, { ca: ours.cert, servername: 'p.test', cert, key })
  await client.send(get())
  const upstream = await deployment.next()
  const hash = x509.fingerprint256.replaceAll(':', '').toLowerCase()
  t.same(fieldsOf(await upstream.readHead(), 'x-forwarded-client-cert'), [
    `Hash=${hash};Subject="CN=acme";URI=${ACME}`,
  ])
})

await proxyTest(
  'curl shows an SVID, or another that its trust domain has not signed',
  async (t, lab) => {
    if (WITHOUT_CURL !== false) {
      t.comment(WITHOUT_CURL)
      return
    }
    const { proxy } = await start(t, lab)
    const folder = mkdtempSync(join(tmpdir(), 'amt-spiffe-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    for (const [chain, status, body] of [
      [[await svid(ACME, belowA), belowA], 200, /^acme$/],
      [[await svid(ACME, belowB), belowB], 401, /svid_untrusted/],
    ] as const) {
      const files = { cert: join(folder, 'svid.pem'), key: join(folder, 'svid.key') }
      writeFileSync(files.cert, chain.map(({ cert }) => cert).join(''))
      writeFileSync(files.key, chain[0].key)
      const url = `https://127.0.0.1:${proxy.port('public')}/`
      const [answer] = await curl([['--insecure', '--cert', files.cert, '--key', files.key, url]])
      t.equal(answer?.status, status)
      t.match(answer?.body, body)
    }
  },
)

await proxyTest('a JWT-SVID leads to the tenant of its SPIFFE id', async (t, lab) => {
  const folder = mkdtempSync(join(tmpdir(), 'amt-spiffe-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k1', use: 'jwt-svid' }
  const jwks = join(folder, 'bundle.json')
  writeFileSync(jwks, JSON.stringify({ keys: [jwk], spiffe_sequence: 1 }))
  const proxy = await lab.forOne(await lab.deployment({ serve: answering(ok('acme')) }), {
    authentication: {
      spiffe: { trustDomains: [{ name: 'a.example', jwks, audiences: ['orders'] }] },
    },
    tenants: [
      tenant('acme', await lab.deployment({ serve: answering(ok('acme')) }), {
        credentials: [{ spiffe: 'spiffe://a.example/ns/acme/*' }],
      }),
    ],
  })
  const token = (sub: string): Promise<string> =>
    new CompactSign(
      Buffer.from(
        JSON.stringify({ sub, aud: ['orders'], exp: Math.floor(Date.now() / 1_000) + 60 }),
      ),
    )
      .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'JWT' })
      .sign(privateKey)
  for (const [sub, status] of [
    [ACME, 200],
    ['spiffe://a.example/ns/acme2/web', 401],
    ['spiffe://b.example/ns/acme/web', 401],
  ] as const) {
    const client = await lab.client(proxy)
    await client.send(
      `GET / HTTP/1.1\r\nhost: any.test\r\nauthorization: Bearer ${await token(sub)}\r\nconnection: close\r\n\r\n`,
    )
    await client.until(() => client.ended || client.closed, 'the answer')
    t.match(client.text, new RegExp(`^HTTP/1.1 ${status} `), sub)
  }
})

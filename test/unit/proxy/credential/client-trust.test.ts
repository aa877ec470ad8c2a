/** Each trust domain is bound to its own authorities: which of them a certificate comes from, with real handshakes. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import {
  connect,
  createSecureContext,
  createServer,
  type SecureVersion,
  type TLSSocket,
} from 'node:tls'
import { type Test, test } from 'tap'
import { readClientCertificate } from '../../../../src/proxy/credential/client-certificate.ts'
import {
  ClientTrust,
  type SpeakingAuthority,
} from '../../../../src/proxy/credential/client-trust.ts'
import {
  authority,
  type CertificateParts,
  type Issued,
  svid,
} from '../../../support/custom-certificate.ts'

const [a, b, other] = await Promise.all([authority('A'), authority('B'), authority('other')])
const belowA = await authority('below A', { issuer: a })
const belowB = await authority('below B', { issuer: b })
const ID_A = 'spiffe://a.example/x'
const ID_B = 'spiffe://b.example/x'
const SPIFFE = {
  trustDomain: undefined,
  trustDomains: [
    { name: 'a.example', ca: 'a', clockSkew: 0, maxStale: 0 },
    { name: 'b.example', ca: 'b', clockSkew: 0, maxStale: 0 },
  ],
}
const speaks = (issued: Issued, trustDomain?: string): SpeakingAuthority => ({
  certificate: issued.cert,
  trustDomain,
})
const BOTH = [speaks(a, 'a.example'), speaks(b, 'b.example'), speaks(other)]
const server = await svid('spiffe://a.example/server', a)

interface Visit {
  readonly authorities?: readonly SpeakingAuthority[]
  readonly trust?: ClientTrust
  readonly version?: SecureVersion
  readonly session?: Buffer
}

interface Seen {
  /** `undefined`: the handshake failed. */
  readonly id: string | undefined
  readonly fault: string | undefined
  readonly resumed: boolean
  readonly session: Buffer | undefined
}

/** What is read of a client that shows `chain`, the first of which it has the key of. */
async function visit(
  t: Test,
  chain: readonly Issued[],
  options: Visit = {},
): Promise<Seen | 'refused'> {
  const { authorities = BOTH, version = 'TLSv1.3', session } = options
  const trust = options.trust ?? new ClientTrust(SPIFFE, authorities)
  const at = listening.get(authorities) ?? (await listen(t, authorities))
  const accepted = once(at, 'secureConnection') as Promise<[TLSSocket]>
  const [leaf] = chain
  if (leaf === undefined) throw new Error('no certificate')
  const client = connect({
    port: (at.address() as AddressInfo).port,
    host: '127.0.0.1',
    servername: 'amt.test',
    cert: chain.map(({ cert }) => cert).join(''),
    key: leaf.key,
    rejectUnauthorized: false,
    maxVersion: version,
    session,
  })
  const ticket = once(client, 'session') as Promise<[Buffer]>
  const [socket] = await accepted
  const seen = readClientCertificate(socket, trust, Date.now())
  const resumed = socket.isSessionReused()
  const [kept] = session === undefined ? await ticket : [undefined]
  socket.destroy()
  client.destroy()
  if (seen === undefined) return 'refused'
  return { id: seen.spiffeId, fault: seen.fault, resumed, session: kept }
}

const listening = new Map<readonly SpeakingAuthority[], ReturnType<typeof createServer>>()

async function listen(
  t: Test,
  authorities: readonly SpeakingAuthority[],
): Promise<ReturnType<typeof createServer>> {
  const ca = authorities.map(({ certificate }) => certificate)
  const { key, cert } = server
  // `createServer` takes no notice of `allowPartialTrustChain`.
  const context = createSecureContext({ key, cert, ca, allowPartialTrustChain: true })
  const made = createServer({
    key,
    cert,
    ca,
    requestCert: true,
    rejectUnauthorized: false,
    SNICallback: (_name, done) => done(null, context),
  })
  made.listen(0, '127.0.0.1')
  await once(made, 'listening')
  listening.set(authorities, made)
  t.teardown(() => {
    made.close()
    listening.delete(authorities)
  })
  return made
}

const good = (id: string): object => ({ id, fault: undefined })
const untrusted = { id: undefined, fault: 'svid_untrusted' }

await test('an SVID counts if an authority of its trust domain has signed it', async t => {
  t.match(await visit(t, [await svid(ID_A, a)]), good(ID_A))
  t.match(await visit(t, [await svid(ID_B, b)]), good(ID_B))
  t.match(await visit(t, [await svid(ID_A, belowA), belowA]), good(ID_A), 'through an intermediate')
  t.match(
    await visit(t, [await svid(ID_A, a), belowB, a]),
    good(ID_A),
    'what else is sent is no matter',
  )
})

await test("an SVID of A that B's authority has signed is refused", async t => {
  t.match(await visit(t, [await svid(ID_A, b)]), untrusted)
  t.match(await visit(t, [await svid(ID_B, a)]), untrusted)
  t.match(await visit(t, [await svid(ID_A, other)]), untrusted, 'an authority of no trust domain')
})

await test("the same through B's intermediates, in whatever order they are sent", async t => {
  t.match(await visit(t, [await svid(ID_A, belowB), belowB]), untrusted)
  const deeper = await authority('deeper', { issuer: belowB })
  t.match(await visit(t, [await svid(ID_A, deeper), deeper, belowB]), untrusted)
  t.match(await visit(t, [await svid(ID_A, deeper), belowB, deeper]), untrusted)
  t.match(await visit(t, [await svid(ID_A, deeper), a, belowA, belowB, deeper]), untrusted)
})

await test("B's intermediate that calls itself as A's authority proves nothing", async t => {
  // Same name and same key identifier: by these alone nobody could tell the two.
  const forged = await authority('A', { issuer: b, subjectKeyId: a.keyId })
  const leaf = await svid(ID_A, forged)
  for (const chain of [
    [leaf, forged],
    [leaf, forged, a],
    [leaf, a, forged],
  ]) {
    const seen = await visit(t, chain)
    t.ok(seen === 'refused' || seen.id === undefined)
  }
  // The same name as an intermediate of A, whose certificate anybody may send along.
  const twin = await authority('below A', { issuer: b, subjectKeyId: belowA.keyId })
  const below = await svid(ID_A, twin)
  for (const chain of [
    [below, twin],
    [below, twin, belowA],
    [below, belowA, twin],
  ]) {
    const seen = await visit(t, chain)
    t.ok(seen === 'refused' || seen.id === undefined)
  }
})

await test('a leaf of A is no authority, also where B signs its key and name as one', async t => {
  const leaf = await svid(ID_A, a)
  const promoted = await authority('acme', { issuer: b, keys: leaf.keys, subjectKeyId: leaf.keyId })
  const forged = await svid('spiffe://a.example/admin', { ...promoted, name: leaf.name })
  for (const chain of [
    [forged, promoted],
    [forged, leaf, promoted],
    [forged, promoted, leaf],
  ]) {
    const seen = await visit(t, chain)
    t.ok(seen === 'refused' || seen.id === undefined)
  }
})

await test('a resumed session has no chain: known certificates count, others do not', async t => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const honest = await svid(ID_A, belowA)
    const trust = new ClientTrust(SPIFFE, BOTH)
    const first = await visit(t, [honest, belowA], { trust, version })
    if (first === 'refused' || first.session === undefined) throw new Error('no session')
    const { session } = first
    t.match(await visit(t, [honest, belowA], { trust, version, session }), {
      ...good(ID_A),
      resumed: true,
    })
    // Another worker, which has not seen it: no authority can be told, so none is.
    t.match(await visit(t, [honest, belowA], { version, session }), { ...untrusted, resumed: true })

    // Without its chain this looks as if A had signed it.
    const forger = await authority('A', { issuer: b, subjectKeyId: a.keyId })
    const forged = await svid(ID_A, forger)
    const second = await visit(t, [forged, forger], { version })
    if (second === 'refused' || second.session === undefined) continue
    t.match(await visit(t, [forged, forger], { version, session: second.session }), {
      id: undefined,
    })
  }
})

await test('one trust domain for all authorities: what OpenSSL has verified is of it, resumed or not', async t => {
  const spiffe = { trustDomain: 'a.example', trustDomains: [] }
  const authorities = [speaks(a, 'a.example'), speaks(other, 'a.example')]
  const trust = new ClientTrust(spiffe, authorities)
  t.equal(trust.divided, false)
  const leaf = await svid(ID_A, belowA)
  const first = await visit(t, [leaf, belowA], { trust, authorities })
  if (first === 'refused' || first.session === undefined) throw new Error('no session')
  t.match(first, good(ID_A))
  t.match(await visit(t, [leaf, belowA], { trust, authorities, session: first.session }), {
    ...good(ID_A),
    resumed: true,
  })
  t.match(await visit(t, [await svid(ID_B, a)], { trust, authorities }), untrusted)
  t.match(await visit(t, [await svid(ID_A, b)], { trust, authorities }), 'refused')
})

await test('a trust domain may have several authorities, and intermediate ones', async t => {
  const authorities = [
    speaks(a, 'a.example'),
    speaks(other, 'a.example'),
    speaks(belowB, 'b.example'),
  ]
  const trust = new ClientTrust(SPIFFE, authorities)
  for (const [id, chain] of [
    [ID_A, [await svid(ID_A, a)]],
    [ID_A, [await svid(ID_A, other)]],
    [ID_B, [await svid(ID_B, belowB)]],
    [ID_B, [await svid(ID_B, belowB), belowB]],
  ] as const)
    t.match(await visit(t, chain, { trust, authorities }), good(id))
})

await test('an intermediate authority speaks for its own trust domain, not for that of the root above it', async t => {
  const authorities = [speaks(belowA, 'a.example'), speaks(a, 'b.example')]
  const trust = new ClientTrust(SPIFFE, authorities)
  for (const more of [[], [belowA], [belowA, a]]) {
    t.match(await visit(t, [await svid(ID_A, belowA), ...more], { trust, authorities }), good(ID_A))
    t.match(await visit(t, [await svid(ID_B, belowA), ...more], { trust, authorities }), untrusted)
  }
  t.match(await visit(t, [await svid(ID_B, a)], { trust, authorities }), good(ID_B))
})

await test('more intermediates than anybody needs are not followed', async t => {
  const leaf = await svid(ID_A, belowA)
  const many = (count: number): Issued[] => [leaf, belowA, ...Array<Issued>(count).fill(b)]
  t.match(await visit(t, many(7)), good(ID_A))
  t.match(await visit(t, many(8)), untrusted)
})

await test('trust domains that only have keys for tokens have no certificates', async t => {
  const parts: CertificateParts = {}
  const spiffe = {
    trustDomain: undefined,
    trustDomains: [{ name: 'a.example', jwks: 'x', clockSkew: 0, maxStale: 0 }],
  }
  const authorities = [speaks(a)]
  const trust = new ClientTrust(spiffe, authorities)
  t.match(await visit(t, [await svid(ID_A, a, parts)], { trust, authorities }), untrusted)
  t.equal(trust.knows('a.example'), true)
  t.equal(trust.knows('b.example'), false)
})

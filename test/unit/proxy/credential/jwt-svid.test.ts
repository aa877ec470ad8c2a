/** The rules of JWT-SVID for bearer tokens, each by its name (JWT-SVID, sections 2 to 6). */
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { CompactSign, FlattenedSign, type JWK, UnsecuredJWT } from 'jose'
import { type Test, test } from 'tap'
import type { SpiffeConfig } from '../../../../src/config/schema.ts'
import { JwtChecker } from '../../../../src/proxy/credential/jwt.ts'
import { TenantDirectory } from '../../../../src/proxy/tenant/directory.ts'
import { Tenant } from '../../../../src/proxy/tenant/tenant.ts'
import {
  issuerConfig,
  JwksServer,
  NOW,
  ownIssuer,
  RecordingLog,
  signingKey,
  sign as signJwt,
  tenantConfig,
} from '../../../support/token-issuer.ts'

const SECONDS = NOW / 1_000
const ID = 'spiffe://a.example/ns/acme/web'

interface Signer {
  readonly alg: string
  readonly privateKey: KeyObject
  readonly jwk: JWK
}

/** A key of a bundle. */
function signer(kid: string, alg = 'ES256', use = 'jwt-svid'): Signer {
  const { privateKey, publicKey } = pair(alg)
  return { alg, privateKey, jwk: { ...(publicKey.export({ format: 'jwk' }) as JWK), kid, use } }
}

function pair(alg: string): { publicKey: KeyObject; privateKey: KeyObject } {
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519')
  if (!alg.startsWith('ES')) return generateKeyPairSync('rsa', { modulusLength: 2048 })
  const curve = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[alg] ?? 'P-256'
  return generateKeyPairSync('ec', { namedCurve: curve })
}

const key = signer('k1')

type Members = Record<string, unknown>

/** An SVID that is good for a minute; `undefined` leaves a member out. */
function svid(by: Signer, claims: Members = {}, header: Members = {}): Promise<string> {
  const payload = { sub: ID, aud: ['orders'], exp: SECONDS + 60, ...claims }
  const all = { alg: by.alg, kid: by.jwk.kid, typ: 'JWT', ...header }
  const members = JSON.parse(JSON.stringify(all)) as Members & { alg: string }
  return new CompactSign(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader(members)
    .sign(by.privateKey)
}

const TENANTS = [
  tenantConfig('acme', { credentials: [{ spiffe: 'spiffe://a.example/ns/acme/*' }] }),
  tenantConfig('admin', { credentials: [{ spiffe: 'spiffe://a.example/ns/acme/admin' }] }),
  tenantConfig('partner', { credentials: [{ spiffe: 'spiffe://b.example/*' }] }),
]

interface Options {
  readonly keys?: readonly JWK[]
  readonly keysOfB?: readonly JWK[]
}

async function setUp(t: Test, { keys = [key.jwk], keysOfB = [] }: Options = {}) {
  const [bundleA, bundleB, idp] = [
    await new JwksServer().listen(),
    await new JwksServer().listen(),
    await new JwksServer(signingKey('i1')).listen(),
  ]
  bundleA.keys = keys
  bundleB.keys = keysOfB
  const rest = {
    audiences: ['orders', 'spiffe://a.example/orders'],
    clockSkew: 10_000,
    maxStale: 60_000,
  }
  const spiffe: SpiffeConfig = {
    trustDomain: 'short.example',
    trustDomains: [
      { ...rest, name: 'a.example', jwks: bundleA.url },
      { ...rest, name: 'b.example', jwks: bundleB.url },
      { name: 'c.example', ca: 'c.crt', clockSkew: 0, maxStale: 0 },
    ],
  }
  const directory = TenantDirectory.compile(TENANTS, 1)
  const checker = new JwtChecker({ directory, log: new RecordingLog() })
  checker.setIssuers([issuerConfig(idp.url)], spiffe)
  t.teardown(async () => {
    await checker.close()
    for (const server of [bundleA, bundleB, idp]) await server.close()
  })
  const check = async (token: string, nowMs = NOW): Promise<string> => {
    const result = await checker.check(token, nowMs)
    return result instanceof Tenant ? result.id : result
  }
  return { check, checker, bundleA, spiffe, idp }
}

await test('an SVID is whose its SPIFFE id is, exactly as a certificate: exact id, else longest prefix', async t => {
  const { check } = await setUp(t)
  t.equal(await check(await svid(key)), 'acme')
  t.equal(await check(await svid(key, { sub: 'spiffe://a.example/ns/acme/admin' })), 'admin')
  t.equal(
    await check(await svid(key, { sub: 'spiffe://a.example/ns/acme2/web' })),
    'credential_invalid',
    'nobody: a prefix ends at a slash',
  )
  t.equal(await check(await svid(key, { sub: 'spiffe://a.example/other' })), 'credential_invalid')
})

await test('aud is mandatory, and one of its values must be ours', async t => {
  const { check } = await setUp(t)
  for (const aud of ['orders', ['orders'], ['x', 'orders'], 'spiffe://a.example/orders'])
    t.equal(await check(await svid(key, { aud })), 'acme')
  for (const aud of [
    undefined,
    '',
    [],
    'order',
    ['x'],
    'ORDERS',
    [['orders']],
    { 0: 'orders' },
    7,
    null,
  ])
    t.equal(await check(await svid(key, { aud })), 'credential_invalid', JSON.stringify(aud))
})

await test('exp is mandatory, and must not be in the past', async t => {
  const { check } = await setUp(t)
  for (const exp of [undefined, null, 'soon', `${SECONDS + 60}`, {}, []])
    t.equal(await check(await svid(key, { exp })), 'credential_invalid', JSON.stringify(exp))
  t.equal(await check(await svid(key, { exp: SECONDS - 9 })), 'acme', 'a little leeway')
  t.equal(await check(await svid(key, { exp: SECONDS - 10 })), 'credential_expired')
  const token = await svid(key)
  t.equal(await check(token), 'acme')
  t.equal(await check(token, NOW + 71_000), 'credential_expired', 'also one that is known')
})

await test('sub must be a SPIFFE id of the trust domain, of the same syntax as in certificates', async t => {
  const { check } = await setUp(t)
  for (const sub of [
    'spiffe://a.example',
    'spiffe://a.example/',
    `${ID}/`,
    `${ID}?x`,
    `${ID}#x`,
    'spiffe://A.example/ns/acme/web',
    'SPIFFE://a.example/ns/acme/web',
    'spiffe://a.example/ns/acme/../acme/web',
    'spiffe://a.example//ns/acme/web',
    'spiffe://a.example/ns/acme/%77eb',
    `${ID}/${'x'.repeat(2_048)}`,
  ])
    t.equal(await check(await svid(key, { sub })), 'credential_invalid', sub.slice(0, 60))
  // These do not claim to be of a trust domain that we take tokens of.
  for (const sub of [
    'spiffe://a.example:443/x',
    'spiffe://user@a.example/x',
    'spiffe://c.example/x',
    'spiffe://short.example/x',
    'spiffe://unknown.example/x',
    'acme',
    '',
    undefined,
    7,
  ])
    t.equal(await check(await svid(key, { sub })), 'foreign', String(sub))
})

await test('alg is one of RS, ES and PS with 256, 384 or 512, and nothing else', async t => {
  const algorithms = [
    'RS256',
    'RS384',
    'RS512',
    'ES256',
    'ES384',
    'ES512',
    'PS256',
    'PS384',
    'PS512',
  ]
  const signers = algorithms.map(alg => signer(alg, alg))
  const edwards = signer('ed', 'EdDSA')
  const { check } = await setUp(t, { keys: [...signers, edwards].map(({ jwk }) => jwk) })
  for (const each of signers) t.equal(await check(await svid(each)), 'acme', each.alg)
  t.equal(await check(await svid(edwards)), 'credential_invalid', 'EdDSA')
  const claims = { sub: ID, aud: 'orders', exp: SECONDS + 60 }
  t.equal(await check(new UnsecuredJWT(claims).encode()), 'credential_invalid', 'none')
  const unsigned = (await svid(key)).replace(/\.[^.]*$/, '.')
  t.equal(await check(unsigned), 'credential_invalid', 'no signature')
  // Algorithm confusion: the public key as an HMAC secret.
  const secret = JSON.stringify(key.jwk)
  for (const alg of ['HS256', 'HS384', 'HS512']) {
    const input = [{ alg, kid: 'k1' }, claims]
      .map(part => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    const mac = createHmac(`sha${alg.slice(2)}`, secret)
      .update(input)
      .digest('base64url')
    t.equal(await check(`${input}.${mac}`), 'credential_invalid', alg)
  }
})

await test('typ, if there is one, is JWT or JOSE', async t => {
  const { check } = await setUp(t)
  for (const typ of [undefined, 'JWT', 'JOSE'])
    t.equal(await check(await svid(key, {}, { typ })), 'acme', String(typ))
  for (const typ of ['jwt', 'at+jwt', 'application/jwt', 'JWE', '', 7, null, ['JWT']])
    t.equal(await check(await svid(key, {}, { typ })), 'credential_invalid', JSON.stringify(typ))
})

await test('no other header may be in the token', async t => {
  const { check } = await setUp(t)
  for (const [name, value] of Object.entries({
    jwk: key.jwk,
    jku: 'https://evil.example',
    x5u: 'https://evil.example',
    x5c: ['AAAA'],
    cty: 'JWT',
    foo: 1,
  }))
    t.equal(await check(await svid(key, {}, { [name]: value })), 'credential_invalid', name)
})

await test('only compact serialization: JSON is no token', async t => {
  const { check } = await setUp(t)
  const payload = Buffer.from(JSON.stringify({ sub: ID, aud: 'orders', exp: SECONDS + 60 }))
  const flattened = await new FlattenedSign(payload)
    .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
    .sign(key.privateKey)
  t.equal(await check(JSON.stringify(flattened)), 'foreign')
  const compact = `${flattened.protected}.${flattened.payload}.${flattened.signature}`
  t.equal(await check(compact), 'acme')
  const { payload: text, signature } = flattened
  t.equal(
    await check(
      JSON.stringify({
        payload: text,
        signatures: [{ protected: flattened.protected, signature }],
      }),
    ),
    'foreign',
  )
  t.equal(await check(`${compact}.x`), 'foreign')
})

await test('only keys with use jwt-svid verify tokens, not those of certificates or of another use', async t => {
  const uses = ['x509-svid', 'sig', 'enc', 'JWT-SVID', undefined]
  const signers = uses.map((use, i) => signer(`k${i}`, 'ES256', use))
  const nameless = signer('x')
  const keys = [
    ...signers.map(({ jwk }, i) => JSON.parse(JSON.stringify({ ...jwk, use: uses[i] })) as JWK),
    { ...nameless.jwk, kid: undefined } as unknown as JWK,
  ]
  const { check } = await setUp(t, { keys: [...keys, key.jwk] })
  for (const [i, each] of signers.entries()) {
    t.equal(await check(await svid(each)), 'credential_invalid', String(uses[i]))
    t.equal(
      await check(await svid(each, {}, { kid: undefined })),
      'credential_invalid',
      'without kid',
    )
  }
  t.equal(
    await check(await svid(nameless, {}, { kid: undefined })),
    'credential_invalid',
    'keys of a bundle have a kid',
  )
  t.equal(await check(await svid(key)), 'acme')
  t.equal(
    await check(await svid(key, {}, { kid: undefined })),
    'acme',
    'kid is optional in a token',
  )
})

await test('keys of another trust domain verify nothing, and neither do those of an issuer of JWTs', async t => {
  const ofB = signer('kb')
  const ofIdp = signingKey('i1')
  const { check, idp } = await setUp(t, { keys: [key.jwk], keysOfB: [ofB.jwk] })
  idp.keys = [ofIdp.jwk]
  t.equal(await check(await svid(ofB, { sub: 'spiffe://b.example/x' })), 'partner')
  t.equal(await check(await svid(ofB)), 'credential_invalid', "B's key, A's id")
  t.equal(
    await check(await svid(key, { sub: 'spiffe://b.example/x' }, { kid: 'kb' })),
    'credential_invalid',
  )
  t.equal(
    await check(await svid({ ...ofIdp, jwk: { ...ofIdp.jwk, kid: 'k1' } })),
    'credential_invalid',
  )
  // And the other way round: a key for SVIDs is none of an issuer.
  idp.keys = [key.jwk]
  t.equal(
    await check(await svid(key, { iss: 'https://login.example.com', tenant: 'acme' })),
    'credential_invalid',
  )
})

await test('iss is not needed; a configured issuer is asked first, whatever the token is about', async t => {
  const { check, idp } = await setUp(t)
  t.equal(await check(await svid(key, { iss: 'https://spire.a.example' })), 'acme')
  t.equal(await check(await svid(key, { iss: 7 })), 'acme')
  const ofIdp = signingKey('i1')
  idp.keys = [ofIdp.jwk]
  // The tenant claim counts, sub does not.
  t.equal(await check(await signJwt(ofIdp, { sub: ID, tenant: 'partner' })), 'partner')
  t.equal(await check(await signJwt(ofIdp, { sub: ID, tenant: undefined })), 'credential_invalid')
})

await test("a tenant's own issuer cannot speak for a SPIFFE id", async t => {
  const { checker, check } = await setUp(t)
  const own = signingKey('o1')
  const server = await new JwksServer(own).listen()
  t.teardown(() => server.close())
  const [acme, ...others] = TENANTS
  if (acme === undefined) throw new Error('no tenant')
  const withIssuer = { ...acme, jwt: [ownIssuer(server.url)] }
  checker.setDirectory(TenantDirectory.compile([withIssuer, ...others], 2))
  const claims = { iss: 'https://login.acme.example', sub: 'spiffe://b.example/x' }
  t.equal(await check(await signJwt(own, claims)), 'acme', 'it is acme’s, as everything it says')
})

await test('a bundle without keys takes all tokens away; a key that leaves it takes its own', async t => {
  const { check, bundleA } = await setUp(t)
  const token = await svid(key)
  t.equal(await check(token), 'acme')
  bundleA.keys = []
  t.equal(await check(token, NOW + 1_000), 'acme', 'until the bundle is fetched again')
  const later = await svid(key, { exp: SECONDS + 36_000 })
  t.equal(await check(later, NOW + 3_600_000), 'credential_invalid')
})

await test('a SPIFFE id that goes to another tenant takes its known tokens along', async t => {
  const { check, checker } = await setUp(t)
  const token = await svid(key)
  t.equal(await check(token), 'acme')
  const moved = tenantConfig('other', { credentials: [{ spiffe: ID }] })
  checker.setDirectory(TenantDirectory.compile([...TENANTS, moved], 2))
  t.equal(await check(token), 'other')
})

await test('a trust domain that leaves the configuration takes its tokens along', async t => {
  const { check, checker, spiffe } = await setUp(t)
  const token = await svid(key)
  t.equal(await check(token), 'acme')
  checker.setIssuers([], { ...spiffe, trustDomains: spiffe.trustDomains.slice(1) })
  t.equal(await check(token), 'foreign')
})

await test('what is damaged is never taken: any change of a token', async t => {
  const { check } = await setUp(t)
  const token = await svid(key)
  for (let at = 0; at < token.length; at += 7) {
    const other = token[at] === 'A' ? 'B' : 'A'
    const damaged = token.slice(0, at) + other + token.slice(at + 1)
    if ((await check(damaged)) === 'acme') t.fail(`changed at ${at}`)
  }
  t.pass()
})

import { type Test, test } from 'tap'
import { JwtChecker } from '../../../../src/proxy/credential/jwt.ts'
import {
  DEFAULT_JWT_OPTIONS,
  type JwtOptions,
} from '../../../../src/proxy/credential/jwt-options.ts'
import { TenantDirectory } from '../../../../src/proxy/tenant/directory.ts'
import { Tenant } from '../../../../src/proxy/tenant/tenant.ts'
import { assemble } from '../../../support/forged-token.ts'
import {
  directoryOf,
  ISSUER,
  issuerConfig,
  JwksServer,
  NOW,
  RecordingLog,
  sign,
  signingKey,
  tenantConfig,
} from '../../../support/token-issuer.ts'

const key = signingKey('k1')
const other = signingKey('k2')

async function setUp(t: Test, options: Partial<JwtOptions> = {}) {
  const server = await new JwksServer(key, other).listen()
  const directory = directoryOf('acme', 'globex')
  const checker = new JwtChecker(
    { directory, log: new RecordingLog() },
    { ...DEFAULT_JWT_OPTIONS, ...options },
  )
  checker.setIssuers([issuerConfig(server.url)])
  t.teardown(async () => {
    await checker.close()
    await server.close()
  })
  return { server, checker, directory }
}

await test('answers a known token at once, with the very tenant of the directory', async t => {
  const { checker, directory } = await setUp(t)
  const token = await sign(key)
  const first = checker.check(token, NOW)
  t.ok(first instanceof Promise)
  t.equal(await first, directory.byId('acme'))
  t.equal(checker.check(token, NOW), directory.byId('acme'))
  t.same(checker.takeCounters(), { hit: 1, miss: 1, reject: 0 })
  t.same(checker.takeCounters(), { hit: 0, miss: 0, reject: 0 })
})

await test('a known token ends with its expiry and skew, to the second', async t => {
  const { checker, directory } = await setUp(t)
  const token = await sign(key, { exp: NOW / 1_000 + 10 })
  await checker.check(token, NOW)
  t.equal(checker.check(token, NOW + 69_999), directory.byId('acme'))
  t.equal(await checker.check(token, NOW + 70_000), 'credential_expired')
  t.equal(await checker.check(token, NOW + 70_000), 'credential_expired')
  t.equal(checker.takeCounters().reject, 2)
})

await test('a known token ends when its key leaves the key set, those of other keys stay', async t => {
  const { server, checker, directory } = await setUp(t)
  const [token, stays] = [await sign(key), await sign(other)]
  await checker.check(token, NOW)
  await checker.check(stays, NOW)
  server.keys = [other.jwk]
  const later = NOW + 601_000
  t.equal(
    checker.check(token, later),
    directory.byId('acme'),
    'still good while the fetch is under way',
  )
  const unknown = await sign(key, {}, { kid: 'k3' })
  t.equal(await checker.check(unknown, later), 'credential_invalid', 'waits for that fetch')
  t.equal(checker.check(stays, later), directory.byId('acme'), 'no verification again')
  t.equal(await checker.check(token, later), 'credential_invalid')
})

await test('a known token ends with its issuer, and survives a change of another', async t => {
  const { server, checker, directory } = await setUp(t)
  const token = await sign(key)
  await checker.check(token, NOW)
  const config = issuerConfig(server.url)
  checker.setIssuers([structuredClone(config), issuerConfig(server.url, { issuer: 'https://b' })])
  t.equal(checker.check(token, NOW), directory.byId('acme'))
  checker.setIssuers([{ ...config, audiences: ['billing'] }])
  t.equal(await checker.check(token, NOW), 'credential_invalid', 'other rules: verified again')
  checker.setIssuers([])
  t.equal(await checker.check(token, NOW), 'foreign')
})

await test('a verification that ends after its issuer was removed is worth nothing', async t => {
  const { checker } = await setUp(t)
  const duringFetch = checker.check(await sign(key), NOW)
  checker.setIssuers([])
  t.equal(await duringFetch, 'credential_check_unavailable')
  const { checker: second } = await setUp(t)
  await second.check(await sign(key), NOW)
  const duringSignature = second.check(await sign(key, { jti: '2' }), NOW)
  second.setIssuers([])
  t.equal(await duringSignature, 'credential_check_unavailable')
})

await test('a new directory maps known tokens anew without verifying them', async t => {
  const { server, checker, directory } = await setUp(t)
  const token = await sign(key, { org: 'x' })
  await checker.check(token, NOW)
  const acme = tenantConfig('acme', { disabled: true })
  const changed = TenantDirectory.update(directory, [acme, tenantConfig('globex')], 2)
  checker.setDirectory(changed)
  t.equal(checker.check(token, NOW), changed.byId('acme'), 'the new object of the tenant')
  const credentials = [{ jwt: { issuer: ISSUER, claims: { org: 'x' } } }]
  const moved = TenantDirectory.update(changed, [acme, tenantConfig('globex', { credentials })], 3)
  checker.setDirectory(moved)
  t.equal(checker.check(token, NOW), moved.byId('globex'))
  checker.setDirectory(TenantDirectory.update(moved, [], 4))
  t.equal(checker.check(token, NOW), 'credential_invalid')
  checker.setDirectory(directory)
  t.equal(checker.check(token, NOW), directory.byId('acme'))
  t.equal(server.requests, 1)
})

await test('a known token that names several ids is nobody’s once two of them are tenants', async t => {
  const { checker, directory } = await setUp(t)
  const [one, several] = [await sign(key), await sign(key, { tenant: ['acme', 'newco'] })]
  await checker.check(one, NOW)
  t.equal(await checker.check(several, NOW), directory.byId('acme'))
  const next = TenantDirectory.update(
    directory,
    ['acme', 'globex', 'newco'].map(id => tenantConfig(id)),
    2,
  )
  checker.setDirectory(next)
  t.equal(checker.check(one, NOW), next.byId('acme'))
  t.equal(checker.check(several, NOW), 'credential_invalid')
})

await test('a verification that ends under a new directory uses the new one', async t => {
  const { checker, directory } = await setUp(t)
  const pending = checker.check(await sign(key), NOW)
  const next = TenantDirectory.update(directory, [tenantConfig('acme', { disabled: true })], 2)
  checker.setDirectory(next)
  t.equal(await pending, next.byId('acme'))
})

await test('verifies a token once for all who wait for it', async t => {
  const { checker, directory } = await setUp(t)
  const token = await sign(key)
  const results = await Promise.all(
    Array.from({ length: 50 }, async () => checker.check(token, NOW)),
  )
  t.ok(results.every(result => result === directory.byId('acme')))
  t.same(checker.takeCounters(), { hit: 49, miss: 1, reject: 0 })
})

await test('bounds the verifications under way', async t => {
  const { checker } = await setUp(t, { underWay: { total: 4, source: 4, regained: 10, owner: 4 } })
  const tokens = await Promise.all(Array.from({ length: 6 }, (_, i) => sign(key, { jti: `${i}` })))
  const started = tokens.map(token => checker.check(token, NOW))
  t.equal(started[4], 'credential_check_unavailable')
  t.equal(started[5], 'credential_check_unavailable')
  const results = await Promise.all(started.slice(0, 4).map(async result => result))
  t.ok(results.every(result => result instanceof Tenant))
  t.ok((await checker.check(tokens[4] ?? '', NOW)) instanceof Tenant, 'not held against the token')
})

await test('repeats the refusal of a token without a signature check, for a moment', async t => {
  const { checker, server } = await setUp(t)
  const token = await sign(signingKey('k1'))
  t.equal(await checker.check(token, NOW), 'credential_invalid')
  t.equal(checker.check(token, NOW + 1_000), 'credential_invalid', 'without a promise')
  t.ok(checker.check(token, NOW + 5_000) instanceof Promise)
  t.equal(checker.check('opaque', NOW), 'foreign')
  t.same(checker.takeCounters(), { hit: 0, miss: 0, reject: 2 })
  t.ok(server.requests <= 2)
})

await test('refuses a refused token no longer once newer keys make it good', async t => {
  const { server, checker } = await setUp(t)
  const rotated = signingKey('k9')
  const [known, early] = [await sign(key), await sign(rotated)]
  await checker.check(known, NOW)
  t.equal(await checker.check(early, NOW), 'credential_invalid')
  server.keys = [key.jwk, rotated.jwk]
  const unknown = await sign(key, {}, { kid: 'k10' })
  await checker.check(unknown, NOW + 30_001)
  const token = await sign(rotated, { jti: '2' })
  t.ok((await checker.check(token, NOW + 30_002)) instanceof Tenant)
  t.ok((await checker.check(early, NOW + 30_002)) instanceof Tenant)
})

await test('refuses an issuer that is configured twice', async t => {
  const { server, checker } = await setUp(t)
  const config = issuerConfig(server.url)
  t.throws(() => checker.setIssuers([config, { ...config, audiences: ['x'] }]), /configured twice/)
})

await test('counts what was wrong with tokens, once each', async t => {
  const { checker } = await setUp(t)
  const bad = [
    await sign(key, {}, { typ: 'logout+jwt' }),
    await sign(key, { aud: 'x' }),
    await sign(key, { nbf: NOW }),
    await sign(key, { exp: 1 }),
    await sign(key, {}, { kid: 'unknown' }),
    await sign(signingKey('k1')),
    await sign(key, { tenant: 'nobody' }),
    assemble('{"alg":"ES256","alg":"ES256"}', JSON.stringify({ iss: ISSUER }), () => ''),
  ]
  for (const token of [...bad, ...bad]) await checker.check(token, NOW)
  await checker.check('opaque', NOW)
  t.same(checker.takeIssuerFigures(NOW).refused, {
    form: 1,
    header: 1,
    audience: 1,
    time: 1,
    expired: 1,
    key: 1,
    signature: 1,
    tenant: 1,
  })
  t.same(new Set(Object.values(checker.takeIssuerFigures(NOW).refused)), new Set([0]))
})

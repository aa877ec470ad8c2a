/** Issuers of one tenant: their tokens are that tenant's, whatever they claim, for as long as it has them. */
import { type Test, test } from 'tap'
import type { TenantConfig } from '../../../../src/config/schema.ts'
import { JwtChecker } from '../../../../src/proxy/credential/jwt.ts'
import { jwtRulesOfTenant } from '../../../../src/proxy/credential/jwt-issuer.ts'
import { DEFAULT_JWT_OPTIONS } from '../../../../src/proxy/credential/jwt-options.ts'
import { KeySources } from '../../../../src/proxy/credential/key-sources.ts'
import { SignatureQueue } from '../../../../src/proxy/credential/signature-queue.ts'
import { TenantDirectory } from '../../../../src/proxy/tenant/directory.ts'
import { Tenant } from '../../../../src/proxy/tenant/tenant.ts'
import {
  issuerConfig,
  JwksServer,
  NOW,
  ownIssuer,
  RecordingLog,
  sign,
  signingKey,
  tenantConfig,
} from '../../../support/token-issuer.ts'

const OWN = 'https://login.acme.example'
const key = signingKey('k1')
const ofService = signingKey('k1')

async function setUp(t: Test, acme: Partial<TenantConfig> = {}) {
  const server = await new JwksServer(key).listen()
  const service = await new JwksServer(ofService).listen()
  const jwt = [ownIssuer(server.url)]
  const tenants = [tenantConfig('acme', { jwt, ...acme }), tenantConfig('globex')]
  const directory = TenantDirectory.compile(tenants, 1)
  const checker = new JwtChecker({ directory, log: new RecordingLog() })
  checker.setIssuers([issuerConfig(service.url)])
  t.teardown(async () => {
    await checker.close()
    await server.close()
    await service.close()
  })
  const check = async (token: string, nowMs = NOW): Promise<string> => {
    const result = await checker.check(token, nowMs)
    return result instanceof Tenant ? result.id : result
  }
  const apply = (next: readonly TenantConfig[], generation: number): void =>
    checker.setDirectory(TenantDirectory.update(directory, next, generation))
  return { server, service, checker, check, apply, jwt }
}

const own = (claims: Record<string, unknown> = {}): Promise<string> =>
  sign(key, { iss: OWN, tenant: undefined, ...claims })

await test('every token of a tenant’s own issuer is this tenant’s, whatever tenant it claims', async t => {
  const { check } = await setUp(t, {
    credentials: [{ jwt: { issuer: 'https://login.example.com', claims: { org: 'x' } } }],
  })
  for (const tenant of [undefined, 'acme', 'globex', ['globex'], { id: 'globex' }, 'nobody'])
    t.equal(await check(await own({ tenant })), 'acme', JSON.stringify(tenant))
})

await test('a binding of another tenant never takes tokens of an own issuer', async t => {
  const { check, apply, jwt } = await setUp(t)
  // The loader refuses it: here it is as if it had come through.
  const credentials = [{ jwt: { issuer: OWN, claims: {} } }]
  apply([tenantConfig('acme', { jwt }), tenantConfig('globex', { credentials })], 2)
  t.equal(await check(await own()), 'acme')
})

await test('claims of an own issuer must be there, by path and in arrays', async t => {
  const claims = { 'realm.org': 'a', groups: 'staff', '["https://x/c","env"]': 'prod' }
  const server = await new JwksServer(key).listen()
  t.teardown(() => server.close())
  const { check } = await setUp(t, { jwt: [ownIssuer(server.url, { claims })] })
  const good = { realm: { org: 'a' }, groups: ['x', 'staff'], 'https://x/c': { env: 'prod' } }
  t.equal(await check(await own(good)), 'acme')
  for (const change of [
    { realm: { org: 'b' } },
    { realm: 'a' },
    { 'realm.org': 'a', realm: undefined },
    { groups: 'staffs' },
    { groups: [['staff']] },
    { 'https://x/c': undefined },
  ])
    t.equal(
      await check(await own({ ...good, ...change })),
      'credential_invalid',
      JSON.stringify(change),
    )
})

await test('an own issuer has its own audiences, algorithms and keys', async t => {
  const { check } = await setUp(t)
  t.equal(await check(await own({ aud: 'billing' })), 'credential_invalid')
  t.equal(
    await check(await sign(ofService, { iss: OWN })),
    'credential_invalid',
    'a key of the service',
  )
  t.equal(await check(await sign(key)), 'credential_invalid', 'its key for the service')
})

await test('what an own issuer says of time holds as for others', async t => {
  const { check } = await setUp(t)
  t.equal(await check(await own({ exp: NOW / 1_000 - 61 })), 'credential_expired')
  t.equal(await check(await own({ iat: NOW / 1_000 + 61 })), 'credential_invalid')
})

await test('an issuer that comes to a tenant is known with its next token', async t => {
  const { check, apply, jwt } = await setUp(t, { jwt: [] })
  const token = await own()
  t.equal(await check(token), 'foreign')
  t.equal(await check(token), 'foreign')
  apply([tenantConfig('acme', { jwt }), tenantConfig('globex')], 2)
  t.equal(await check(token), 'acme')
})

await test('known tokens end when the issuer leaves its tenant, or goes to another', async t => {
  const { check, apply, jwt, server } = await setUp(t)
  const token = await own()
  t.equal(await check(token), 'acme')
  apply([tenantConfig('acme'), tenantConfig('globex')], 2)
  t.equal(await check(token), 'foreign')
  apply([tenantConfig('acme'), tenantConfig('globex', { jwt })], 3)
  t.equal(await check(token), 'globex')
  apply([tenantConfig('acme', { jwt }), tenantConfig('globex')], 4)
  t.equal(await check(token), 'acme')
  t.ok(server.requests >= 2, 'the keys of the one are not those of the other')
})

await test('known tokens end when the rules of their issuer change', async t => {
  const { check, apply, jwt } = await setUp(t)
  const token = await own()
  t.equal(await check(token), 'acme')
  apply([tenantConfig('acme', { jwt: [{ ...jwt[0]!, audiences: ['billing'] }] })], 2)
  t.equal(await check(token), 'credential_invalid')
  apply([tenantConfig('acme', { jwt: [{ ...jwt[0]!, claims: { org: 'a' } }] })], 3)
  t.equal(await check(token), 'credential_invalid')
  apply([tenantConfig('acme', { jwt })], 4)
  t.equal(await check(token), 'acme')
})

await test('a token that is being verified while its issuer moves is nobody’s', async t => {
  const { checker, apply, jwt } = await setUp(t)
  const duringFetch = checker.check(await own(), NOW)
  apply([tenantConfig('acme'), tenantConfig('globex', { jwt })], 2)
  t.equal(await duringFetch, 'credential_check_unavailable')
})

await test('whoever asks an issuer of a tenant whose a token is gets that tenant or nobody', t => {
  const jwt = [ownIssuer('/dev/null')]
  const [acme, globex] = [tenantConfig('acme', { jwt }), tenantConfig('globex', { jwt })]
  const ofAcme = TenantDirectory.compile([acme], 1)
  const keySources = new KeySources(
    new RecordingLog(),
    DEFAULT_JWT_OPTIONS,
    DEFAULT_JWT_OPTIONS.fetches,
  )
  const deps = { keySources, signatures: new SignatureQueue(1) }
  const issuer = jwtRulesOfTenant(ofAcme.byId('acme') as Tenant, OWN).create(deps)
  t.equal(issuer.tenantOf({}, ofAcme), ofAcme.byId('acme'))
  t.equal(
    issuer.tenantOf({}, TenantDirectory.compile([globex], 1)),
    undefined,
    'it is globex’s there',
  )
  t.equal(issuer.tenantOf({}, TenantDirectory.empty()), undefined)
  issuer.close()
  t.end()
})

await test('an issuer that the service and a tenant have is nobody’s', async t => {
  const { check, apply, jwt, service } = await setUp(t)
  // The loader refuses it: here it is as if it had come through.
  const both = { ...jwt[0]!, issuer: 'https://login.example.com', jwks: service.url }
  apply([tenantConfig('acme', { jwt: [both] }), tenantConfig('globex')], 2)
  t.equal(await check(await sign(ofService)), 'foreign')
})

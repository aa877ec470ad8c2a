import { hash } from 'node:crypto'
import { type Test, test } from 'tap'
import { classify } from '../../../../src/proxy/classify/classify.ts'
import { Authenticator } from '../../../../src/proxy/credential/authenticator.ts'
import {
  CallEvidence,
  CredentialMemo,
  NO_CLAIMS,
} from '../../../../src/proxy/credential/call-evidence.ts'
import { TenantDirectory } from '../../../../src/proxy/tenant/directory.ts'
import { Tenant } from '../../../../src/proxy/tenant/tenant.ts'
import {
  issuerConfig,
  JwksServer,
  NOW,
  RecordingLog,
  sign,
  signingKey,
  tenantConfig,
} from '../../../support/token-issuer.ts'

const key = signingKey('k1')
const ACME_KEY = 'key of acme'
const GLOBEX_KEY = 'key of globex'

const acme = tenantConfig('acme', {
  address: '10.0.0.1',
  credentials: [
    { apiKey: `sha256:${hash('sha256', ACME_KEY)}` },
    { apiKey: `sha256:${hash('sha256', 'second key of acme')}` },
  ],
})
const globex = tenantConfig('globex', {
  credentials: [{ apiKey: `sha256:${hash('sha256', GLOBEX_KEY)}` }],
})

async function setUp(t: Test) {
  const server = await new JwksServer(key).listen()
  const directory = TenantDirectory.compile([acme, globex], 1)
  const issuers = [issuerConfig(server.url)]
  const authenticator = new Authenticator({ directory, issuers, log: new RecordingLog() })
  t.teardown(async () => {
    await authenticator.close()
    await server.close()
  })
  return { server, directory, authenticator }
}

function newEvidence(memo = new CredentialMemo(), address = ''): CallEvidence {
  const mode = address === '' ? 'shared' : 'private'
  const connection = { mode, arrival: { ...NO_CLAIMS, address }, source: '192.0.2.1' } as const
  return new CallEvidence({
    ...connection,
    http: true,
    certificate: undefined,
    serverName: '',
    secure: false,
    memo,
  })
}

/** `jwt apiKey`, then `A` and `K` where Authorization and the key's field are ours. */
function summary(evidence: CallEvidence): string {
  const { jwt, apiKey } = evidence
  const words = [jwt, apiKey].map(result => (result instanceof Tenant ? result.id : String(result)))
  return `${words.join(' ')} ${evidence.ownsAuthorization ? 'A' : ''}${evidence.ownsApiKey ? 'K' : ''}`
}

await test('finds credentials where they are sent, and says which fields are ours', async t => {
  const { authenticator } = await setUp(t)
  const token = await sign(key)
  const cases: readonly (readonly [authorization: string, apiKey: string, expected: string])[] = [
    ['', '', 'undefined undefined '],
    [`Bearer ${token}`, '', 'acme undefined A'],
    [`bearer ${token}`, '', 'acme undefined A'],
    [`BEARER   ${token} `, '', 'acme undefined A'],
    ['', ACME_KEY, 'undefined acme K'],
    [`ApiKey ${ACME_KEY}`, '', 'undefined acme A'],
    [`apikey ${ACME_KEY}`, '', 'undefined acme A'],
    [`ApiKey ${ACME_KEY}`, ACME_KEY, 'undefined acme AK'],
    [`ApiKey ${ACME_KEY}`, 'second key of acme', 'undefined acme AK'],
    [`ApiKey ${ACME_KEY}`, GLOBEX_KEY, 'undefined credential_ambiguous AK'],
    [`ApiKey ${ACME_KEY}`, 'unknown', 'undefined credential_ambiguous A'],
    [`ApiKey ${ACME_KEY}`, 'amt_unknown', 'undefined credential_invalid A'],
    ['ApiKey amt_unknown', ACME_KEY, 'undefined credential_invalid K'],
    ['ApiKey unknown', '', 'undefined foreign '],
    [`Bearer ${token}`, GLOBEX_KEY, 'acme globex AK'],
    ['Bearer opaque', ACME_KEY, 'foreign acme K'],
    ['Bearer opaque', '', 'foreign undefined '],
    ['Basic dXNlcjpwYXNz', '', 'foreign undefined '],
    ['Bearer', '', 'foreign undefined '],
    ['Bearer ', '', 'foreign undefined '],
    [`Bearer${token}`, '', 'foreign undefined '],
    [`Bearer ${await sign(key, { exp: 1 })}`, '', 'credential_expired undefined '],
  ]
  const memo = new CredentialMemo()
  for (let round = 0; round < 2; round += 1) {
    for (const [authorization, apiKey, expected] of cases) {
      const evidence = newEvidence(memo)
      await authenticator.check(evidence, authorization, apiKey, NOW)
      t.equal(summary(evidence), expected, `${authorization.slice(0, 20)} ${apiKey}`)
    }
  }
})

await test('a repeated call is answered from the memo of its connection alone', async t => {
  const { authenticator } = await setUp(t)
  const evidence = newEvidence()
  const authorization = `Bearer ${await sign(key)}`
  const first = authenticator.check(evidence, authorization, '', NOW)
  t.ok(first instanceof Promise)
  await first
  const other = newEvidence()
  await authenticator.check(other, authorization, '', NOW)
  t.equal(authenticator.check(other, authorization, '', NOW), undefined)
  t.equal(other.memo.authorization, authorization)
  const marker = Tenant.of(99, globex)
  other.memo.jwt = marker
  void authenticator.check(other, Buffer.from(authorization).toString(), '', NOW + 999)
  t.equal(other.jwt, marker, 'nothing was looked up')
  t.equal(authenticator.check(other, authorization, '', NOW + 1_000), undefined)
  t.not(other.jwt, marker, 'looked up again after a second')
})

await test('the memo never answers for other credentials', async t => {
  const { authenticator } = await setUp(t)
  const evidence = newEvidence()
  const check = (authorization: string, apiKey: string): string => {
    void authenticator.check(evidence, authorization, apiKey, NOW)
    return summary(evidence)
  }
  t.equal(check('', ACME_KEY), 'undefined acme K')
  t.equal(check('', GLOBEX_KEY), 'undefined globex K')
  t.equal(check('', ''), 'undefined undefined ')
  t.equal(check(`ApiKey ${GLOBEX_KEY}`, ''), 'undefined globex A')
  t.equal(check('', ACME_KEY), 'undefined acme K')
  t.equal(check('', 'amt_x'), 'undefined credential_invalid ')
  t.equal(check('', ACME_KEY), 'undefined acme K')
  t.equal(check(ACME_KEY, ''), 'foreign undefined ')
})

await test('the memo ends with the expiry of its token', async t => {
  const { authenticator } = await setUp(t)
  const evidence = newEvidence()
  const authorization = `Bearer ${await sign(key, { exp: NOW / 1_000 - 59 })}`
  const check = async (nowMs: number): Promise<string> => {
    await authenticator.check(evidence, authorization, '', nowMs)
    return summary(evidence)
  }
  t.equal(await check(NOW), 'acme undefined A')
  t.equal(await check(NOW + 500), 'acme undefined A')
  t.equal(await check(NOW + 1_000), 'credential_expired undefined ')
})

await test('the memo ends with the directory and with the issuers', async t => {
  const { authenticator, directory } = await setUp(t)
  const [byKey, byToken] = [newEvidence(), newEvidence()]
  const authorization = `Bearer ${await sign(key)}`
  const check = async (): Promise<string> => {
    await authenticator.check(byKey, '', ACME_KEY, NOW)
    await authenticator.check(byToken, authorization, '', NOW)
    return `${summary(byKey)}, ${summary(byToken)}`
  }
  await check()
  t.equal(await check(), 'undefined acme K, acme undefined A')
  const next = TenantDirectory.update(directory, [{ ...acme, disabled: true }, globex], 2)
  authenticator.setDirectory(next)
  await check()
  t.equal(byKey.apiKey, next.byId('acme'))
  t.equal(byToken.jwt, next.byId('acme'))
  authenticator.setDirectory(TenantDirectory.update(next, [globex], 3))
  t.equal(await check(), 'undefined foreign , credential_invalid undefined ')
  authenticator.setIssuers([])
  t.equal(await check(), 'undefined foreign , foreign undefined ')
})

await test('a connection that remembers its key refuses it at the moment of its expiry', async t => {
  const expires = new Date(NOW + 300).toISOString()
  const digest = (text: string): `sha256:${string}` => `sha256:${hash('sha256', text)}`
  const tenant = tenantConfig('acme', {
    credentials: [
      { apiKey: digest(ACME_KEY), expires },
      { apiKey: digest('endless key'), label: 'ci' },
    ],
  })
  const directory = TenantDirectory.compile([tenant], 1)
  const authenticator = new Authenticator({ directory, issuers: [], log: new RecordingLog() })
  t.teardown(() => authenticator.close())
  const places = [
    (key: string): [string, string] => ['', key],
    (key: string): [string, string] => [`ApiKey ${key}`, ''],
    (key: string): [string, string] => [`ApiKey ${key}`, 'endless key'],
    (key: string): [string, string] => ['ApiKey endless key', key],
  ]
  for (const place of places) {
    const evidence = newEvidence()
    const [authorization, apiKey] = place(ACME_KEY)
    for (const ms of [0, 1, 2, 298, 299]) {
      void authenticator.check(evidence, authorization, apiKey, NOW + ms)
      t.equal(evidence.apiKey, directory.byId('acme'), `after ${ms} ms`)
    }
    t.equal(evidence.memo.authorization, authorization, 'it is remembered')
    for (const ms of [300, 301, 2_000]) {
      void authenticator.check(evidence, authorization, apiKey, NOW + ms)
      t.equal(evidence.apiKey, 'credential_expired', `after ${ms} ms`)
    }
    void authenticator.check(evidence, '', 'endless key', NOW + 2_000)
    t.equal(evidence.apiKey, directory.byId('acme'), 'the other key of the same connection')
  }
})

await test('tells when keys were last used, also those that a connection remembers', async t => {
  const { authenticator } = await setUp(t)
  const evidence = newEvidence()
  for (let ms = 0; ms < 5_000; ms += 100) void authenticator.check(evidence, '', ACME_KEY, NOW + ms)
  const digest = hash('sha256', ACME_KEY)
  const { keyUses, keyUsesDropped } = authenticator.takeKeyUses()
  t.equal(keyUsesDropped, 0)
  t.match(keyUses, [{ tenant: 'acme', digest }])
  t.ok((keyUses[0]?.at ?? 0) >= NOW / 1_000 + 3, 'not more than a second behind')
  t.same(authenticator.takeKeyUses().keyUses, [])
})

await test('counts a remembered token as a hit', async t => {
  const { authenticator } = await setUp(t)
  const evidence = newEvidence()
  const authorization = `Bearer ${await sign(key)}`
  for (let i = 0; i < 10; i += 1) await authenticator.check(evidence, authorization, '', NOW)
  t.same(authenticator.takeJwtCounters(), { hit: 9, miss: 1, reject: 0 })
})

await test('calls at the same time with an evidence each do not meet', async t => {
  const { authenticator } = await setUp(t)
  const memo = new CredentialMemo()
  const calls = await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      const tenant = i % 2 === 0 ? 'acme' : 'globex'
      const evidence = newEvidence(memo)
      const authorization = `Bearer ${await sign(key, { tenant, jti: `${i % 6}` })}`
      await authenticator.check(evidence, authorization, '', NOW)
      return { tenant, verdict: classify(evidence) }
    }),
  )
  for (const { tenant, verdict } of calls) {
    t.equal(verdict.kind === 'routed' ? verdict.tenant.id : verdict.error, tenant)
  }
})

await test('one evidence for two calls at the same time is a mistake', async t => {
  const { authenticator } = await setUp(t)
  const evidence = newEvidence()
  const first = authenticator.check(evidence, `Bearer ${await sign(key)}`, '', NOW)
  t.throws(() => authenticator.check(evidence, '', ACME_KEY, NOW))
  await first
  t.equal(summary(evidence), 'acme undefined A')
})

await test('resolves the address with each directory anew', async t => {
  const { authenticator, directory } = await setUp(t)
  const evidence = newEvidence(undefined, '::ffff:10.0.0.1')
  void authenticator.check(evidence, '', '', NOW)
  t.equal(evidence.addressTenant, directory.byId('acme'))
  const pending = authenticator.check(evidence, `Bearer ${await sign(key)}`, '', NOW)
  const next = TenantDirectory.update(directory, [{ ...acme, disabled: true }], 2)
  authenticator.setDirectory(next)
  await pending
  t.equal(evidence.addressTenant, next.byId('acme'), 'also while a token was verified')
  t.same(classify(evidence), { kind: 'refused', error: 'tenant_disabled' })
  authenticator.setDirectory(TenantDirectory.update(next, [], 3))
  void authenticator.check(evidence, '', '', NOW)
  t.equal(evidence.addressTenant, undefined)
})

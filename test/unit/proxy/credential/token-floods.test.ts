/** Floods of bad tokens, and what they cost those who send good ones. By counts and order, never by the clock. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { CheckAdmission, sourceOf } from '../../../../src/proxy/credential/check-admission.ts'
import { JwtChecker } from '../../../../src/proxy/credential/jwt.ts'
import {
  DEFAULT_JWT_OPTIONS,
  type JwtOptions,
} from '../../../../src/proxy/credential/jwt-options.ts'
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

const key = signingKey('k1')
const evil = signingKey('k1')
const BAD = '192.0.2.66'
const GOOD = '198.51.100.7'

/** Keys in a file, so that nothing waits but for signatures. */
function setUp(t: Test, options: Partial<JwtOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'amt-floods-'))
  const path = join(folder, 'jwks.json')
  writeFileSync(path, JSON.stringify({ keys: [key.jwk] }))
  const tenants = [tenantConfig('acme', { jwt: [ownIssuer(path)] }), tenantConfig('globex')]
  const directory = TenantDirectory.compile(tenants, 1)
  const checker = new JwtChecker(
    { directory, log: new RecordingLog() },
    { ...DEFAULT_JWT_OPTIONS, ...options },
  )
  checker.setIssuers([issuerConfig(path)])
  t.teardown(async () => {
    await checker.close()
    rmSync(folder, { recursive: true })
  })
  return checker
}

const flood = (count: number, claims: Record<string, unknown> = {}): Promise<string[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => sign(evil, { jti: `bad-${i}`, ...claims })))

/** Waits for those that are under way. */
async function settled(results: readonly unknown[]): Promise<void> {
  await Promise.all(results.filter(result => result instanceof Promise))
}

/** A check whose end the test decides on. */
class Held {
  readonly started: string[] = []
  readonly #ends: (() => void)[] = []

  run(queue: SignatureQueue, source: string, name: string): Promise<string> {
    return queue.run(source, async () => {
      this.started.push(name)
      await new Promise<void>(resolve => this.#ends.push(resolve))
      return name
    })
  }

  async endNext(): Promise<void> {
    this.#ends.shift()?.()
    for (let turn = 0; turn < 3; turn += 1) await new Promise(resolve => setImmediate(resolve))
  }
}

await test('sources take turns: the token of another is next, however many one has sent', async t => {
  const queue = new SignatureQueue(2)
  const held = new Held()
  const all = Array.from({ length: 50 }, (_, i) => held.run(queue, BAD, `bad ${i}`))
  all.push(held.run(queue, GOOD, 'good'), held.run(queue, '203.0.113.9', 'other'))
  t.same(held.started, ['bad 0', 'bad 1'], 'no more at once than may be')
  await held.endNext()
  t.same(held.started.at(-1), 'bad 2', 'who waited first')
  await held.endNext()
  t.same(held.started.at(-1), 'good')
  await held.endNext()
  t.same(held.started.at(-1), 'other')
  all.push(held.run(queue, GOOD, 'good again'))
  await held.endNext()
  t.same(held.started.at(-1), 'bad 3')
  await held.endNext()
  t.same(held.started.at(-1), 'good again')
  while (held.started.length < 53) await held.endNext()
  await held.endNext()
  await held.endNext()
  t.equal((await Promise.all(all)).length, 53)
  t.same(new Set(held.started).size, 53, 'each once')
})

await test('a check that fails gives its place on', async t => {
  const queue = new SignatureQueue(1)
  const first = queue.run('a', () => Promise.reject(new Error('no')))
  const second = queue.run('a', () => Promise.resolve('yes'))
  await t.rejects(first, /no/)
  t.equal(await second, 'yes')
  t.equal(await queue.run('b', () => Promise.resolve('again')), 'again')
})

await test('a flood of bad tokens from one source: a good one from another is verified next', async t => {
  const checker = setUp(t, { maxSignatures: 1 })
  const bad = await flood(100)
  const good = await sign(key)
  let refused = 0
  const all = bad.map(async token => {
    const result = await checker.check(token, NOW, BAD)
    if (result === 'credential_invalid') refused += 1
  })
  const result = await checker.check(good, NOW, GOOD)
  t.ok(result instanceof Tenant, 'it is good')
  t.ok(refused <= 2, `after ${refused} of the 100 before it`)
  await Promise.all(all)
  t.equal(refused, 100)
})

await test('a source has so many checks under way; more of them wait for nothing and are not checked', async t => {
  const checker = setUp(t, { underWay: { total: 1_000, source: 10, regained: 10, owner: 1_000 } })
  const bad = await flood(50)
  const results = bad.map(token => checker.check(token, NOW, BAD))
  t.equal(results.filter(result => result === 'credential_check_unavailable').length, 40)
  const good = await sign(key)
  t.ok((await checker.check(good, NOW, GOOD)) instanceof Tenant, 'others are')
  t.equal(checker.check(good, NOW, BAD) instanceof Tenant, true, 'and known tokens cost no place')
  await settled(results)
  t.same(checker.takeIssuerFigures(NOW).unchecked, { worker: 0, source: 40, issuer: 0, keys: 0 })
  t.equal(
    await checker.check(bad[49] ?? '', NOW, GOOD),
    'credential_invalid',
    'not held against a token',
  )
})

await test('an issuer, or a tenant with its own, has so many checks under way; others have theirs', async t => {
  const checker = setUp(t, { underWay: { total: 1_000, source: 1_000, regained: 10, owner: 10 } })
  const atService = (await flood(30)).map(token => checker.check(token, NOW, BAD))
  t.equal(atService.filter(result => result === 'credential_check_unavailable').length, 20)
  const own = await sign(key, { iss: 'https://login.acme.example' })
  const [mine, first] = [checker.check(own, NOW, BAD), checker.check(await sign(key), NOW, GOOD)]
  t.ok((await mine) instanceof Tenant, 'an issuer of a tenant is not that of the service')
  t.ok((await first) instanceof Tenant, 'a source that asks for nothing else gets in')
  await settled(atService)
  t.same(checker.takeIssuerFigures(NOW).unchecked, { worker: 0, source: 0, issuer: 20, keys: 0 })
})

await test('what is under way is bounded in all, and all of it is given back', t => {
  const admission = new CheckAdmission({ total: 3, source: 2, regained: 10, owner: 2 })
  t.equal(admission.enter('a', 'x', NOW), undefined)
  t.equal(admission.enter('a', 'x', NOW), undefined)
  t.equal(admission.enter('a', 'y', NOW), 'source')
  t.equal(
    admission.enter('', 'x', NOW),
    'issuer',
    'who has no source is not let in beyond the limit of an issuer',
  )
  t.equal(admission.enter('b', 'x', NOW), undefined)
  t.equal(admission.enter('c', 'y', NOW), 'worker')
  for (const source of ['a', 'a', 'b']) admission.leave(source, 'x')
  t.equal(admission.size, 0)
  for (let i = 0; i < 3; i += 1) t.equal(admission.enter(`${i}`, `${i}`, NOW), undefined)
  t.end()
})

await test('each wrong signature costs its source a place, which comes back with time', t => {
  const admission = new CheckAdmission({ total: 1_000, source: 4, regained: 2, owner: 1_000 })
  /** How many checks of `source` may begin at once. */
  const places = (source: string, nowMs: number): number => {
    let count = 0
    while (admission.enter(source, 'x', nowMs) === undefined) count += 1
    for (let i = 0; i < count; i += 1) admission.leave(source, 'x')
    return count
  }
  admission.failed('a', 3, NOW)
  t.equal(places('a', NOW), 1)
  t.equal(places('b', NOW), 4, 'others have lost none')
  admission.failed('a', 9, NOW)
  t.equal(places('a', NOW), 0)
  t.equal(places('a', NOW + 499), 0)
  t.equal(places('a', NOW + 1_000), 2)
  t.equal(places('a', NOW + 60_000), 4)
  admission.failed('a', 0, NOW)
  admission.failed('', 9, NOW)
  t.equal(places('a', NOW), 4)
  for (let i = 0; i < 10_000; i += 1) admission.failed(`s${i}`, 4, NOW)
  t.equal(places('s9999', NOW), 0)
  t.equal(places('s0', NOW), 4, 'so many are remembered')
  t.end()
})

await test('a source that goes on with bad tokens is not checked soon; a token of another is, and a known one', async t => {
  const checker = setUp(t, { underWay: { total: 1_000, source: 10, regained: 10, owner: 1_000 } })
  const good = await sign(key)
  t.ok((await checker.check(good, NOW, BAD)) instanceof Tenant)
  const results: unknown[] = []
  for (const token of await flood(100)) results.push(await checker.check(token, NOW, BAD))
  t.equal(results.filter(result => result === 'credential_invalid').length, 10)
  t.equal(results.filter(result => result === 'source_credentials').length, 90)
  t.ok(checker.check(good, NOW, BAD) instanceof Tenant, 'a known token of the same source')
  t.ok((await checker.check(await sign(key, { jti: '2' }), NOW, GOOD)) instanceof Tenant)
  const later = await sign(key, { jti: '3' })
  t.equal(await checker.check(later, NOW, BAD), 'source_credentials')
  t.ok((await checker.check(later, NOW + 1_000, BAD)) instanceof Tenant, 'a good one, later')
})

await test('tokens with a key that is not known cost a source nothing: they cost no signature', async t => {
  const checker = setUp(t, { underWay: { total: 1_000, source: 10, regained: 10, owner: 1_000 } })
  for (let i = 0; i < 50; i += 1)
    t.equal(
      await checker.check(await sign(key, {}, { kid: `${i}` }), NOW, BAD),
      'credential_invalid',
    )
})

await test('one source is an IPv4 address, or an IPv6 /64', t => {
  t.equal(sourceOf('192.0.2.1'), '192.0.2.1')
  t.equal(sourceOf(''), '')
  const same = [
    '2001:db8::1',
    '2001:db8:0:0:ffff:ffff:ffff:ffff',
    '2001:DB8::2',
    '2001:db8::1%eth0',
  ]
  t.equal(new Set(same.map(sourceOf)).size, 1)
  t.not(sourceOf('2001:db8:0:1::1'), sourceOf('2001:db8::1'))
  t.equal(sourceOf('not:an:address'), 'not:an:address')
  t.end()
})

await test('a token that many send at once is verified once, and takes one place', async t => {
  const checker = setUp(t, { underWay: { total: 1, source: 1, regained: 10, owner: 1 } })
  const token = await sign(key)
  const results = await Promise.all(
    Array.from({ length: 100 }, async (_, i) => checker.check(token, NOW, `192.0.2.${i}`)),
  )
  t.ok(results.every(result => result instanceof Tenant))
  t.same(checker.takeCounters(), { hit: 99, miss: 1, reject: 0 })
})

await test('tokens that are wrong without their signature cost no place and no keys', async t => {
  const server = await new JwksServer(key).listen()
  t.teardown(() => server.close())
  const checker = setUp(t, { underWay: { total: 0, source: 0, regained: 10, owner: 0 } })
  checker.setIssuers([issuerConfig(server.url)])
  const wrong = [{ exp: 1 }, { aud: 'x' }, { nbf: NOW }, { iat: NOW }]
  for (const claims of wrong)
    t.not(checker.check(await sign(key, claims), NOW, BAD), 'credential_check_unavailable')
  t.equal(server.requests, 0)
})

await test('refused tokens are forgotten soon, and never push out good ones', async t => {
  const checker = setUp(t)
  const good = await sign(key)
  await checker.check(good, NOW, GOOD)
  const bad = await flood(1_500, { x: 'x'.repeat(2_000) })
  for (const token of bad) await checker.check(token, NOW, BAD)
  t.ok(checker.check(good, NOW, GOOD) instanceof Tenant)
  t.equal(checker.takeIssuerFigures(NOW).dropped, 0)
})

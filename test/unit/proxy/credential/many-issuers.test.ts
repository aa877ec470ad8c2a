/** Ten thousand issuers: nothing is made for one before its first token, and none costs the others anything. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Test, test } from 'tap'
import type { TenantConfig } from '../../../../src/config/schema.ts'
import { FetchBudget } from '../../../../src/proxy/credential/fetch-budget.ts'
import { JwtChecker } from '../../../../src/proxy/credential/jwt.ts'
import {
  DEFAULT_JWT_OPTIONS,
  type JwtOptions,
} from '../../../../src/proxy/credential/jwt-options.ts'
import { noTokenFaults } from '../../../../src/proxy/ipc.ts'
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

const ISSUERS = 10_000
const HOUR = 3_600_000
const key = signingKey('k1')
const evil = signingKey('k1')

const nameOf = (i: number): string => `https://login.t-${i}.example`

/** `count` tenants, each with an issuer of its own whose keys are at `jwks`. */
function tenants(count: number, jwks: string): TenantConfig[] {
  return Array.from({ length: count }, (_, i) =>
    tenantConfig(`t-${i}`, { jwt: [ownIssuer(jwks, { issuer: nameOf(i) })] }),
  )
}

const tokenOf = (i: number, claims: Record<string, unknown> = {}): Promise<string> =>
  sign(key, { iss: nameOf(i), tenant: undefined, ...claims })

function inFile(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'amt-issuers-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'jwks.json')
  writeFileSync(path, JSON.stringify({ keys: [key.jwk] }))
  return path
}

function checkerOf(t: Test, configs: readonly TenantConfig[], options: Partial<JwtOptions> = {}) {
  const directory = TenantDirectory.compile(configs, 1)
  const checker = new JwtChecker(
    { directory, log: new RecordingLog() },
    { ...DEFAULT_JWT_OPTIONS, ...options },
  )
  t.teardown(() => checker.close())
  return { checker, directory }
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function heapMiB(): number {
  collect()
  return process.memoryUsage().heapUsed / 2 ** 20
}

await test('nothing is made for an issuer before its first token', async t => {
  const server = await new JwksServer(key).listen()
  t.teardown(() => server.close())
  const { checker } = checkerOf(t, tenants(ISSUERS, server.url))
  t.equal(checker.takeIssuerFigures(NOW).live, 0)
  t.equal(server.requests, 0)
  t.ok((await checker.check(await tokenOf(4_711), NOW)) instanceof Tenant)
  t.equal(checker.takeIssuerFigures(NOW).live, 1)
  t.equal(server.requests, 1)
})

await test('10,000 issuers of the service, too, are made one by one', async t => {
  const path = inFile(t)
  const { checker } = checkerOf(t, [tenantConfig('acme')])
  const configs = Array.from({ length: ISSUERS }, (_, i) =>
    issuerConfig(path, { issuer: nameOf(i) }),
  )
  const before = heapMiB()
  const started = performance.now()
  checker.setIssuers(configs)
  const ms = performance.now() - started
  t.comment(
    `10,000 issuers of the service: ${ms.toFixed(1)} ms, ${(heapMiB() - before).toFixed(2)} MiB`,
  )
  t.equal(checker.takeIssuerFigures(NOW).live, 0)
  const token = await tokenOf(9_999, { tenant: 'acme' })
  t.ok((await checker.check(token, NOW)) instanceof Tenant)
  checker.setIssuers([...configs.slice(1), { ...issuerConfig(path), issuer: 'https://new' }])
  t.ok(checker.check(token, NOW) instanceof Tenant, 'its keys and tokens stay when others change')
  t.same(checker.takeIssuerFigures(NOW).closed, { idle: 0, full: 0, changed: 0 })
})

await test('a change of the directory touches only the issuers that changed', async t => {
  const server = await new JwksServer(key).listen()
  t.teardown(() => server.close())
  const configs = tenants(ISSUERS, server.url)
  const { checker, directory } = checkerOf(t, configs)
  const tokens = await Promise.all([1, 2, 3].map(i => tokenOf(i)))
  for (const token of tokens) await checker.check(token, NOW)
  const [first] = configs[1]?.jwt ?? []
  const changed = configs.with(1, tenantConfig('t-1', { jwt: [{ ...first!, clockSkew: 1 }] }))
  const next = TenantDirectory.update(directory, changed, 2)
  const started = performance.now()
  checker.setDirectory(next)
  t.comment(
    `a new directory of 10,000 issuers: ${((performance.now() - started) * 1_000).toFixed(0)} µs`,
  )
  const [one, two, three] = tokens.map(token => checker.check(token, NOW))
  t.ok(two instanceof Tenant && three instanceof Tenant, 'known as before, without a promise')
  t.ok(one instanceof Promise, 'verified again')
  t.equal(await one, next.byId('t-1'))
  t.equal(server.requests, 4)
  t.same(checker.takeIssuerFigures(NOW), {
    live: 3,
    closed: { idle: 0, full: 0, changed: 1 },
    fetches: { ok: 4, failed: 0, limited: 0 },
    unchecked: { worker: 0, source: 0, issuer: 0, keys: 0 },
    refused: noTokenFaults(),
    dropped: 0,
  })
})

await test('the configuration of a tenant is read once, however many bad tokens name its issuer', async t => {
  const path = inFile(t)
  const { checker, directory } = checkerOf(t, tenants(3, path))
  const tenant = directory.byId('t-1') as Tenant
  const { config } = tenant
  let reads = 0
  Object.defineProperty(tenant, 'config', {
    get: () => {
      reads += 1
      return config
    },
  })
  for (let i = 0; i < 100; i += 1)
    t.equal(await checker.check(await tokenOf(1, { aud: `x-${i}` }), NOW), 'credential_invalid')
  t.ok((await checker.check(await tokenOf(1), NOW)) instanceof Tenant)
  t.equal(reads, 1)
})

await test('memory and time of 10,000 issuers with tokens, and that they are bounded', async t => {
  const path = inFile(t)
  const issuers = { maxProven: 1_000, maxUnproven: 100, idleMs: HOUR }
  const { checker } = checkerOf(t, tenants(ISSUERS, path), { issuers })
  const tokens = await Promise.all(Array.from({ length: 2_000 }, (_, i) => tokenOf(i)))
  const before = heapMiB()
  const started = performance.now()
  for (const token of tokens.slice(0, 1_000)) await checker.check(token, NOW)
  const ms = performance.now() - started
  const kib = ((heapMiB() - before) * 1_024) / 1_000
  t.comment(
    `an issuer with its first token: ${ms.toFixed(0)} µs, ${kib.toFixed(1)} KiB, its token included`,
  )
  t.equal(checker.takeIssuerFigures(NOW).live, 1_000)
  for (const [index, token] of tokens.entries())
    if (index >= 1_000) await checker.check(token, NOW + 1)
  const { live, closed } = checker.takeIssuerFigures(NOW)
  t.equal(live, 1_000)
  t.equal(closed.full, 1_000, 'those that were unused for longest')
  t.ok(checker.check(tokens[1_999] ?? '', NOW + 2) instanceof Tenant)
  t.ok(
    (await checker.check(tokens[0] ?? '', NOW + 2)) instanceof Tenant,
    'one that had to go comes back',
  )
})

await test('whoever names many issuers pushes out none of which a token was good', async t => {
  const path = inFile(t)
  const issuers = { maxProven: 10, maxUnproven: 10, idleMs: HOUR }
  const { checker } = checkerOf(t, tenants(ISSUERS, path), { issuers })
  const good = await Promise.all([1, 2, 3].map(i => tokenOf(i)))
  for (const token of good) await checker.check(token, NOW)
  for (let i = 100; i < 1_100; i += 1)
    t.not(await checker.check(await sign(evil, { iss: nameOf(i) }), NOW), 'foreign')
  for (const token of good) t.ok(checker.check(token, NOW) instanceof Tenant)
  t.same(checker.takeIssuerFigures(NOW).closed, { idle: 0, full: 990, changed: 0 })
})

await test('an issuer whose keys are on their way is not pushed out', async t => {
  const server = await new JwksServer(key).listen()
  t.teardown(() => server.close())
  const { answer } = server
  const asked = new Promise<() => void>(resolve => {
    server.answer = (response, request) => resolve(() => answer(response, request))
  })
  const configs = tenants(50, inFile(t))
  const slow = tenantConfig('slow', { jwt: [ownIssuer(server.url, { issuer: nameOf(99) })] })
  const issuers = { maxProven: 2, maxUnproven: 2, idleMs: HOUR }
  const { checker } = checkerOf(t, [...configs, slow], { issuers })
  const first = checker.check(await tokenOf(99), NOW)
  const letGo = await asked
  for (let i = 0; i < 50; i += 1) await checker.check(await sign(evil, { iss: nameOf(i) }), NOW + 1)
  checker.takeIssuerFigures(NOW + 2 * HOUR)
  letGo()
  t.ok((await first) instanceof Tenant)
})

await test('an issuer without tokens for long is closed; one whose known tokens are used is not', async t => {
  const path = inFile(t)
  const { checker } = checkerOf(t, tenants(10, path))
  const [used, unused] = [await tokenOf(1, { exp: NOW / 1_000 + 7_200 }), await tokenOf(2)]
  await checker.check(used, NOW)
  await checker.check(unused, NOW)
  t.ok(checker.check(used, NOW + HOUR / 6) instanceof Tenant)
  checker.takeIssuerFigures(NOW + HOUR / 6 - 1)
  t.equal(checker.takeIssuerFigures(NOW + HOUR / 6 + 20_000).live, 1)
  t.ok(checker.check(used, NOW + HOUR / 6 + 20_000) instanceof Tenant)
  t.ok(checker.check(unused, NOW + HOUR / 6 + 20_000) instanceof Promise)
})

await test('random kids over all issuers make a bounded number of fetches', async t => {
  const server = await new JwksServer(key).listen()
  t.teardown(() => server.close())
  const fetches = {
    atOnce: 64,
    loads: { perSecond: 1_000, burst: 1_000 },
    refreshes: { perSecond: 10, burst: 50 },
  }
  const { checker } = checkerOf(t, tenants(300, server.url), { fetches })
  for (let i = 0; i < 300; i += 1) await checker.check(await tokenOf(i), NOW)
  t.equal(server.requests, 300, 'once each')
  for (let round = 0; round < 3; round += 1) {
    for (let i = 0; i < 300; i += 1) {
      const token = await sign(key, { iss: nameOf(i) }, { kid: `unknown-${round}` })
      t.equal(await checker.check(token, NOW + round), 'credential_invalid')
    }
  }
  t.equal(server.requests, 350, 'a burst of fifty for all of them')
  t.equal(checker.takeIssuerFigures(NOW).fetches.limited, 250, 'each issuer asked once')
})

await test('first tokens of 10,000 issuers make a bounded number of fetches', async t => {
  const server = await new JwksServer(key).listen()
  t.teardown(() => server.close())
  const { checker } = checkerOf(t, tenants(ISSUERS, server.url))
  let unavailable = 0
  for (let i = 0; i < 1_000; i += 1) {
    const result = await checker.check(await sign(evil, { iss: nameOf(i) }), NOW)
    if (result === 'credential_check_unavailable') unavailable += 1
  }
  const { burst } = DEFAULT_JWT_OPTIONS.fetches.loads
  const refreshes = DEFAULT_JWT_OPTIONS.fetches.refreshes.burst
  t.equal(server.requests, burst + refreshes)
  t.equal(unavailable, 1_000 - burst)
  t.ok(
    (await checker.check(await tokenOf(5_000), NOW + 1_000)) instanceof Tenant,
    'others a second later',
  )
})

await test('the budget of fetches comes back with time, not with a clock that is set back', t => {
  const rate = { perSecond: 2, burst: 3 }
  const budget = new FetchBudget({ atOnce: 100, loads: rate, refreshes: rate })
  const begin = (nowMs: number): boolean => budget.begin('load', nowMs)
  t.same([0, 0, 0, 0].map(begin), [true, true, true, false])
  t.same([500, 500, 600].map(begin), [true, false, false])
  t.same([0, 0, 0].map(begin), [false, false, false], 'set back')
  t.equal(begin(500), true, 'and gone by from then on')
  t.ok(budget.begin('refresh', 500), 'refreshes have their own')
  t.end()
})

await test('so many fetches are under way at once', t => {
  const rate = { perSecond: 1_000, burst: 1_000 }
  const budget = new FetchBudget({ atOnce: 2, loads: rate, refreshes: rate })
  t.same(
    [1, 2, 3].map(() => budget.begin('load', 0)),
    [true, true, false],
  )
  budget.end(true)
  budget.end(false)
  t.ok(budget.begin('refresh', 0))
  t.same(budget.takeCounters(), { ok: 1, failed: 1, limited: 1 })
  t.end()
})

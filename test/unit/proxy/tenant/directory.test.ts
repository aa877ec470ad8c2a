import { test } from 'tap'
import type { TenantConfig } from '../../../../src/config/schema.ts'
import { encodeTenant } from '../../../../src/config/tenant-text.ts'
import { TenantDirectory } from '../../../../src/proxy/tenant/directory.ts'
import { ownIssuer, tenantConfig } from '../../../support/token-issuer.ts'

function compile(...tenants: TenantConfig[]): TenantDirectory {
  return TenantDirectory.compile(tenants, 1)
}

const DIGEST_A = 'a'.repeat(64)
const DIGEST_B = 'b'.repeat(64)

await test('finds tenants by id', async t => {
  const directory = compile(tenantConfig('acme'), tenantConfig('globex'))
  t.equal(directory.byId('acme')?.id, 'acme')
  t.equal(directory.byId('initech'), undefined)
  t.equal(directory.size, 2)
  t.same(
    [...directory.tenants()].map(each => each.id),
    ['acme', 'globex'],
  )
})

await test('finds an address in each of its spellings', async t => {
  const directory = compile(
    tenantConfig('acme', { address: '10.1.0.7' }),
    tenantConfig('globex', { address: '2001:DB8:0::7' }),
    tenantConfig('initech', { address: '::ffff:10.1.0.9' }),
  )
  t.equal(directory.byAddress('10.1.0.7')?.id, 'acme')
  t.equal(directory.byAddress('::ffff:10.1.0.7')?.id, 'acme', 'as a dual-stack socket gives it')
  t.equal(directory.byAddress('0:0:0:0:0:ffff:0a01:7')?.id, 'acme')
  t.equal(directory.byAddress('2001:db8::7')?.id, 'globex')
  t.equal(directory.byAddress('2001:0db8:0000::0007')?.id, 'globex')
  t.equal(directory.byAddress('2001:db8::7%eth0')?.id, 'globex')
  t.equal(directory.byAddress('10.1.0.9')?.id, 'initech')
  for (const other of ['10.1.0.70', '2001:db8::8', '010.1.0.7', 'acme', '']) {
    t.equal(directory.byAddress(other), undefined, other)
  }
})

await test('takes the exact host name, then the longest wildcard', async t => {
  const directory = compile(
    tenantConfig('acme', { hosts: ['acme.example.com'] }),
    tenantConfig('all', { hosts: ['*.example.com'] }),
    tenantConfig('eu', { hosts: ['*.eu.example.com'] }),
  )
  t.equal(directory.byHost('acme.example.com')?.id, 'acme')
  t.equal(directory.byHost('other.example.com')?.id, 'all')
  t.equal(directory.byHost('x.eu.example.com')?.id, 'eu')
  t.equal(directory.byHost('x.y.eu.example.com')?.id, 'eu')
  t.equal(directory.byHost('eu.example.com')?.id, 'all')
  for (const other of ['example.com', '.example.com', 'evilexample.com', 'com', '']) {
    t.equal(directory.byHost(other), undefined, other)
  }
})

await test('knows whether some tenant ends TLS itself', async t => {
  const none = compile(tenantConfig('acme'), tenantConfig('globex'))
  t.notOk(none.hasPassthrough)
  const some = TenantDirectory.update(
    none,
    [tenantConfig('acme'), tenantConfig('globex', { passthrough: true })],
    2,
  )
  t.ok(some.hasPassthrough)
  t.ok(some.byId('globex')?.passthrough)
  t.notOk(some.byId('acme')?.passthrough)
  const two = TenantDirectory.update(
    some,
    ['acme', 'globex'].map(id => tenantConfig(id, { passthrough: true })),
    3,
  )
  t.ok(TenantDirectory.update(two, [tenantConfig('acme', { passthrough: true })], 4).hasPassthrough)
})

await test('knows no longer when the last of them is gone', async t => {
  const some = compile(tenantConfig('acme'), tenantConfig('globex', { passthrough: true }))
  t.notOk(TenantDirectory.update(some, [tenantConfig('acme')], 2).hasPassthrough)
})

await test('finds keys and certificates by their digests, each in its own table', async t => {
  const directory = compile(
    tenantConfig('acme', { credentials: [{ apiKey: `sha256:${DIGEST_A}` }] }),
    tenantConfig('globex', { credentials: [{ certificate: `sha256:${DIGEST_B}` }] }),
  )
  t.equal(directory.byApiKeyDigest(DIGEST_A)?.id, 'acme')
  t.equal(directory.byApiKeyDigest(DIGEST_B), undefined)
  t.equal(directory.byCertificateDigest(DIGEST_B)?.id, 'globex')
  t.equal(directory.byCertificateDigest(DIGEST_A), undefined)
})

await test('finds private links of each cloud, and no other', async t => {
  const directory = compile(
    tenantConfig('acme', {
      credentials: [{ privateLink: { aws: 'vpce-1' } }, { privateLink: { azure: '7' } }],
    }),
    tenantConfig('globex', { credentials: [{ privateLink: { gcp: '7' } }] }),
  )
  t.equal(directory.byPrivateLink('aws:vpce-1')?.id, 'acme')
  t.equal(directory.byPrivateLink('azure:7')?.id, 'acme')
  t.equal(directory.byPrivateLink('gcp:7')?.id, 'globex')
  for (const other of ['aws:vpce-2', 'aws:7', 'gcp:8', ''])
    t.equal(directory.byPrivateLink(other), undefined, other)
})

await test('takes the exact SPIFFE id, then the longest prefix', async t => {
  const directory = compile(
    tenantConfig('acme', { credentials: [{ spiffe: 'spiffe://example.org/t/acme/*' }] }),
    tenantConfig('admin', { credentials: [{ spiffe: 'spiffe://example.org/t/acme/admin' }] }),
    tenantConfig('rest', { credentials: [{ spiffe: 'spiffe://example.org/*' }] }),
  )
  t.equal(directory.bySpiffeId('spiffe://example.org/t/acme/admin')?.id, 'admin')
  t.equal(directory.bySpiffeId('spiffe://example.org/t/acme/web/1')?.id, 'acme')
  t.equal(directory.bySpiffeId('spiffe://example.org/t/acme')?.id, 'rest')
  t.equal(directory.bySpiffeId('spiffe://example.org/t/acmex/web')?.id, 'rest')
  t.equal(directory.bySpiffeId('spiffe://example.com/t/acme/web'), undefined)
})

await test('maps tokens by listed claims first, then by the tenant claim', async t => {
  const issuer = 'https://login.example.com'
  const directory = compile(
    tenantConfig('acme', { credentials: [{ jwt: { issuer, claims: { org: 'a' } } }] }),
    tenantConfig('acme-test', {
      credentials: [{ jwt: { issuer, claims: { env: 'test', org: 'a' } } }],
    }),
    tenantConfig('team', { credentials: [{ jwt: { issuer, claims: { team: 'x' } } }] }),
    tenantConfig('whole', { credentials: [{ jwt: { issuer: 'https://whole', claims: {} } }] }),
  )
  const find = (tenantClaim: unknown, claims: Record<string, unknown>, from = issuer) =>
    directory.byJwt(from, tenantClaim, claims)?.id
  t.equal(find(undefined, { org: 'a' }), 'acme')
  t.equal(find('team', { org: 'a' }), 'acme', 'claims come first')
  t.equal(find(undefined, { org: 'a', env: 'test' }), 'acme-test', 'most claims win')
  t.equal(find(undefined, { org: 'a', team: 'x' }), undefined, 'two tenants are none')
  t.equal(find('acme', { org: 'a', team: 'x' }), undefined, 'then the tenant claim helps nothing')
  t.equal(find('team', { org: 'other' }), 'team')
  t.equal(find('team', { org: 'a' }, 'https://other.example.com'), 'team', 'of another issuer')
  t.equal(find('team', {}, 'https://whole'), 'whole', 'no claims take the whole issuer')
  for (const other of ['initech', undefined, 7, ['initech'], [7], { acme: 1 }, '__proto__', []]) {
    t.equal(find(other, {}), undefined, JSON.stringify(other))
  }
  t.equal(find(undefined, { org: { a: 'a' } }), undefined, 'only text is a value')
  t.equal(find(undefined, Object.create({ org: 'a' })), undefined, 'only an own claim counts')
})

await test('finds the tenant in arrays, if there is exactly one in them', async t => {
  const issuer = 'https://login.example.com'
  const directory = compile(
    tenantConfig('acme', {
      credentials: [{ jwt: { issuer, claims: { groups: 'a', 'realm.env': 'x' } } }],
    }),
    tenantConfig('globex', {
      credentials: [{ jwt: { issuer, claims: { groups: 'g', '["realm","env"]': 'x' } } }],
    }),
  )
  const find = (tenantClaim: unknown, claims: Record<string, unknown> = {}) =>
    directory.byJwt(issuer, tenantClaim, claims)?.id
  t.equal(find(['acme']), 'acme')
  t.equal(find(['admin', 'acme', 'acme']), 'acme', 'what is no tenant does not count')
  t.equal(find(['acme', 'globex']), undefined, 'two tenants are none')
  t.equal(find(['acme', 7]), undefined, 'an array of other things, too')
  t.equal(find([['acme']]), undefined, 'arrays in arrays')
  const realm = { env: ['x', 'y'] }
  t.equal(find(undefined, { groups: ['b', 'a'], realm }), 'acme', 'contains')
  t.equal(find(undefined, { groups: ['g'], realm }), 'globex', 'however the path is written')
  t.equal(find(undefined, { groups: ['a', 'g'], realm }), undefined, 'two bindings are none')
  t.equal(find('globex', { groups: ['a', 'g'], realm }), undefined, 'and nothing helps')
  t.equal(
    find(undefined, { groups: ['a'], realm: [{ env: 'x' }] }),
    undefined,
    'no path through arrays',
  )
  const many = Array.from({ length: 2_000 }, (_, i) => `${i}`)
  t.equal(find('globex', { groups: many, realm: { env: ['x'] } }), undefined, 'too many to look up')
})

await test("an own issuer leads to its tenant, and is one tenant's", async t => {
  const own = (id: string, issuer: string) =>
    tenantConfig(id, { jwt: [{ ...ownIssuer('/dev/null'), issuer }] })
  const directory = compile(own('acme', 'https://a'), own('globex', 'https://g'))
  t.equal(directory.byIssuer('https://a')?.id, 'acme')
  t.equal(directory.byIssuer('https://g')?.id, 'globex')
  t.equal(directory.byIssuer('https://a/'), undefined)
  t.throws(
    () => compile(own('acme', 'https://a'), own('globex', 'https://a')),
    /tenants "acme" and "globex" both claim https:\/\/a/,
  )
})

await test('keeps the tenant objects of unchanged configurations, indexes of all', async t => {
  const before = compile(tenantConfig('acme'), tenantConfig('globex'), tenantConfig('gone'))
  const changed = tenantConfig('globex', { disabled: true })
  const after = TenantDirectory.update(
    before,
    [tenantConfig('fresh'), tenantConfig('acme'), changed],
    2,
  )
  t.equal(after.byId('acme'), before.byId('acme'))
  t.not(after.byId('globex'), before.byId('globex'))
  t.equal(after.byId('globex')?.index, before.byId('globex')?.index)
  t.equal(after.byId('globex')?.config.disabled, true)
  t.equal(after.byId('gone'), undefined)
  t.equal(after.generation, 2)
  t.equal(before.byId('globex')?.config.disabled, false, 'the old snapshot stays as it was')
  t.equal(before.byId('fresh'), undefined)
})

await test('never gives an index to a second id', async t => {
  const owners = new Map<number, string>()
  let directory = compile(tenantConfig('a'), tenantConfig('b'))
  const sets = [['b', 'c'], ['a', 'd'], ['b'], ['e', 'c', 'a'], ['f']]
  for (const [generation, ids] of sets.entries()) {
    directory = TenantDirectory.update(
      directory,
      ids.map(id => tenantConfig(id)),
      generation,
    )
    for (const { id, index } of directory.tenants()) {
      t.equal(owners.get(index) ?? id, id)
      owners.set(index, id)
    }
  }
})

await test('refuses a snapshot in which two tenants claim the same, and names both', async t => {
  const claims: Partial<TenantConfig>[] = [
    { address: '10.0.0.1' },
    { hosts: ['acme.example.com'] },
    { hosts: ['*.example.com'] },
    { credentials: [{ apiKey: `sha256:${DIGEST_A}` }] },
    { credentials: [{ certificate: `sha256:${DIGEST_A}` }] },
    { credentials: [{ spiffe: 'spiffe://example.org/a' }] },
    { credentials: [{ spiffe: 'spiffe://example.org/a/*' }] },
    { credentials: [{ jwt: { issuer: 'i', claims: { a: 'b', c: 'd' } } }] },
  ]
  for (const claim of claims) {
    t.throws(
      () => compile(tenantConfig('acme', claim), tenantConfig('globex', claim)),
      /"acme" and "globex"/,
    )
    t.doesNotThrow(() => compile(tenantConfig('acme', claim), tenantConfig('globex')))
  }
  t.throws(() => compile(tenantConfig('acme'), tenantConfig('acme')), /"acme" and "acme"/)
  t.throws(() =>
    compile(
      tenantConfig('acme', { address: '10.0.0.1' }),
      tenantConfig('b', { address: '::ffff:10.0.0.1' }),
    ),
  )
})

await test('takes a change of one tenant of 100,000 in a moment', async t => {
  const configs = Array.from({ length: 100_000 }, (_, i) => big(i))
  const first = TenantDirectory.compile(configs, 1)
  // CPU time, since other tests run beside this one. The first change compiles what it runs.
  const spent = (body: () => TenantDirectory): [ms: number, TenantDirectory] => {
    const started = process.cpuUsage()
    const directory = body()
    return [process.cpuUsage(started).user / 1_000, directory]
  }
  const change = (of: TenantDirectory, index: number, generation: number): TenantDirectory => {
    const changed = [encodeTenant(big(index, true))]
    return of.apply({ generation, changed, removed: [] }).directory
  }
  let directory = change(first, 8, 2)
  const times: number[] = []
  for (let index = 9; index < 30; index += 1) {
    const [ms, next] = spent(() => change(directory, index, index))
    times.push(ms)
    directory = next
  }
  const median = times.toSorted((a, b) => a - b)[times.length >> 1] ?? Number.NaN
  t.comment(`${median} ms`)
  t.ok(median < 5)
  t.equal(directory.byId('t-6'), first.byId('t-6'))
  t.not(directory.byId('t-29'), first.byId('t-29'))
  t.equal(directory.size, 100_000)
})

/** Built by hand: validating so many takes longer than compiling them. */
function big(i: number, disabled = false): TenantConfig {
  const hex = i.toString(16).padStart(64, '0')
  return {
    id: `t-${i}`,
    address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
    hosts: [`t-${i}.example.com`],
    credentials: [{ apiKey: `sha256:${hex}` }, { spiffe: `spiffe://example.org/tenant/t-${i}` }],
    jwt: [],
    deployment: { endpoints: ['http://127.0.0.1:9'] },
    limits: {},
    connect: false,
    passthrough: false,
    quotas: [],
    disabled,
  }
}

/** Changes of a directory: what they leave alone, and that snapshots of before know nothing of them. */
import fc from 'fast-check'
import { test } from 'tap'
import type { TenantConfig } from '../../../../src/config/schema.ts'
import { tenantSchema } from '../../../../src/config/tenant-schema.ts'
import { encodeTenant } from '../../../../src/config/tenant-text.ts'
import { TenantDirectory } from '../../../../src/proxy/tenant/directory.ts'
import { PendingChange } from '../../../../src/proxy/tenant/pending-change.ts'

const IDS = ['a', 'b', 'c', 'd']
const ISSUER = 'https://login.example'

/** What there is to claim; few of it, so that tenants get into each other's way. */
const CLAIMS: readonly object[] = [
  { address: '10.0.0.1' },
  { address: 'fd00::1' },
  { hosts: ['x.example'] },
  { hosts: ['*.example'] },
  { credentials: [{ apiKey: `sha256:${'1'.repeat(64)}` }] },
  { credentials: [{ certificate: `sha256:${'2'.repeat(64)}` }] },
  { credentials: [{ spiffe: 'spiffe://example.org/s' }] },
  { credentials: [{ spiffe: 'spiffe://example.org/s/*' }] },
  { credentials: [{ jwt: { issuer: ISSUER, claims: { org: '1' } } }] },
  { credentials: [{ jwt: { issuer: ISSUER, claims: { org: '1', env: 'x' } } }] },
  { connect: true },
]

function tenant(id: string, rest: object = {}): TenantConfig {
  return tenantSchema.parse({ id, deployment: { endpoints: ['http://127.0.0.1:9'] }, ...rest })
}

/** Everything that can be asked of a directory that knows only `CLAIMS`. */
function answers(directory: TenantDirectory): unknown {
  const owners = [
    ...IDS.map(id => directory.byId(id)),
    ...['10.0.0.1', '::ffff:10.0.0.1', 'fd00:0::1', '10.0.0.2'].map(address =>
      directory.byAddress(address),
    ),
    ...['x.example', 'y.example', 'example'].map(host => directory.byHost(host)),
    directory.byApiKeyDigest('1'.repeat(64)),
    directory.byApiKeyDigest('2'.repeat(64)),
    directory.byCertificateDigest('2'.repeat(64)),
    ...['s', 's/t', 't'].map(path => directory.bySpiffeId(`spiffe://example.org/${path}`)),
    directory.byJwt(ISSUER, undefined, { org: '1' }),
    directory.byJwt(ISSUER, 'a', { org: '1', env: 'x' }),
    directory.byJwt(ISSUER, 'b', { org: '2' }),
  ]
  return {
    owners: owners.map(owner => owner?.text),
    tenants: [...directory.tenants()].map(({ text }) => text).toSorted(),
    addresses: [...directory.addresses()].map(([address, { id }]) => `${address} ${id}`).toSorted(),
    size: directory.size,
  }
}

const changes = fc.array(
  fc.record({
    changed: fc.uniqueArray(
      fc.record({ id: fc.constantFrom(...IDS), claim: fc.constantFrom(...CLAIMS) }),
      { selector: ({ id }) => id, maxLength: 3 },
    ),
    removed: fc.subarray(IDS, { maxLength: 2 }),
    inTurns: fc.boolean(),
  }),
  { minLength: 1, maxLength: 8 },
)

/** What `change` makes of `tenants`, by a plain map; undefined where two claim the same. */
function changedModel(
  tenants: ReadonlyMap<string, TenantConfig>,
  changed: readonly TenantConfig[],
  removed: readonly string[],
): Map<string, TenantConfig> | undefined {
  const next = new Map(tenants)
  for (const id of removed) next.delete(id)
  for (const config of changed) next.set(config.id, config)
  const claims = [...next.values()].map(each => JSON.stringify({ ...each, id: undefined }))
  const unclaimed = JSON.stringify({ ...tenant('a', { connect: true }), id: undefined })
  const plain = JSON.stringify({ ...tenant('a'), id: undefined })
  const contested = claims.filter(claim => claim !== unclaimed && claim !== plain)
  return new Set(contested).size === contested.length ? next : undefined
}

await test('each snapshot answers for ever as one that was compiled of its tenants', async t => {
  await fc.assert(
    fc.asyncProperty(changes, async steps => {
      let directory = TenantDirectory.compile([], 0)
      let tenants: ReadonlyMap<string, TenantConfig> = new Map()
      const snapshots = [{ directory, expected: answers(directory) }]
      for (const [index, { changed, removed, inTurns }] of steps.entries()) {
        const configs = changed.map(({ id, claim }) => tenant(id, claim))
        const next = changedModel(tenants, configs, removed)
        const generation = index + 1
        const pending = new PendingChange(directory)
        if (inTurns) pending.take({ changed: [], removed })
        pending.take({ changed: configs.map(encodeTenant), removed: inTurns ? [] : removed })
        const swapping = pending.finish(generation, async () => {})
        if (next === undefined) await t.rejects(swapping, /both claim/)
        else {
          tenants = next
          directory = (await swapping).directory
          const compiled = TenantDirectory.compile([...tenants.values()], generation)
          snapshots.push({ directory, expected: answers(compiled) })
        }
        for (const each of snapshots) t.same(answers(each.directory), each.expected)
      }
    }),
    { numRuns: 200 },
  )
})

await test('a change leaves all other tenants, and what is known of them, alone', async t => {
  const before = TenantDirectory.compile(
    [tenant('acme', { hosts: ['acme.example'] }), tenant('globex', { hosts: ['globex.example'] })],
    1,
  )
  const acme = before.byId('acme')
  const changed = [encodeTenant(tenant('globex', { hosts: ['globex.example'], connect: true }))]
  const { directory, left, entered } = before.apply({ generation: 2, changed, removed: [] })
  t.equal(directory.byId('acme'), acme)
  t.equal(acme?.current, true)
  t.equal(before.byId('globex')?.current, false)
  t.same([left, entered], [[before.byId('globex')], [directory.byId('globex')]])
  t.equal(directory.namesGeneration, before.namesGeneration, 'names lead where they led')
})

await test('a text that says the same changes nothing', async t => {
  const before = TenantDirectory.compile([tenant('acme')], 1)
  const changed = [encodeTenant(tenant('acme'))]
  const { directory, left, entered } = before.apply({ generation: 2, changed, removed: [] })
  t.equal(directory.byId('acme'), before.byId('acme'))
  t.same([left, entered], [[], []])
})

await test('another host, or another binding, may win over a tenant that did not change', async t => {
  const first = TenantDirectory.compile([tenant('acme', { hosts: ['*.example'] })], 1)
  const hosts = [encodeTenant(tenant('globex', { hosts: ['www.example'] }))]
  const second = first.apply({ generation: 2, changed: hosts, removed: [] }).directory
  t.equal(second.namesGeneration, 2)
  t.equal(second.byHost('www.example')?.id, 'globex')
  const third = second.apply({ generation: 3, changed: [], removed: ['globex'] }).directory
  t.equal(third.namesGeneration, 3)
  t.equal(third.byHost('www.example')?.id, 'acme')
})

await test('what one tenant gives up in a change another one may claim in the same', async t => {
  const address = { address: '10.0.0.1' }
  const before = TenantDirectory.compile([tenant('acme', address), tenant('globex')], 1)
  const changed = [tenant('globex', address), tenant('acme')].map(encodeTenant)
  const { directory } = before.apply({ generation: 2, changed, removed: [] })
  t.equal(directory.byAddress('10.0.0.1')?.id, 'globex')
  t.equal(before.byAddress('10.0.0.1')?.id, 'acme')
})

await test('what a worker starts with is refused with both names, and may say a thing twice', async t => {
  const start = async (...tenants: TenantConfig[]): Promise<TenantDirectory> => {
    const pending = new PendingChange(TenantDirectory.empty())
    for (const each of tenants) pending.take({ changed: [encodeTenant(each)], removed: [] })
    return (await pending.finish(1, async () => {})).directory
  }
  const host = { hosts: ['x.example', 'x.example'] }
  const binding = { jwt: { issuer: ISSUER, claims: { org: '1' } } }
  const bound = { credentials: [binding, binding] }
  const directory = await start(tenant('acme', host), tenant('globex', bound))
  t.equal(directory.byHost('x.example')?.id, 'acme')
  t.equal(directory.byJwt(ISSUER, undefined, { org: '1' })?.id, 'globex')
  t.equal(directory.size, 2)
  await t.rejects(start(tenant('acme', host), tenant('globex', host)), /"acme" and "globex" both/)
  await t.rejects(start(tenant('acme'), tenant('acme')), /"acme" and "acme" both claim acme/)
})

await test('a text that is none spoils its change and no other', async t => {
  const empty = TenantDirectory.empty()
  for (const directory of [empty, TenantDirectory.compile([tenant('acme')], 1)]) {
    const pending = new PendingChange(directory)
    pending.take({ changed: [encodeTenant(tenant('globex')), '{"id":'], removed: [] })
    pending.take({ changed: [encodeTenant(tenant('initech'))], removed: [] })
    await t.rejects(
      pending.finish(2, async () => {}),
      SyntaxError,
    )
    t.equal(directory.byId('globex'), undefined)
  }
})

await test('a tenant that comes back after all were gone is another one to the counters', async t => {
  const before = TenantDirectory.compile([tenant('acme'), tenant('globex')], 1)
  const none = before.apply({ generation: 2, changed: [], removed: ['acme', 'globex'] }).directory
  const pending = new PendingChange(none)
  pending.take({ changed: [encodeTenant(tenant('acme'))], removed: [] })
  const { directory } = await pending.finish(3, async () => {})
  t.equal(directory.byId('acme')?.index, 2)
})

await test('a change of many tenants gives way to the traffic while it is made', async t => {
  const many = Array.from({ length: 2_000 }, (_, i) =>
    tenant(`t-${i}`, { hosts: [`${i}.example`] }),
  )
  const before = TenantDirectory.compile(many, 1)
  const changed = many.map(each => encodeTenant({ ...each, connect: true }))
  let pauses = 0
  const { directory } = await before.applyInTurns(
    { generation: 2, changed, removed: [] },
    async () => {
      pauses += 1
      t.equal(before.byHost('7.example'), before.byId('t-7'), 'the one in use is whole')
    },
  )
  t.ok(pauses > 10, `${pauses}`)
  t.equal(directory.byHost('7.example')?.config.connect, true)
  t.equal(before.byHost('7.example')?.config.connect, false)
})

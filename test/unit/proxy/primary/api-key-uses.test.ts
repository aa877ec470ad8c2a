import { test } from 'tap'
import type { TenantConfig } from '../../../../src/config/schema.ts'
import { encodeTenant } from '../../../../src/config/tenant-text.ts'
import { ApiKeyUses } from '../../../../src/proxy/primary/api-key-uses.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { tenantConfig } from '../../../support/token-issuer.ts'

const hex = (digit: string): string => digit.repeat(64)
const withKeys = (id: string, ...digits: string[]): TenantConfig =>
  tenantConfig(id, { credentials: digits.map(digit => ({ apiKey: `sha256:${hex(digit)}` })) })

function setUp(...tenants: TenantConfig[]) {
  const byId = new Map(tenants.map(tenant => [tenant.id, tenant]))
  const uses = new ApiKeyUses({
    clock: new FakeClock(5_000),
    text: id => {
      const tenant = byId.get(id)
      return tenant && encodeTenant(tenant)
    },
  })
  return { byId, uses }
}

await test('keeps the latest use of each key, whichever worker says so', async t => {
  const { uses } = setUp(withKeys('acme', 'a', 'b'), withKeys('globex', 'c'))
  uses.record([
    { tenant: 'acme', digest: hex('a'), at: 70 },
    { tenant: 'globex', digest: hex('c'), at: 71 },
  ])
  uses.record([{ tenant: 'acme', digest: hex('a'), at: 60 }])
  t.equal(uses.lastUse('acme', hex('a')), 70_000)
  t.equal(uses.lastUse('globex', hex('c')), 71_000)
  t.equal(uses.lastUse('acme', hex('b')), undefined)
  t.equal(uses.since, 5_000)
})

await test('keeps nothing of tenants and keys that are not configured', async t => {
  const { byId, uses } = setUp(withKeys('acme', 'a'), withKeys('globex', 'c'))
  uses.record([
    { tenant: 'nobody', digest: hex('a'), at: 70 },
    { tenant: 'acme', digest: hex('c'), at: 70 },
    { tenant: 'globex', digest: hex('c'), at: 70 },
  ])
  t.equal(uses.lastUse('nobody', hex('a')), undefined)
  t.equal(uses.lastUse('acme', hex('c')), undefined)
  byId.delete('globex')
  uses.forget(['globex'])
  byId.set('globex', withKeys('globex', 'c'))
  t.equal(uses.lastUse('globex', hex('c')), undefined)
})

await test('keys that come and go do not add up', async t => {
  const { byId, uses } = setUp()
  const digests = Array.from({ length: 100 }, (_, i) => i.toString(16).padStart(64, '0'))
  for (const digest of digests) {
    byId.set('acme', tenantConfig('acme', { credentials: [{ apiKey: `sha256:${digest}` }] }))
    uses.record([{ tenant: 'acme', digest, at: 70 }])
  }
  const kept = digests.filter(digest => uses.lastUse('acme', digest) !== undefined)
  t.ok(kept.length <= 4, `${kept.length} are kept`)
  t.equal(kept.at(-1), digests.at(-1))
})

import { test } from 'tap'
import type { LimitsConfig } from '../../../../src/config/schema.ts'
import { HandshakeLimits } from '../../../../src/proxy/limits/handshake-limits.ts'
import type { Tenant } from '../../../../src/proxy/tenant/tenant.ts'

function tenantWith(limits: LimitsConfig): Tenant {
  return { config: { limits } } as unknown as Tenant
}

/** How many may begin at once. */
function fits(limits: HandshakeLimits, tenant: Tenant, now: number): number {
  for (let begun = 0; begun < 100; begun += 1) if (!limits.take(tenant, now)) return begun
  return Number.POSITIVE_INFINITY
}

await test('each tenant has its own handshakes, or those of the service, or no limit', async t => {
  const limits = new HandshakeLimits(() => ({ handshakes: 4 }), 1)
  const [own, other, third] = [tenantWith({ handshakes: 10 }), tenantWith({}), tenantWith({})]
  t.equal(fits(limits, own, 0), 10)
  t.equal(fits(limits, other, 0), 4)
  t.equal(fits(limits, third, 0), 4)
  t.equal(fits(limits, other, 500), 2, 'what half a second brings')
  const free = new HandshakeLimits(() => ({}), 1)
  t.equal(fits(free, tenantWith({}), 0), Number.POSITIVE_INFINITY)
})

await test('workers share them, and who is asked later hears of their number then', async t => {
  const limits = new HandshakeLimits(() => ({ handshakes: 8 }), 2)
  const [early, late] = [tenantWith({}), tenantWith({})]
  t.equal(fits(limits, early, 0), 4)
  limits.share(1)
  t.equal(fits(limits, early, 0), 4, 'eight in all')
  t.equal(fits(limits, late, 0), 8)
  limits.share(4)
  t.equal(fits(limits, early, 2_000), 2)
})

await test('other limits of the service begin anew', async t => {
  let perSecond = 1
  const limits = new HandshakeLimits(() => ({ handshakes: perSecond }), 1)
  const tenant = tenantWith({})
  t.equal(fits(limits, tenant, 0), 1)
  perSecond = 3
  limits.reset()
  t.equal(fits(limits, tenant, 0), 3)
})

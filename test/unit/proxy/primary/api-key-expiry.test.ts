import { type Test, test } from 'tap'
import type { TenantConfig } from '../../../../src/config/schema.ts'
import { encodeTenant } from '../../../../src/config/tenant-text.ts'
import { ApiKeyExpiry } from '../../../../src/proxy/primary/api-key-expiry.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { LogLines } from '../../../support/log-lines.ts'
import { NOW, tenantConfig } from '../../../support/token-issuer.ts'

interface Said {
  readonly keys: readonly { readonly tenant: string }[]
  readonly count: number
}

const DAY = 86_400_000
const SOON = 'API keys expire within 14 days'
const OVER = 'API keys have expired'

function setUp(t: Test) {
  const clock = new FakeClock(NOW)
  const log = new LogLines()
  const expiry = new ApiKeyExpiry({ clock, logger: log.logger })
  t.teardown(() => expiry.close())
  const gauge = (): Record<string, number> =>
    Object.fromEntries(
      expiry
        .readers()
        .flatMap(({ read }) => read().map(({ labels, value }) => [labels.state, value])),
    )
  const use = (tenants: readonly TenantConfig[], removed: readonly string[] = []): void =>
    expiry.update({ changed: tenants.map(encodeTenant), removed })
  return { clock, log, expiry, gauge, use }
}

/** With a key that ends in so many days. */
function ending(id: string, ...days: number[]): TenantConfig {
  return tenantConfig(id, {
    credentials: days.map((day, i) => ({
      apiKey: `sha256:${`${id}-${i}`.padEnd(64, '0')}`,
      label: `key ${i}`,
      expires: new Date(NOW + day * DAY).toISOString(),
    })),
  })
}

await test('a key that expires within 14 days raises the gauge and one log line', async t => {
  const { clock, log, expiry, gauge, use } = setUp(t)
  const tenants = [ending('acme', 13.9, 14.1), ending('globex', 300), tenantConfig('initech')]
  use(tenants)
  t.same(gauge(), { expiring: 1, expired: 0 })
  const line = {
    tenant: 'acme',
    label: 'key 0',
    digest: 'acme-000',
    expires: new Date(NOW + 13.9 * DAY).toISOString(),
  }
  t.match(log.all(SOON), [{ keys: [line], count: 1 }])
  t.notMatch(JSON.stringify(log.all(SOON)), 'acme-0000', 'no more of the digest')
  expiry.look()
  use(tenants)
  t.equal(log.all(SOON).length, 1, 'it is said once, also after a reload')
  clock.ms += DAY
  expiry.look()
  t.equal(log.all(SOON).length, 2, 'the next one')
  t.same(gauge(), { expiring: 2, expired: 0 })
})

await test('a key that has expired is counted and said as such, once', async t => {
  const { clock, log, expiry, gauge, use } = setUp(t)
  use([ending('acme', 1)])
  clock.ms += DAY
  t.same(gauge(), { expiring: 0, expired: 1 }, 'at the moment')
  expiry.look()
  expiry.look()
  t.equal(log.all(OVER).length, 1)
  use([ending('acme', 200)])
  t.same(gauge(), { expiring: 0, expired: 0 }, 'it was given more time')
  use([], ['acme'])
  t.same(gauge(), { expiring: 0, expired: 0 })
})

await test('a line names twenty keys, the next to end first, and counts the rest', async t => {
  const { log, use } = setUp(t)
  use(Array.from({ length: 100 }, (_, i) => ending(`t${i}`, 13 - i / 10)))
  const [line] = log.all(SOON) as unknown as Said[]
  t.equal(line?.count, 100)
  t.same(line?.keys.length, 20)
  t.equal(line?.keys[0]?.tenant, 't99')
})

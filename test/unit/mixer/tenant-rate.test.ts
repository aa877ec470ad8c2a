import { test } from 'tap'
import { MAX_A_MINUTE, rateLimited, TenantRate } from '../../../src/mixer/http/tenant-rate.ts'
import { FakeClock } from '../../support/fake-clock.ts'

await test('a tenant may come so often in a minute, and others as often', async t => {
  const clock = new FakeClock()
  const rate = new TenantRate(clock)
  for (let call = 0; call < MAX_A_MINUTE; call += 1)
    if (rate.take('acme') !== 0) t.fail(`refused at ${call}`)
  clock.ms += 20_000
  t.equal(rate.take('acme'), 40_000)
  t.equal(rate.take('globex'), 0)
  clock.ms += 40_000
  t.equal(rate.take('acme'), 0)
  t.match(rateLimited(1_001), { status: 429, headers: { 'retry-after': '2' } })
})

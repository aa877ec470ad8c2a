/** When endpoints are checked; how is tested with real ones, in test/integration/proxy-health.test.ts. */
import { test } from 'tap'
import { TimerWheel } from '../../../../src/core/timer-wheel.ts'
import { HealthChecker } from '../../../../src/proxy/pool/health-checker.ts'
import type { WorkerContext } from '../../../../src/proxy/worker/context.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const HEALTH = { path: '/', interval: 10_000, timeout: 1_000, rise: 2, fall: 3 }

/** When rounds begin within a minute, in ms. */
async function rounds(random: number, closeAt = Number.POSITIVE_INFINITY): Promise<number[]> {
  const clock = new FakeClock(0)
  const wheel = new TimerWheel(0)
  const context = {
    clock: Object.assign(clock, { refresh: () => {} }),
    wheel,
    random: () => random,
  } as unknown as WorkerContext
  const began: number[] = []
  const checker = new HealthChecker(context, {
    tenant: 'acme',
    health: HEALTH,
    endpoints: () => {
      began.push(clock.ms)
      return []
    },
  })
  for (; clock.ms <= 60_000; clock.ms += 50) {
    if (clock.ms === closeAt) checker.close()
    wheel.advance(clock.ms)
    await Promise.resolve()
    await new Promise(resolve => setImmediate(resolve))
  }
  return began
}

await test('the first round comes within a second, and the next ones an interval apart', async t => {
  t.same(await rounds(0.5), [500, 10_500, 20_500, 30_500, 40_500, 50_500])
})

await test('workers and tenants that begin together do not check together', async t => {
  t.same((await rounds(0)).slice(0, 4), [50, 9_050, 18_050, 27_050])
  t.same((await rounds(0.98)).slice(0, 3), [1_000, 12_000, 23_000])
})

await test('closed, it checks no more', async t => {
  t.same(await rounds(0.5, 15_000), [500, 10_500])
})

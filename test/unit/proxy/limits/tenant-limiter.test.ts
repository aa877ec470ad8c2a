import fc from 'fast-check'
import { test } from 'tap'
import type { LimitsConfig } from '../../../../src/config/schema.ts'
import { Pacer, RateLimit, TenantLimiter } from '../../../../src/proxy/limits/tenant-limiter.ts'

await test('a burst at once, then one an interval', async t => {
  const limit = new RateLimit(10, 3)
  t.same([limit.take(1_000), limit.take(1_000), limit.take(1_000)], [0, 0, 0])
  t.equal(limit.take(1_000), 100)
  t.equal(limit.take(1_050), 50)
  t.equal(limit.take(1_099.5), 0.5)
  t.equal(limit.take(1_100), 0, 'exactly when it said')
  t.equal(limit.take(1_100), 100, 'what was refused took nothing')
  t.same(
    [0, 0, 0, 0].map(() => limit.take(5_000)),
    [0, 0, 0, 100],
    'rest saves up no more than a burst',
  )
})

await test('a rate below one a second is a rate too', async t => {
  const limit = new RateLimit(6 / 60, 1)
  t.equal(limit.take(0), 0)
  t.equal(limit.take(1), 9_999)
  t.equal(limit.take(10_000), 0)
})

await test('no rate, no limit', async t => {
  const limit = new RateLimit(undefined, Number.POSITIVE_INFINITY)
  for (let call = 0; call < 1_000; call++) if (limit.take(0) !== 0) t.fail('limited')
})

await test('takes exactly what a bucket of tokens takes', async t => {
  // Whole milliseconds in a whole interval: both count without rounding.
  const interval = fc.constantFrom(1, 2, 5, 10, 100, 1_000)
  const gaps = fc.array(fc.oneof(fc.nat(20), fc.nat(3_000)), { maxLength: 100 })
  fc.assert(
    fc.property(interval, fc.integer({ min: 1, max: 20 }), gaps, (intervalMs, burst, passes) => {
      const limit = new RateLimit(1_000 / intervalMs, burst)
      let now = 1_000_000
      // In milliseconds: a call costs an interval.
      let saved = burst * intervalMs
      for (const ms of passes) {
        now += ms
        saved = Math.min(burst * intervalMs, saved + ms)
        const expected = Math.max(0, intervalMs - saved)
        if (expected === 0) saved -= intervalMs
        const wait = limit.take(now)
        if (wait !== expected) throw new Error(`${wait} at ${now}, not ${expected}`)
      }
    }),
    { numRuns: 1_000 },
  )
  t.pass()
})

await test('a rate that no clock can divide is held over time', async t => {
  for (const perSecond of [3, 7, 30, 333.3]) {
    const limit = new RateLimit(perSecond, 5)
    let taken = 0
    for (let now = 0; now < 60_000; now++) while (limit.take(now) === 0) taken++
    t.ok(Math.abs(taken - (perSecond * 60 + 5)) <= 1, `${taken} a minute at ${perSecond} a second`)
  }
})

await test('a burst is whole, whatever the interval does to the sums', async t => {
  for (const perSecond of [3, 7, 11, 333.3])
    for (const burst of [1, 3, 7, 10, 49, 100])
      for (const now of [0, 0.1, 123_456.789, 86_400_000.3]) {
        const limit = new RateLimit(perSecond, burst)
        const taken = count(() => limit.take(now) === 0)
        if (taken !== burst) t.fail(`${taken} of ${burst} at ${perSecond} a second, ${now}`)
      }
})

await test('a bandwidth holds after a tenth of a second of burst', async t => {
  const pacer = new Pacer(1_000_000)
  t.equal(pacer.spend(60_000, 1_000), 0)
  t.equal(pacer.spend(40_000, 1_000), 0)
  t.equal(pacer.spend(1_000, 1_000), 1)
  t.equal(pacer.spend(9_000, 1_000), 10, 'debts add up')
  t.equal(pacer.spend(0, 1_006), 4)
  t.equal(pacer.spend(0, 2_000), 0)
  t.equal(pacer.spend(101_000, 9_000), 1, 'rest saves up no more than the burst')
  const free = new Pacer(Number.POSITIVE_INFINITY)
  t.equal(free.spend(Number.MAX_SAFE_INTEGER, 0), 0)
})

await test('who rests as long as told has the bandwidth in the end', async t => {
  const pacer = new Pacer(1_000_000)
  let now = 1_000
  let passed = 0
  while (now < 61_000) {
    passed += 16_384
    now += pacer.spend(16_384, now)
  }
  t.ok(Math.abs(passed - 60_100_000) < 2 * 16_384, `${passed} bytes a minute`)
})

function limiter(limits: LimitsConfig, defaults: LimitsConfig = {}, workers = 1): TenantLimiter {
  return new TenantLimiter(limits, defaults, workers)
}
/** How often it is true until it is false. */
function count(take: () => boolean): number {
  for (let taken = 0; taken < 10_000; taken++) if (!take()) return taken
  return Number.POSITIVE_INFINITY
}

await test('a worker has its share of each limit, and at least one', async t => {
  const limits = { concurrency: 10, connections: 3, requests: 100, burst: 8, body: 500 }
  const shared = limiter(limits, {}, 4)
  t.equal(
    count(() => shared.beginCall()),
    3,
  )
  t.equal(
    count(() => shared.openConnection()),
    1,
  )
  t.equal(
    count(() => shared.takeCall(0) === 0),
    2,
  )
  t.equal(shared.takeCall(0), 40, 'a quarter of 100 a second')
  t.equal(shared.maxBodyBytes, 500, 'a body is not shared out')
  const least = limiter({ concurrency: 1 }, {}, 64)
  t.equal(
    count(() => least.beginCall()),
    1,
  )
})

await test('what a tenant has no limit for is limited as the service is, or not', async t => {
  const defaults = { concurrency: 2, connections: 2, body: 10, requests: 5 }
  const inherited = limiter({ concurrency: 3 }, defaults)
  t.equal(
    count(() => inherited.beginCall()),
    3,
  )
  t.equal(
    count(() => inherited.openConnection()),
    2,
  )
  t.equal(inherited.maxBodyBytes, 10)
  t.equal(
    count(() => inherited.takeCall(0) === 0),
    5,
    'a second of calls is the burst by default',
  )
  const free = limiter({})
  t.equal(
    count(() => free.beginCall()),
    Number.POSITIVE_INFINITY,
  )
  t.equal(
    count(() => free.openConnection()),
    Number.POSITIVE_INFINITY,
  )
  t.equal(
    count(() => free.takeCall(0) === 0),
    Number.POSITIVE_INFINITY,
  )
  t.equal(free.maxBodyBytes, Number.POSITIVE_INFINITY)
  t.equal(free.ingress.spend(1e12, 0) + free.egress.spend(1e12, 0), 0)
})

await test('what ended makes room', async t => {
  const busy = limiter({ concurrency: 1, connections: 1 })
  t.same([busy.beginCall(), busy.beginCall()], [true, false])
  t.equal(busy.activeCalls, 1)
  busy.endCall()
  t.equal(busy.activeCalls, 0)
  t.ok(busy.beginCall())
  t.same([busy.openConnection(), busy.openConnection()], [true, false])
  busy.closeConnection()
  t.ok(busy.openConnection())
})

await test('bandwidths are apart by direction', async t => {
  const paced = limiter({ ingress: 1_000, egress: 2_000 }, {}, 2)
  t.equal(paced.ingress.spend(500, 1_000), 900)
  t.equal(paced.egress.spend(1_000, 1_000), 900)
})

import fc from 'fast-check'
import { test } from 'tap'
import { RateLimit, rateOf } from '../../../../src/proxy/limits/rate-limit.ts'

await test('a burst at once, then one an interval', async t => {
  const limit = new RateLimit(rateOf(10, 3))
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
  const limit = new RateLimit(rateOf(6 / 60, 1))
  t.equal(limit.take(0), 0)
  t.equal(limit.take(1), 9_999)
  t.equal(limit.take(10_000), 0)
})

await test('no rate, no limit', async t => {
  const limit = new RateLimit(rateOf(undefined, Number.POSITIVE_INFINITY))
  for (let call = 0; call < 1_000; call++) if (limit.take(0) !== 0) t.fail('limited')
})

await test('takes exactly what a bucket of tokens takes', async t => {
  // Whole milliseconds in a whole interval: both count without rounding.
  const interval = fc.constantFrom(1, 2, 5, 10, 100, 1_000)
  const gaps = fc.array(fc.oneof(fc.nat(20), fc.nat(3_000)), { maxLength: 100 })
  fc.assert(
    fc.property(interval, fc.integer({ min: 1, max: 20 }), gaps, (intervalMs, burst, passes) => {
      const limit = new RateLimit(rateOf(1_000 / intervalMs, burst))
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
    const limit = new RateLimit(rateOf(perSecond, 5))
    let taken = 0
    for (let now = 0; now < 60_000; now++) while (limit.take(now) === 0) taken++
    t.ok(Math.abs(taken - (perSecond * 60 + 5)) <= 1, `${taken} a minute at ${perSecond} a second`)
  }
})

await test('a burst is whole, whatever the interval does to the sums', async t => {
  for (const perSecond of [3, 7, 11, 333.3])
    for (const burst of [1, 3, 7, 10, 49, 100])
      for (const now of [0, 0.1, 123_456.789, 86_400_000.3]) {
        const limit = new RateLimit(rateOf(perSecond, burst))
        const taken = count(() => limit.take(now) === 0)
        if (taken !== burst) t.fail(`${taken} of ${burst} at ${perSecond} a second, ${now}`)
      }
})

/** How often it is true until it is false. */
function count(take: () => boolean): number {
  for (let taken = 0; taken < 10_000; taken++) if (!take()) return taken
  return Number.POSITIVE_INFINITY
}

await test('another rate keeps what was taken', async t => {
  const limit = new RateLimit(rateOf(10, 4))
  t.equal(
    count(() => limit.take(0) === 0),
    4,
  )
  limit.change(rateOf(20, 8), 0)
  t.equal(limit.remaining(0), 4)
  t.equal(
    count(() => limit.take(0) === 0),
    4,
  )
  t.equal(limit.take(0), 50)
  limit.change(rateOf(undefined, 1), 0)
  t.equal(limit.take(0), 0, 'no limit')
  t.equal(limit.remaining(0), Number.POSITIVE_INFINITY)
  limit.change(rateOf(10, 2), 1_000)
  t.equal(limit.remaining(1_000), 2, 'nothing was counted without a limit')
})

await test('what remains is what would fit', async t => {
  const limits = fc.record({ rate: fc.integer({ min: 1, max: 1_000 }), burst: fc.nat(50) })
  const gaps = fc.array(fc.nat(500), { maxLength: 50 })
  fc.assert(
    fc.property(limits, gaps, ({ rate, burst }, passes) => {
      const limit = new RateLimit(rateOf(rate, burst))
      let now = 0
      for (const ms of passes) {
        now += ms
        const remaining = limit.remaining(now)
        const fits = limit.take(now) === 0
        if (fits !== remaining > 0) throw new Error(`${remaining} remained, and it fits: ${fits}`)
        if (fits && limit.remaining(now) !== remaining - 1) throw new Error('one less')
      }
    }),
  )
  t.pass()
})

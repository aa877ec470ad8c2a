import { test } from 'tap'
import { scheduleOf } from '../../../bench/harness/schedule.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

const SEED = 11

await test('calls come at the rate that was asked for, in order, and none after the end', async t => {
  const due = scheduleOf(1_000, 20, new SeededRandom(SEED))
  t.ok(Math.abs(due.length - 20_000) < 5 * Math.sqrt(20_000), `${due.length} calls`)
  t.ok(due.every((at, n) => at > 0 && at < 20_000 && at >= (due[n - 1] ?? 0)))
})

await test('pauses are those of callers that know nothing of each other', async t => {
  const due = scheduleOf(1_000, 20, new SeededRandom(SEED))
  const longer = due.filter((at, n) => at - (due[n - 1] ?? 0) > 1).length / due.length
  t.ok(Math.abs(longer - Math.exp(-1)) < 0.02, `${longer} of them are longer than the mean`)
})

await test('the same seed gives every peer the same calls', async t => {
  const [one, two] = [1, 2].map(() => scheduleOf(500, 2, new SeededRandom(SEED)))
  t.same(one, two)
})

await test('what cannot be scheduled is an error', async t => {
  for (const rate of [0, -1, Number.NaN, 1e9])
    t.throws(() => scheduleOf(rate, 1, new SeededRandom(SEED)), /no schedule/)
})

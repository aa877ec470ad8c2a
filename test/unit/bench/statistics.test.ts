import { test } from 'tap'
import {
  excessOf,
  percentile,
  quartilesOf,
  ratioOf,
  spreadOf,
} from '../../../bench/harness/statistics.ts'

await test('the median is the middle value, or the mean of the two in the middle', async t => {
  t.same(spreadOf([10, 9, 100]), { median: 10, min: 9, max: 100 })
  t.same(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 })
  t.throws(() => spreadOf([]), RangeError)
})

await test('half of the values lie between the quartiles', async t => {
  const values = Array.from({ length: 9 }, (_, n) => (n * 4) % 9)
  t.same(quartilesOf(values), { median: 4, lower: 2, upper: 6 })
  t.same(quartilesOf([5]), { median: 5, lower: 5, upper: 5 })
  t.throws(() => quartilesOf([]), RangeError)
})

await test('ratios are made within a round, so that what slows all of it falls out', async t => {
  t.same(ratioOf([10, 30, 20], [5, 15, 10]), { median: 2, min: 2, max: 2 })
})

await test('above 1 means that the peer needs more', async t => {
  t.same(ratioOf([30], [10, 20]), { median: 3, min: 3, max: 3 })
})

await test('how much more AMT needs is told round by round, too', async t => {
  t.same(excessOf([10, 30], [11, 33]), { median: 2, min: 1, max: 3 })
})

await test('a percentile is a value that occurred', async t => {
  const values = Float64Array.from({ length: 100 }, (_, n) => n + 1)
  t.same(
    [0, 0.5, 0.99, 1].map(share => percentile(values, share)),
    [1, 50, 99, 100],
  )
  t.equal(percentile([7], 0.99), 7)
})

import { test } from 'tap'
import { measure } from '../../../bench/micro/measure.ts'

await test('the time of one is that of a batch over how many it had', async t => {
  let us = 0
  const spread = measure(
    times => {
      us += times * 0.25
    },
    () => us,
  )
  t.same(spread, { median: 250, min: 250, max: 250 })
})

await test('a batch is long beside the clock, and warming up comes first', async t => {
  let us = 0
  const batches: number[] = []
  measure(
    times => {
      batches.push(times)
      us += times
    },
    () => us,
  )
  const measured = batches.slice(-25)
  t.ok(
    measured.every(times => times >= 5_000),
    `${measured[0]} µs`,
  )
  t.ok(batches.slice(0, -25).reduce((sum, times) => sum + times, 0) >= 300_000)
})

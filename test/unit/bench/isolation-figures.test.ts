import { test } from 'tap'
import {
  betterThan,
  figuresOf,
  type Round,
  type ScenarioFigures,
  verdictOf,
} from '../../../bench/isolation/figures.ts'

function rowOf(scenario: string, peer: string, more: Partial<ScenarioFigures>): ScenarioFigures {
  return { ...figuresOf({ scenario, peer }, []), ...more }
}

function roundOf(times: number[], errors: Record<string, number> = {}): Round {
  const quiet = { times, late: [0.1], errors }
  return { quiet, noise: { 429: 2 }, cpuSeconds: 0.5, seconds: 1 }
}

await test('rounds are summed up as one', t => {
  const first = roundOf(Array.from({ length: 50 }, (_, index) => index + 1))
  const second = roundOf(
    Array.from({ length: 50 }, (_, index) => index + 51),
    { lost: 2 },
  )
  const figures = figuresOf({ scenario: 'flood', peer: 'amt' }, [first, second])
  t.match(figures, { calls: 100, p50Ms: 50, p99Ms: 99, p999Ms: 100, maxMs: 100 })
  t.match(figures, { failed: 2, errors: { lost: 2 }, busy: 0.5, noise: { 429: 4 } })
  t.same(figures.curve[0], { share: 0, ms: 1 })
  t.equal(figures.curve.at(-1)?.ms, 100)
  t.end()
})

await test('without an answered call there is no time, and no verdict that it holds', t => {
  const figures = figuresOf({ scenario: 'flood', peer: 'amt' }, [roundOf([], { lost: 3 })])
  t.ok(Number.isNaN(figures.p99Ms))
  t.same(figures.curve, [])
  const alone = rowOf('alone', 'amt', { p99Ms: 1 })
  t.equal(verdictOf(figures, [alone, figures])?.holds, false)
  const silent = rowOf('flood', 'amt', { failed: 0 })
  t.equal(verdictOf(silent, [alone, silent])?.holds, false)
  t.end()
})

await test('the 99th percentile may be half as much again as alone, or two milliseconds more', t => {
  const verdict = (alone: number, p99Ms: number, failed = 0): boolean | undefined => {
    const row = rowOf('flood', 'amt', { p99Ms, failed })
    return verdictOf(row, [rowOf('alone', 'amt', { p99Ms: alone }), row])?.holds
  }
  t.equal(verdict(1, 3), true)
  t.equal(verdict(1, 3.01), false)
  t.equal(verdict(10, 15), true)
  t.equal(verdict(10, 15.1), false)
  t.equal(verdict(10, 10, 1), false, 'one failed call')
  const other = rowOf('alone', 'haproxy', { p99Ms: 1 })
  t.equal(verdictOf(rowOf('flood', 'amt', {}), [other]), undefined, 'compared with itself alone')
  t.end()
})

await test('a proxy is better with fewer failed calls, or with a 99th percentile that noise does not explain', t => {
  const own = rowOf('flood', 'amt', { p99Ms: 3, failed: 1 })
  const names = (others: ScenarioFigures[]): string[] =>
    betterThan(own, [own, ...others]).map(({ peer }) => peer)
  t.same(names([rowOf('flood', 'a', { p99Ms: 9, failed: 0 })]), ['a'])
  t.same(names([rowOf('flood', 'a', { p99Ms: 1, failed: 2 })]), [])
  t.same(names([rowOf('flood', 'a', { p99Ms: 2.6, failed: 1 })]), ['a'])
  t.same(names([rowOf('flood', 'a', { p99Ms: 2.8, failed: 1 })]), [])
  t.same(names([rowOf('hung', 'a', { p99Ms: 1, failed: 1 })]), [], 'another scenario')
  t.end()
})

import { test } from 'tap'
import { AnnouncedRest, announcedRest } from '../../../../src/proxy/pool/announced-rest.ts'

await test('a connection rests for a second less than the deployment says, or half of it', t => {
  const cases: readonly [value: string, ms: number][] = [
    ['timeout=5', 4_000],
    ['timeout=5, max=100', 4_000],
    ['max=100,Timeout = "75"', 74_000],
    ['timeout=2', 1_000],
    ['timeout=1', 500],
    ['timeout=0', 0],
    ['', Number.POSITIVE_INFINITY],
    ['max=100', Number.POSITIVE_INFINITY],
    ['timeout=', Number.POSITIVE_INFINITY],
    ['timeout=soon', Number.POSITIVE_INFINITY],
    ['timeout=-1', Number.POSITIVE_INFINITY],
    ['timeout=99999999999', Number.POSITIVE_INFINITY],
    ['notimeout=5', Number.POSITIVE_INFINITY],
  ]
  for (const [value, ms] of cases) t.equal(announcedRest(value), ms, JSON.stringify(value))
  t.end()
})

await test('a value as long as a head can be is read in no time', t => {
  const begun = performance.now()
  for (const piece of ['timeout ', ' ', 'timeout=', '=', ',timeout=1 '])
    announcedRest(`timeout${piece.repeat(64 * 1024)}x`)
  t.ok(performance.now() - begun < 1_000)
  t.end()
})

await test('an endpoint may say something else from one answer to the next, or nothing', t => {
  const rest = new AnnouncedRest()
  t.equal(rest.of(''), Number.POSITIVE_INFINITY)
  t.equal(rest.of('timeout=5'), 4_000)
  t.equal(rest.of('timeout=5'), 4_000)
  t.equal(rest.of('timeout=3'), 2_000)
  t.equal(rest.of(''), Number.POSITIVE_INFINITY)
  t.end()
})

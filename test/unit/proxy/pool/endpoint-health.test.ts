/** Ejection, checks and slow start of one endpoint, on a clock of its own. */
import { test } from 'tap'
import { EndpointHealth } from '../../../../src/proxy/pool/endpoint-health.ts'

const CHECKS = { rise: 2, fall: 3 }

interface Watched {
  readonly health: EndpointHealth
  /** Durations of the ejections so far. */
  readonly ejections: number[]
  changes: number
}

function watched(slowStart = 0): Watched {
  const ejection = { failures: 3, base: 30_000, max: 100_000 }
  const all: Watched = {
    health: new EndpointHealth(
      { ejection, slowStart },
      {
        healthChanged: () => {
          all.changes++
        },
        ejectedFor: ms => all.ejections.push(ms),
      },
    ),
    ejections: [],
    changes: 0,
  }
  return all
}

function failCalls({ health }: Watched, count: number, now: number): void {
  for (let call = 0; call < count; call++) health.callFailed(now)
}

await test('a connection that fails makes it rest for a second, and no ejection', async t => {
  const { health, ejections } = watched()
  health.connectionFailed(0)
  t.ok(health.resting(999))
  t.equal(health.nextChange(0), 1_000)
  t.notOk(health.resting(1_000))
  t.ok(health.well(0))
  health.connectionFailed(2_000)
  health.connectionMade()
  t.notOk(health.resting(2_001), 'over with the first connection')
  t.same(ejections, [])
})

await test('as many failures in a row as configured eject it, and nothing less', async t => {
  const all = watched()
  const { health } = all
  failCalls(all, 2, 0)
  health.answered(200, 0)
  failCalls(all, 2, 0)
  t.ok(health.well(0), 'an answer between them')
  health.answered(503, 0)
  t.notOk(health.well(0), 'a 503 is a failure')
  t.notOk(health.well(29_999))
  t.ok(health.well(30_000))
  t.equal(health.nextChange(0), 30_000)
  t.same(all.ejections, [30_000])
})

await test('502, 503 and 504 are failures, and other answers are not', async t => {
  for (const status of [502, 503, 504]) {
    const { health, ejections } = watched()
    for (let call = 0; call < 3; call++) health.answered(status, 0)
    t.same(ejections, [30_000], String(status))
  }
  for (const status of [200, 404, 429, 500, 501, 505]) {
    const { health, ejections } = watched()
    for (let call = 0; call < 9; call++) health.answered(status, 0)
    t.same(ejections, [], String(status))
  }
})

await test('connections that fail in a row eject it; one that is made begins anew', async t => {
  const { health, ejections } = watched()
  health.connectionFailed(0)
  health.connectionFailed(2_000)
  health.connectionMade()
  health.connectionFailed(4_000)
  health.connectionFailed(6_000)
  t.same(ejections, [])
  health.connectionFailed(8_000)
  t.same(ejections, [30_000])
})

await test('an endpoint that takes connections and fails all calls is ejected', async t => {
  const all = watched()
  for (let call = 0; call < 3; call++) {
    all.health.connectionMade()
    failCalls(all, 1, call)
  }
  t.same(all.ejections, [30_000])
})

await test('each ejection is longer, up to the longest, and shorter again after good times', async t => {
  const all = watched()
  failCalls(all, 3, 0)
  failCalls(all, 9, 1_000)
  t.same(all.ejections, [30_000], 'failures of the calls that were under way extend nothing')
  failCalls(all, 3, 30_000)
  failCalls(all, 3, 90_000)
  failCalls(all, 3, 180_000)
  t.same(all.ejections, [30_000, 60_000, 90_000, 100_000])
  failCalls(all, 3, 280_000 + 60_000)
  t.equal(all.ejections.at(-1), 90_000, 'two bases without one')
  failCalls(all, 3, 1e9)
  t.equal(all.ejections.at(-1), 30_000)
})

await test('a check that passes ends an ejection', async t => {
  const all = watched()
  failCalls(all, 3, 0)
  all.health.checked(true, CHECKS, 5_000)
  t.ok(all.health.well(5_000))
  failCalls(all, 2, 5_000)
  t.ok(all.health.well(5_000), 'and begins a new count')
  all.health.connectionFailed(6_000)
  all.health.checked(true, CHECKS, 6_100)
  t.notOk(all.health.resting(6_100))
})

await test('the first check counts at once', async t => {
  const { health } = watched()
  t.ok(health.passesChecks, 'before it')
  health.checked(false, CHECKS, 0)
  t.notOk(health.well(0))
  const other = watched()
  other.health.checked(true, CHECKS, 0)
  t.ok(other.health.well(0))
})

await test('later checks count when there are enough of them in a row', async t => {
  const { health } = watched()
  const states = [true, false, false, true, false, false, false, true, false, true, true].map(
    passed => {
      health.checked(passed, CHECKS, 0)
      return health.well(0)
    },
  )
  t.same(states, [true, true, true, true, true, true, false, false, false, false, true])
})

await test('an ejected endpoint that fails its checks as well is not back when the ejection ends', async t => {
  const all = watched()
  all.health.checked(true, CHECKS, 0)
  failCalls(all, 3, 0)
  for (let check = 0; check < 3; check++) all.health.checked(false, CHECKS, 1_000)
  t.notOk(all.health.well(30_000))
})

await test('without a slow start it has its full share at any time', async t => {
  const all = watched()
  t.equal(all.health.weight(0), 1)
  all.health.warmUp(5)
  t.equal(all.health.weight(5), 1)
  failCalls(all, 3, 10)
  t.equal(all.health.weight(30_010), 1)
})

await test('in a slow start its share grows from a tenth to the whole, evenly', async t => {
  const { health } = watched(10_000)
  t.equal(health.weight(0), 1, 'not for one that was always there')
  health.warmUp(100_000)
  const near = (now: number, weight: number): boolean =>
    Math.abs(health.weight(now) - weight) < 1e-9
  t.ok(near(100_000, 0.1))
  t.ok(near(105_000, 0.55))
  t.ok(near(109_000, 0.91))
  t.equal(health.weight(110_000), 1)
})

await test('the slow start begins when the ejection ends, by itself or by a check', async t => {
  const all = watched(10_000)
  failCalls(all, 3, 0)
  t.equal(all.health.weight(30_000), 0.1)
  t.equal(all.health.weight(40_000), 1)
  failCalls(all, 3, 100_000)
  all.health.checked(true, CHECKS, 105_000)
  t.equal(all.health.weight(105_000), 0.1)
})

await test('an endpoint that passes its checks again starts slowly, and not one that always did', async t => {
  const { health } = watched(10_000)
  health.checked(true, CHECKS, 0)
  t.equal(health.weight(0), 1)
  for (let check = 0; check < 3; check++) health.checked(false, CHECKS, 1_000)
  for (let check = 0; check < 2; check++) health.checked(true, CHECKS, 2_000)
  t.equal(health.weight(2_000), 0.1)
})

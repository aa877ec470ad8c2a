import { test } from 'tap'
import { TurnClock } from '../../../src/runtime/turn-clock.ts'

await test('time stands still between two refreshes', async t => {
  const time = { wall: 1_000, since: 5 }
  const clock = new TurnClock({ now: () => time.wall, monotonic: () => time.since })
  time.wall = 2_000
  time.since = 6
  t.same([clock.now(), clock.monotonic()], [1_000, 5])
  clock.refresh()
  t.same([clock.now(), clock.monotonic()], [1_001, 6], 'the time of day goes on with the other one')
  clock.synchronize()
  t.same([clock.now(), clock.monotonic()], [2_000, 6], 'and jumps where it is asked to look')
})

await test('what arrives in a turn that is under way came when it began', async t => {
  const time = { wall: 1_000, since: 5 }
  const clock = new TurnClock({ now: () => time.wall, monotonic: () => time.since })
  time.since = 6
  clock.arrived({ underWay: false })
  t.equal(clock.monotonic(), 6)
  time.since = 7
  clock.arrived({ underWay: true })
  t.equal(clock.monotonic(), 6)
  clock.arrived({ underWay: false })
  t.equal(clock.monotonic(), 7)
})

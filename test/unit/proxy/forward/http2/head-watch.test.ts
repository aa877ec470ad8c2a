import { test } from 'tap'
import { TimerWheel } from '../../../../../src/core/timer-wheel.ts'
import { HeadWatch, type Progress } from '../../../../../src/proxy/forward/http2/head-watch.ts'
import { FakeClock } from '../../../../support/fake-clock.ts'

const TIME = 1_000

/** A session of which the test says how far it is. */
class Session implements Progress {
  midway = false
  begun = 0
  late = 0
  readonly clock = new FakeClock(0)
  readonly wheel = new TimerWheel(0)
  readonly watch = new HeadWatch(this, this, { time: TIME, late: () => (this.late += 1) })

  /** Something arrives at `ms`, and leaves the session so. */
  at(ms: number, midway: boolean, begun = this.begun): void {
    this.run(ms)
    this.midway = midway
    this.begun = begun
    this.watch.look()
  }

  run(ms: number): void {
    for (; this.clock.ms < ms; this.clock.ms += 50) this.wheel.advance(this.clock.ms)
    this.wheel.advance(this.clock.ms)
  }
}

await test('what begins and does not end is late, also where an octet comes now and then', t => {
  const session = new Session()
  session.at(100, true)
  for (let ms = 200; ms < 1_000; ms += 100) session.at(ms, true)
  session.run(1_050)
  t.equal(session.late, 0)
  session.run(1_400)
  t.equal(session.late, 1)
  t.end()
})

await test('what ends is in time, and what begins behind it has all of its own', t => {
  const session = new Session()
  session.at(0, true)
  session.at(800, false)
  session.at(900, true)
  session.run(1_800)
  t.equal(session.late, 0, 'the time of the first says nothing of the second')
  session.run(2_200)
  t.equal(session.late, 1)
  t.end()
})

await test('a busy connection is always midway, and always in something else', t => {
  const session = new Session()
  for (let ms = 0; ms < 20_000; ms += 100) session.at(ms, true, ms)
  t.equal(session.late, 0)
  session.run(23_000)
  t.equal(session.late, 1)
  t.end()
})

await test('nothing that has begun is never late, and nothing is when it is closed', t => {
  const session = new Session()
  session.at(0, false)
  session.run(5_000)
  session.at(5_000, true)
  session.watch.close()
  session.run(10_000)
  t.equal(session.late, 0)
  t.end()
})

import { test } from 'tap'
import { TimerWheel } from '../../../../src/core/timer-wheel.ts'
import { KeepAlive, type KeepAliveOptions } from '../../../../src/proxy/wire/keep-alive.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const STEP_MS = 50

/** A connection whose time is the test's; `log` is what it was asked, and when. */
class Watched {
  readonly log: string[] = []
  readonly clock = new FakeClock(0)
  readonly wheel = new TimerWheel(0)
  readonly keepAlive: KeepAlive
  audible = true
  /** How long it takes to answer; never without. */
  answersIn: number | undefined

  constructor(options: KeepAliveOptions) {
    this.keepAlive = new KeepAlive(this, this, options)
  }

  ping(): void {
    this.log.push(`ping ${this.clock.ms}`)
    if (this.answersIn === undefined) return
    const at = this.clock.ms + this.answersIn
    this.#answers.push(at)
  }

  readonly #answers: number[] = []

  vanished(): void {
    this.log.push(`vanished ${this.clock.ms}`)
  }

  /** Until `ms`; `heard` at each of the times. */
  run(ms: number, heard: readonly number[] = []): void {
    while (this.clock.ms < ms) {
      this.clock.ms += STEP_MS
      const { ms: now } = this.clock
      if (heard.includes(now) || this.#answers.includes(now)) this.keepAlive.heard(now)
      this.wheel.advance(now)
    }
  }
}

const EVERY = { interval: 1_000, timeout: 300 }

await test('who does not answer a PING in time is gone, and is asked no more', t => {
  const watched = new Watched(EVERY)
  watched.run(5_000)
  t.same(watched.log, ['ping 1000', 'vanished 1300'])
  t.end()
})

await test('who answers is asked again after an interval of silence', t => {
  const watched = new Watched(EVERY)
  watched.answersIn = 200
  watched.run(4_000)
  t.same(watched.log, ['ping 1000', 'ping 2200', 'ping 3400'])
  t.end()
})

await test('who says something of its own is not asked, and any octet answers', t => {
  const watched = new Watched(EVERY)
  watched.run(3_000, [900, 1_800, 2_700])
  t.same(watched.log, [])
  watched.run(3_800)
  t.same(watched.log, ['ping 3700'])
  watched.run(4_500, [3_900])
  t.same(watched.log, ['ping 3700'], 'it has said something else')
  t.end()
})

await test('off is off', t => {
  const watched = new Watched({ interval: 0, timeout: 300 })
  watched.run(100_000)
  t.same(watched.log, [])
  t.end()
})

await test('whoever is not listened to is not gone', t => {
  const watched = new Watched(EVERY)
  watched.audible = false
  watched.run(3_000)
  t.same(watched.log, [])
  watched.audible = true
  watched.run(4_100)
  t.equal(watched.log.length, 1)
  watched.audible = false
  watched.run(5_000)
  t.match(watched.log, [/^ping/], 'nor is one of whom we stopped reading after the question')
  t.end()
})

await test('a deployment is asked so often at most until it sends something of a call', t => {
  const watched = new Watched({ ...EVERY, most: 2 })
  watched.answersIn = 100
  watched.run(20_000)
  t.equal(watched.log.length, 2)
  watched.keepAlive.called()
  watched.run(40_000)
  t.equal(watched.log.length, 4)
  t.end()
})

await test('closed, it asks nobody', t => {
  const watched = new Watched(EVERY)
  watched.keepAlive.close()
  watched.run(5_000)
  t.same(watched.log, [])
  t.end()
})

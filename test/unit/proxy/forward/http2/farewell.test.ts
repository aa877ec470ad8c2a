import { test } from 'tap'
import { TimerWheel } from '../../../../../src/core/timer-wheel.ts'
import {
  FAREWELL_PING,
  Farewell,
  type FarewellOptions,
} from '../../../../../src/proxy/forward/http2/farewell.ts'
import { KEEP_ALIVE_PING } from '../../../../../src/proxy/wire/keep-alive.ts'
import { FakeClock } from '../../../../support/fake-clock.ts'

const NEVER = { timeout: 300, age: 0, streams: 0 }

/** A session that writes down what it is told. */
class Connection {
  readonly log: string[] = []
  readonly clock = new FakeClock(0)
  readonly wheel = new TimerWheel(0)
  readonly farewell: Farewell
  readonly random: () => number

  constructor(options: Omit<FarewellOptions, 'moved'>, random = 0.5) {
    this.random = () => random
    this.farewell = new Farewell(this, this, { ...options, moved: () => this.log.push('moved') })
  }

  announceEnd(): void {
    this.log.push('announced')
  }

  ping(octets: Buffer): void {
    this.log.push(`ping ${octets.toString()}`)
  }

  endAfterStreams(): void {
    this.log.push('said')
  }

  run(ms: number): void {
    for (; this.clock.ms < ms; this.clock.ms += 50) this.wheel.advance(this.clock.ms)
    this.wheel.advance(this.clock.ms)
  }
}

await test('the last stream is said a round trip after the announcement, and once', t => {
  const { farewell, log } = new Connection(NEVER)
  farewell.begin()
  farewell.begin()
  t.same(log, ['announced', 'ping amt-last'])
  farewell.ponged(KEEP_ALIVE_PING)
  t.notOk(farewell.said, 'another PING was answered')
  farewell.ponged(FAREWELL_PING)
  farewell.ponged(FAREWELL_PING)
  t.same(log, ['announced', 'ping amt-last', 'said', 'moved'])
  t.ok(farewell.said)
  t.end()
})

await test('without an answer it is said when the time is up', t => {
  const connection = new Connection(NEVER)
  connection.farewell.begin()
  connection.run(250)
  t.notOk(connection.farewell.said)
  connection.run(400)
  t.same(connection.log, ['announced', 'ping amt-last', 'said', 'moved'])
  connection.run(5_000)
  t.equal(connection.log.length, 4)
  t.end()
})

await test('an old connection begins by itself, and two that were opened together apart', t => {
  for (const [random, from, to] of [
    [0, 8_950, 9_100],
    [0.999, 10_950, 11_100],
  ] as const) {
    const connection = new Connection({ ...NEVER, age: 10_000 }, random)
    connection.run(from)
    t.same(connection.log, [])
    connection.run(to)
    t.same(connection.log, ['announced', 'ping amt-last', 'moved'])
  }
  t.end()
})

await test('so does one that has carried enough calls', t => {
  const { farewell, log } = new Connection({ ...NEVER, streams: 100 })
  farewell.began(99)
  t.same(log, [])
  farewell.began(100)
  farewell.began(101)
  t.same(log, ['announced', 'ping amt-last'])
  t.end()
})

await test('without age and number it never does, nor when it is closed', t => {
  const connection = new Connection(NEVER)
  connection.farewell.began(1_000_000)
  connection.run(10_000_000)
  const closed = new Connection({ ...NEVER, age: 10_000 })
  closed.farewell.close()
  closed.run(20_000)
  t.same([...connection.log, ...closed.log], [])
  t.end()
})

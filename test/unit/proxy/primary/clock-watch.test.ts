/** The clock of the machine jumps: a log line and a metric, by direction; a clock that goes on is no jump. */
import { test } from 'tap'
import type { Clock } from '../../../../src/core/clock.ts'
import { ClockWatch } from '../../../../src/proxy/primary/clock-watch.ts'
import { LogLines } from '../../../support/log-lines.ts'

class JumpingClock implements Clock {
  ms = 1_000_000
  jumped = 0

  now(): number {
    return this.ms + this.jumped
  }

  monotonic(): number {
    return this.ms
  }
}

await test('clock jumps, forward and backward, are told and counted', t => {
  const clock = new JumpingClock()
  const log = new LogLines()
  const watch = new ClockWatch({ clock, logger: log.logger })
  const counts = (): unknown =>
    watch
      .readers()[0]
      ?.read()
      .map(({ labels, value }) => [labels.direction, value])
  t.same(counts(), [
    ['forward', 0],
    ['backward', 0],
  ])
  clock.ms += 3_600_000
  clock.jumped += 900
  watch.look()
  t.same(log.lines, [], 'an hour has gone by, and the clock was steered a little')
  clock.jumped += 86_400_000
  watch.look()
  clock.ms += 1_000
  watch.look()
  clock.jumped -= 3_600_000
  watch.look()
  t.same(
    log.lines.map(({ level, jumpMs }) => [level, jumpMs]),
    [
      ['error', 86_400_000],
      ['error', -3_600_000],
    ],
  )
  t.same(counts(), [
    ['forward', 1],
    ['backward', 1],
  ])
  t.end()
})

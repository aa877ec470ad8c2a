import fc from 'fast-check'
import { test } from 'tap'
import { Timer, type TimerOwner, TimerWheel } from '../../../src/core/timer-wheel.ts'

const TICK_MS = 50
/** What a timeout may be late, given that the wheel is advanced in time. */
const LATE_MS = 2 * TICK_MS

/** A wheel and its clock. */
class Bench {
  now: number
  readonly wheel: TimerWheel
  readonly fired: string[] = []
  readonly firedAt = new Map<string, number>()

  constructor(now: number) {
    this.now = now
    this.wheel = new TimerWheel(now)
  }

  timer(name: string, then: (timer: Timer) => void = () => {}): Timer {
    const owner: TimerOwner = {
      timerExpired: timer => {
        this.fired.push(name)
        this.firedAt.set(name, this.now)
        then(timer)
      },
    }
    return new Timer(owner)
  }

  arm(timer: Timer, delayMs: number): void {
    this.wheel.arm(timer, delayMs, this.now)
  }

  /** Lets time pass, looking at the wheel once a tick. */
  pass(ms: number): void {
    const end = this.now + ms
    while (this.now < end) {
      this.now = Math.min(end, this.now + TICK_MS)
      this.wheel.advance(this.now)
    }
  }

  /** Lets time pass at once. */
  stall(ms: number): void {
    this.now += ms
    this.wheel.advance(this.now)
  }
}

await test('a timeout is never early, and late by two ticks at most', async t => {
  const delays = [0, 1, 49, 50, 51, 100, 10_000, 25_549, 25_550, 25_600, 25_601, 60_000, 300_000]
  for (const start of [0, 12_345.678, 1e9 + 1]) {
    const bench = new Bench(start)
    for (const delay of delays) bench.arm(bench.timer(String(delay)), delay)
    bench.pass(301_000)
    for (const delay of delays) {
      const late = (bench.firedAt.get(String(delay)) ?? Number.NaN) - start - delay
      t.ok(late >= 0 && late <= LATE_MS, `${delay} ms from ${start}: ${late} ms late`)
    }
    t.equal(bench.fired.length, delays.length, 'each once')
  }
})

await test('the last arming counts', async t => {
  const bench = new Bench(0)
  const later = bench.timer('later')
  bench.arm(later, 100)
  bench.pass(50)
  bench.arm(later, 1_000)
  const sooner = bench.timer('sooner')
  bench.arm(sooner, 10_000)
  bench.arm(sooner, 200)
  bench.pass(250)
  t.same(bench.fired, ['sooner'])
  t.notOk(sooner.armed)
  t.ok(later.armed)
  bench.pass(1_000)
  t.same(bench.fired, ['sooner', 'later'])
  bench.pass(20_000)
  t.equal(bench.fired.length, 2, 'and only that')
})

await test('a cancelled timeout does not fire, and can be armed again', async t => {
  const bench = new Bench(0)
  const timer = bench.timer('a')
  bench.wheel.cancel(timer)
  bench.arm(timer, 100)
  bench.wheel.cancel(timer)
  bench.wheel.cancel(timer)
  bench.pass(1_000)
  t.same(bench.fired, [])
  bench.arm(timer, 100)
  bench.pass(200)
  t.same(bench.fired, ['a'])
})

await test('an owner may arm its timeout again when it expires', async t => {
  const bench = new Bench(0)
  const timer = bench.timer('a', own => bench.arm(own, bench.fired.length < 3 ? 500 : 0))
  bench.arm(timer, 500)
  bench.pass(950)
  t.equal(bench.fired.length, 1)
  bench.pass(700)
  t.ok(bench.fired.length >= 3)
  t.ok(bench.fired.length < 10, 'without a delay: once a tick, not for ever')
})

await test('an owner may arm and cancel others that expire in the same tick', async t => {
  const bench = new Bench(0)
  const others: Timer[] = []
  const act = (): void => {
    const [again, cancelled, sooner] = others as [Timer, Timer, Timer]
    bench.arm(again, 1_000)
    bench.wheel.cancel(cancelled)
    bench.arm(sooner, 60)
  }
  const first = bench.timer('first', act)
  others.push(bench.timer('again'), bench.timer('cancelled'), bench.timer('sooner'))
  const last = bench.timer('last')
  const resident = bench.timer('resident')
  // Whichever way a slot is ordered, the one that acts has others before and behind it.
  for (const timer of [last, ...others, first, bench.timer('also')]) bench.arm(timer, 100)
  bench.arm(resident, 1_050)
  bench.pass(150)
  t.same(new Set(bench.fired), new Set(['first', 'last', 'also']))
  bench.pass(100)
  t.equal(bench.fired.at(-1), 'sooner')
  bench.pass(2_000)
  t.same(bench.fired.slice(4).toSorted(), ['again', 'resident'], 'no other is lost')
})

await test('after a long stall all that is due fires at once, and the rest in time', async t => {
  const bench = new Bench(0)
  const delays = [100, 10_000, 25_000, 40_000, 100_000, 100_040, 130_000]
  for (const delay of delays) bench.arm(bench.timer(String(delay)), delay)
  bench.stall(100_020)
  t.same(bench.fired.toSorted(), ['100', '10000', '100000', '25000', '40000'])
  bench.pass(200)
  t.equal(bench.fired.at(-1), '100040')
  bench.pass(30_000)
  t.equal(bench.fired.at(-1), '130000')
  t.ok((bench.firedAt.get('130000') ?? 0) <= 130_000 + LATE_MS)
})

await test('a clock that stands still or goes back changes nothing', async t => {
  const bench = new Bench(10_000)
  bench.arm(bench.timer('a'), 100)
  for (let time = 0; time < 5; time++) bench.stall(0)
  bench.stall(-5_000)
  t.same(bench.fired, [])
  bench.stall(5_200)
  t.same(bench.fired, ['a'])
})

/** A step of the property below: what is done with one of the timers, or how much time passes. */
const steps = fc.array(
  fc.oneof(
    // Few different delays, so that many timers meet in one slot.
    fc.record({ kind: fc.constant('arm'), timer: fc.nat(7), ms: fc.constantFrom(100, 200, 300) }),
    fc.record({ kind: fc.constant('arm'), timer: fc.nat(7), ms: fc.nat(2_000) }),
    fc.record({ kind: fc.constant('arm'), timer: fc.nat(7), ms: fc.nat(70_000) }),
    fc.record({ kind: fc.constant('cancel'), timer: fc.nat(7), ms: fc.constant(0) }),
    fc.record({ kind: fc.constant('pass'), timer: fc.constant(0), ms: fc.nat(500) }),
    fc.record({ kind: fc.constant('pass'), timer: fc.constant(0), ms: fc.nat(60_000) }),
  ),
  { maxLength: 60 },
)
/** What an owner does when it expires: arms, or cancels where the delay is 0, another timer, as often as this says. */
const habits = fc.array(
  fc.record({ timer: fc.nat(7), ms: fc.constantFrom(0, 60, 100, 400), times: fc.nat(3) }),
  {
    minLength: 8,
    maxLength: 8,
  },
)

await test('does what a plain list of deadlines does', async t => {
  fc.assert(
    fc.property(steps, habits, fc.nat(100_000), (todo, habit, start) => {
      const bench = new Bench(start)
      const deadlines = new Map<number, number>()
      const timers: Timer[] = []
      const left = habit.map(({ times }) => times)
      const arm = (index: number, ms: number): void => {
        bench.arm(timers[index] as Timer, ms)
        deadlines.set(index, bench.now + ms)
      }
      const cancel = (index: number): void => {
        bench.wheel.cancel(timers[index] as Timer)
        deadlines.delete(index)
      }
      for (let index = 0; index < 8; index++) {
        timers.push(
          bench.timer(String(index), () => {
            const deadline = deadlines.get(index)
            if (deadline === undefined) throw new Error(`${index} fired, and was not armed`)
            if (deadline > bench.now) throw new Error(`${index} is early`)
            deadlines.delete(index)
            if ((left[index] as number) === 0) return
            left[index] = (left[index] as number) - 1
            const { timer, ms } = habit[index] as { timer: number; ms: number }
            if (ms === 0) cancel(timer)
            else arm(timer, ms)
          }),
        )
      }
      for (const { kind, timer, ms } of todo) {
        if (kind === 'arm') arm(timer, ms)
        else if (kind === 'cancel') cancel(timer)
        else bench.stall(ms)
        // Whatever is overdue by more than two ticks should have fired when the wheel was last looked at.
        if (kind !== 'pass') continue
        for (const [index, deadline] of deadlines) {
          if (deadline + LATE_MS < bench.now) throw new Error(`${index} is late`)
        }
      }
      bench.pass(140_000)
      if (deadlines.size > 0) throw new Error(`${deadlines.size} never fired`)
    }),
    { numRuns: 300 },
  )
  t.pass()
})

await test('a suspended timer stays silent until it is armed again, earlier or later', async t => {
  const bench = new Bench(0)
  const timer = bench.timer('suspended')
  bench.arm(timer, 1_000)
  bench.wheel.suspend(timer)
  bench.pass(5_000)
  t.same(bench.fired, [])
  bench.arm(timer, 1_000)
  bench.wheel.suspend(timer)
  bench.arm(timer, 200)
  bench.pass(400)
  t.same(bench.fired, ['suspended'])
  bench.arm(timer, 200)
  bench.wheel.suspend(timer)
  bench.arm(timer, 1_000)
  bench.pass(800)
  t.same(bench.fired, ['suspended'])
  bench.pass(400)
  t.same(bench.fired, ['suspended', 'suspended'])
})

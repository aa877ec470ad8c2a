/** What is asked when, and what is told to whom; time and answers are the test's. */
import { test } from 'tap'
import { TimerWheel } from '../../../../src/core/timer-wheel.ts'
import type { NameAnswer } from '../../../../src/runtime/names/dns-lookup.ts'
import { NameResolver } from '../../../../src/runtime/names/name-resolver.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const found = (addresses: string[], ttlMs = 10_000, fromSystem = false): NameAnswer => ({
  kind: 'found',
  addresses,
  ttlMs,
  fromSystem,
})
const DOWN: NameAnswer = { kind: 'down' }
const UNKNOWN: NameAnswer = { kind: 'unknown' }

/** The next answers come in the order in which they are put. */
class World {
  readonly clock = new FakeClock()
  readonly wheel = new TimerWheel(this.clock.monotonic())
  /** `name`, with `+` where the system may be asked too. */
  readonly asked: string[] = []
  readonly answers: NameAnswer[] = []
  readonly tooMany: number[] = []
  /** What the listener of `watch` was told. */
  readonly told: (readonly string[])[] = []
  readonly resolver = new NameResolver({
    lookup: {
      find: async (name, askSystem) => {
        this.asked.push(askSystem ? `${name}+` : name)
        return this.answers.shift() ?? DOWN
      },
      close: () => {},
    },
    clock: this.clock,
    wheel: this.wheel,
    // In the middle of all jitter.
    random: () => 0.5,
    tooMany: (_owner, _name, count) => this.tooMany.push(count),
  })

  watch(name = 'web.test'): ReturnType<NameResolver['watch']> {
    return this.resolver.watch(name, addresses => this.told.push(addresses))
  }

  /** Lets so much time pass, and the answers to what was asked meanwhile arrive. */
  async pass(ms: number): Promise<void> {
    this.clock.ms += ms
    this.wheel.advance(this.clock.ms)
    await new Promise(resolve => setImmediate(resolve))
  }
}

await test('a name is asked for when somebody watches, again when its TTL is over, and not before', async t => {
  const world = new World()
  world.answers.push(found(['10.0.0.1'], 5_000), found(['10.0.0.2'], 5_000))
  const watch = world.watch()
  t.equal(watch.addresses, undefined, 'not known yet')
  await world.pass(0)
  t.same(watch.addresses, ['10.0.0.1'])
  await world.pass(4_900)
  t.equal(world.asked.length, 1)
  await world.pass(200)
  t.equal(world.asked.length, 2)
  t.same(world.told, [['10.0.0.1'], ['10.0.0.2']])
})

await test('the same addresses in another order are no news', async t => {
  const world = new World()
  world.answers.push(found(['10.0.0.2', '10.0.0.1']), found(['10.0.0.1', '10.0.0.2', '10.0.0.1']))
  world.watch()
  await world.pass(0)
  await world.pass(10_100)
  t.same(world.told, [['10.0.0.1', '10.0.0.2']])
})

await test('a name is asked for once, however many watch it and however they spell it', async t => {
  const world = new World()
  world.answers.push(found(['10.0.0.1']))
  world.watch('web.test')
  world.watch('WEB.test')
  await world.pass(0)
  t.same(world.asked, ['web.test+'])
  t.same(world.told, [['10.0.0.1'], ['10.0.0.1']])
  t.same(world.watch('web.test').addresses, ['10.0.0.1'], 'who comes later need not wait')
  t.equal(world.asked.length, 1)
})

await test('nobody watches, nobody asks', async t => {
  const world = new World()
  world.answers.push(found(['10.0.0.1'], 1_000))
  const [one, two] = [world.watch(), world.watch()]
  await world.pass(0)
  one.close()
  one.close()
  t.equal(world.resolver.size, 1)
  two.close()
  t.equal(world.resolver.size, 0)
  await world.pass(5_000)
  t.equal(world.asked.length, 1)
})

await test('an answer that comes after the last one has left tells nobody', async t => {
  const world = new World()
  world.answers.push(found(['10.0.0.1'], 1_000))
  world.watch().close()
  await world.pass(0)
  t.same(world.told, [])
  await world.pass(5_000)
  t.equal(world.asked.length, 1)
})

await test('while DNS is down the last answer stays, and the questions become rarer', async t => {
  const world = new World()
  world.answers.push(found(['10.0.0.1'], 1_000))
  const watch = world.watch()
  await world.pass(0)
  const pauses: number[] = []
  for (let ms = 0; ms < 60_000; ms += 50) {
    const before = world.asked.length
    await world.pass(50)
    if (world.asked.length > before) pauses.push(ms)
  }
  t.same(watch.addresses, ['10.0.0.1'])
  t.equal(world.told.length, 1)
  const gaps = pauses.slice(1).map((at, index) => Math.round((at - (pauses[index] ?? 0)) / 500) / 2)
  t.same(gaps.slice(0, 6), [1, 2, 4, 8, 10, 10], 'seconds')
  t.ok(
    world.asked.slice(1).every(name => name === 'web.test'),
    'the system is not asked',
  )
  world.answers.push(found(['10.0.0.9']))
  await world.pass(11_000)
  t.same(watch.addresses, ['10.0.0.9'])
})

await test('an answer that nobody has confirmed for an hour is no answer', async t => {
  const world = new World()
  world.answers.push(found(['10.0.0.1'], 1_000))
  const watch = world.watch()
  await world.pass(0)
  for (let minute = 0; minute < 59; minute++) await world.pass(60_000)
  t.same(watch.addresses, ['10.0.0.1'])
  for (let minute = 0; minute < 2; minute++) await world.pass(60_000)
  t.same(watch.addresses, [])
})

await test('a name that has ceased to exist leads nowhere at once: its address may be somebody else’s', async t => {
  const world = new World()
  world.answers.push(found(['10.0.0.1'], 1_000), UNKNOWN, found(['10.0.0.2']))
  const watch = world.watch()
  await world.pass(0)
  await world.pass(1_100)
  t.same(watch.addresses, [])
  await world.pass(1_100)
  t.same(world.told, [['10.0.0.1'], [], ['10.0.0.2']])
})

await test('a first answer that is none is told too', async t => {
  const world = new World()
  world.answers.push(DOWN, DOWN, found(['10.0.0.1']))
  world.watch()
  await world.pass(0)
  t.same(world.told, [[]])
  await world.pass(1_100)
  t.same(world.told, [[]], 'once')
  await world.pass(2_100)
  t.same(world.told, [[], ['10.0.0.1']])
  t.same(world.asked, ['web.test+', 'web.test+', 'web.test+'], 'the system may know more')
})

await test('a name that the system knew is asked for there again', async t => {
  const world = new World()
  world.answers.push(found(['127.0.0.1'], 30_000, true), found(['127.0.0.1'], 30_000, true))
  world.watch()
  await world.pass(0)
  await world.pass(30_100)
  t.same(world.asked, ['web.test+', 'web.test+'])
})

await test('of very many addresses the same 64 are used each time', async t => {
  const world = new World()
  const many = Array.from({ length: 100 }, (_, index) => `10.0.0.${index}`)
  world.answers.push(found(many), found(many.toReversed()))
  const watch = world.watch()
  await world.pass(0)
  t.equal(watch.addresses?.length, 64)
  t.same(world.tooMany, [100])
  await world.pass(10_100)
  t.equal(world.told.length, 1)
  t.same(world.tooMany, [100], 'which is said once')
})

await test('after close nothing is asked', async t => {
  const world = new World()
  world.answers.push(found(['10.0.0.1'], 1_000))
  world.watch()
  await world.pass(0)
  world.resolver.close()
  await world.pass(5_000)
  t.equal(world.asked.length, 1)
})

import { test } from 'tap'
import { overload as overloadSchema } from '../../../../src/config/overload-schema.ts'
import type { LoadFigures } from '../../../../src/proxy/overload/load-monitor.ts'
import { Overload } from '../../../../src/proxy/overload/overload.ts'
import type { TenantRuntime } from '../../../../src/proxy/worker/tenant-runtimes.ts'

const CALM: LoadFigures = {
  lagMs: 0,
  cpu: 0,
  memory: 0,
  descriptors: 0,
  accept_queue: 0,
  queued: 0,
}
const CALL = { admitted: () => {}, shed: () => {} }

function runtimeOf(id: string, activeCalls: number, weight = 1, buffered = 0): TenantRuntime {
  const limiter = { activeCalls, buffered }
  return { tenant: { id }, limiter, weight, share: undefined } as TenantRuntime
}

function setUp(...runtimes: TenantRuntime[]) {
  const state = { now: 0, shrunk: [] as boolean[], collected: [] as number[] }
  const overload = new Overload({
    config: overloadSchema.parse({}),
    now: () => state.now,
    nextTurn: () => {},
    runtimes: () => runtimes,
    shrink: on => state.shrunk.push(on),
    collect: () => state.collected.push(state.now),
  })
  const be = (figures: Partial<LoadFigures>): void => {
    state.now += 50
    overload.observe({ ...CALM, ...figures })
  }
  return { overload, state, be }
}

await test('new calls of the heaviest tenants are refused, those of tenants within their share are not', t => {
  const heavy = runtimeOf('heavy', 90)
  const large = runtimeOf('large', 60, 10)
  const quiet = runtimeOf('quiet', 3)
  const { overload, be } = setUp(heavy, large, quiet)
  be({ memory: 0.89 })
  t.equal(overload.enter(CALL, heavy), 'admitted')
  be({ memory: 0.91 })
  t.equal(overload.enter(CALL, heavy), 'shed')
  t.equal(overload.enter(CALL, large), 'admitted', 'it has little for its weight')
  t.equal(overload.enter(CALL, quiet), 'admitted')
  t.same(overload.take().shed, [{ tenant: 'heavy', reason: 'heaviest', count: 1 }])
  t.same(overload.take().shed, [])
  t.end()
})

await test('a tenant alone is refused as well, as it is what takes the memory; one call is never many', t => {
  const alone = runtimeOf('alone', 2)
  const { overload, be } = setUp(alone)
  be({ memory: 0.91 })
  t.equal(overload.enter(CALL, alone), 'shed')
  t.equal(overload.enter(CALL, runtimeOf('other', 0)), 'admitted')
  t.end()
})

await test('a tenant with few calls for which very much waits is among the heaviest', t => {
  const bulk = runtimeOf('bulk', 0, 1, 50_000_000)
  const large = runtimeOf('large', 0, 100, 60_000_000)
  const small = runtimeOf('small', 0, 1, 900_000)
  const { overload, be } = setUp(bulk, large, small)
  be({ memory: 0.91 })
  t.equal(overload.enter(CALL, bulk), 'shed')
  t.equal(overload.enter(CALL, large), 'admitted', 'it has little for its weight')
  t.equal(overload.enter(CALL, small), 'admitted')
  t.end()
})

await test('connections of the heaviest tenants end with their call, others are kept', t => {
  const heavy = runtimeOf('heavy', 90)
  const quiet = runtimeOf('quiet', 3)
  const { overload, be } = setUp(heavy, quiet)
  be({ memory: 0.84 })
  t.notOk(overload.endsConnectionOf(heavy))
  be({ memory: 0.86 })
  t.ok(overload.endsConnectionOf(heavy))
  t.notOk(overload.endsConnectionOf(quiet))
  t.notOk(overload.endsConnectionOf(undefined))
  t.end()
})

await test('buffers are shrunk once, and may grow again once', t => {
  const { overload, state, be } = setUp()
  for (let tick = 0; tick < 10; tick += 1) be({ memory: 0.81 })
  t.same(state.shrunk, [true])
  t.equal(overload.level, 2)
  for (let tick = 0; tick < 40; tick += 1) be({})
  t.same(state.shrunk, [true, false])
  t.equal(overload.level, 0)
  t.end()
})

await test('garbage is collected where memory is short, and now and then while it stays so', t => {
  const { state, be } = setUp()
  be({ memory: 0.7 })
  for (let tick = 0; tick < 201; tick += 1) be({ memory: 0.97 })
  t.same(state.collected, [100, 5_100, 10_100])
  t.end()
})

await test('what a worker says of itself: the steps, how often it came to them, and what it is short of', t => {
  const { overload, be } = setUp()
  be({ memory: 0.96, descriptors: 0.5, accept_queue: 0.1, cpu: 0.5, lagMs: 10 })
  t.ok(overload.refusesConnections)
  const { steps, memory, descriptors, accept_queue, cpu, lagMs } = overload.take().overload
  t.same(
    steps.map(({ step, on, begun }) => `${step} ${on} ${begun}`),
    [
      'fair true 1',
      'shrink_buffers true 1',
      'stop_keep_alive true 1',
      'refuse_calls true 1',
      'refuse_connections true 1',
    ],
  )
  t.same([memory, descriptors, accept_queue], [0.96, 0.5, 0.1])
  t.ok(cpu > 0 && lagMs > 0)
  t.end()
})

import { test } from 'tap'
import type {
  ConfigChange,
  ConfigChangeResult,
  TenantDifference,
} from '../../../../src/config/config-store.ts'
import { type Config, configSchema } from '../../../../src/config/schema.ts'
import { Touched } from '../../../../src/config/touched.ts'
import { type Enforced, Reloader } from '../../../../src/proxy/primary/reloader.ts'
import { LogLines } from '../../../support/log-lines.ts'

function configWith(changes: Record<string, unknown>): Config {
  return configSchema.parse({
    listeners: [{ name: 'a', mode: 'shared', address: '127.0.0.1:1' }],
    mixer: { token: 'x'.repeat(16) },
    ...changes,
  })
}

const base = configWith({})

const NOTHING: TenantDifference = { changed: [], removed: [] }

function changeTo(config: Config, tenants = NOTHING): ConfigChange {
  const source = { file: 'amt.yaml', directory: '/', locate: () => ({ line: 3, column: 1 }) }
  return { former: base, config, tenants, source, warnings: [], undo: () => NOTHING }
}

function setUp(load: (touched?: Touched) => ConfigChangeResult) {
  const applied: number[] = []
  const log = new LogLines()
  const gate = Promise.withResolvers<void>()
  const reloader = new Reloader({
    store: { size: 0, reload: load },
    apply: async ({ generation }) => {
      applied.push(generation)
      await gate.promise
      return []
    },
    resize: async () => Promise.resolve([]),
    settle: () => [],
    logger: log.logger,
    onRefused: () => {},
    onChange: () => {},
  })
  return { reloader, applied, log, open: gate.resolve }
}

await test('reloads that wait for the same turn are one, and none overtakes another', async t => {
  const looked: (string | undefined)[] = []
  const { reloader, applied, open } = setUp(touched => {
    looked.push(touched && JSON.stringify([touched.scopeOf('/a'), touched.scopeOf('/b')]))
    return changeTo(configWith({}))
  })
  const first = reloader.reload('admin')
  await new Promise(resolve => setImmediate(resolve))
  const [a, b] = [new Touched(), new Touched()]
  a.add('/a', 'all')
  b.add('/b', 'all')
  const second = reloader.reload('admin', a)
  const third = reloader.reload('signal', b)
  await new Promise(resolve => setImmediate(resolve))
  t.same(applied, [2], 'the second waits for the first')
  open()
  t.match(await first, { ok: true, generation: 2 })
  t.equal(await second, await third)
  t.same(applied, [2, 3])
  t.same(looked, [undefined, '["all","all"]'], 'what each of them saw is looked at')
})

await test('a watched change that changes nothing is quiet, a wanted reload is a new generation', async t => {
  const { reloader, open } = setUp(() => changeTo(configWith({})))
  open()
  t.same(await reloader.reload('watch'), { ok: true, generation: 1, changed: false })
  t.same(await reloader.reload('signal'), { ok: true, generation: 2, changed: false })
})

await test('what somebody asks for is no watched change, also where it joins one that waits', async t => {
  const { reloader, log, open } = setUp(() => changeTo(configWith({})))
  const first = reloader.reload('admin')
  await new Promise(resolve => setImmediate(resolve))
  const watched = reloader.reload('watch', new Touched())
  const asked = reloader.reload('signal')
  open()
  await first
  t.equal(await asked, await watched)
  t.match(
    log.all('configuration reloaded').map(({ cause }) => cause),
    ['admin', 'signal'],
  )
})

await test('a change that a worker refuses is taken back with the opposite change', async t => {
  const applied: Enforced[] = []
  const opposite: TenantDifference = { changed: ['former'], removed: ['new'] }
  const log = new LogLines()
  const reloader = new Reloader({
    store: {
      size: 0,
      reload: () => ({
        ...changeTo(base, { changed: ['next'], removed: [] }),
        undo: () => opposite,
      }),
    },
    apply: async change => {
      applied.push(change)
      return change.generation === 2 ? ['it cannot be bound'] : []
    },
    resize: async () => Promise.resolve([]),
    settle: () => [],
    logger: log.logger,
    onRefused: () => {},
    onChange: () => {},
  })
  t.match(await reloader.reload('watch'), { ok: false, problems: ['it cannot be bound'] })
  t.same(applied, [
    { tenants: { changed: ['next'], removed: [] }, generation: 2, listeners: false },
    { tenants: opposite, generation: 3, listeners: false },
  ])
})

await test('workers that cannot be started take the whole change back', async t => {
  const applied: Enforced[] = []
  const opposite: TenantDifference = { changed: ['former'], removed: ['new'] }
  const next = configWith({ workers: 7 })
  const wanted: Config['workers'][] = []
  const difference: TenantDifference = { changed: ['next'], removed: [] }
  const reloader = new Reloader({
    store: {
      size: 0,
      reload: () => ({ ...changeTo(next, difference), undo: () => opposite }),
    },
    apply: async change => {
      applied.push(change)
      return Promise.resolve([])
    },
    resize: async ({ workers }) => {
      wanted.push(workers)
      return Promise.resolve(['worker 2 was not ready within 60 s'])
    },
    settle: () => [],
    logger: new LogLines().logger,
    onRefused: () => {},
    onChange: () => {},
  })
  t.match(await reloader.reload('admin'), {
    ok: false,
    problems: ['worker 2 was not ready within 60 s'],
  })
  t.same(wanted, [7])
  t.same(applied, [
    { tenants: difference, generation: 2, listeners: false },
    { tenants: opposite, generation: 3, listeners: false },
  ])
})

await test('what needs a restart is put back before any worker hears of it', async t => {
  let undone = 0
  const next = configWith({ timeouts: { idle: '7s' } })
  const { reloader, applied } = setUp(() => ({
    ...changeTo(next),
    undo: () => {
      undone += 1
      return NOTHING
    },
  }))
  t.match(await reloader.reload('admin'), {
    ok: false,
    generation: 1,
    problems: [/^amt\.yaml:3:1: timeouts\.idle: /],
  })
  t.same([undone, applied], [1, []])
})

await test('a loader that throws is a refused reload', async t => {
  const { reloader } = setUp(() => {
    throw new Error('out of memory')
  })
  t.match(await reloader.reload('admin'), { ok: false, generation: 1, problems: [/out of memory/] })
})

/** A reloader for other listeners, with all that it does in its order. */
function listenersReloader(problemsOf: (generation: number) => string[]) {
  const done: string[] = []
  const log = new LogLines()
  const listeners = [{ name: 'b', mode: 'shared', address: '127.0.0.1:2' }]
  const reloader = new Reloader({
    store: {
      size: 0,
      reload: () => ({
        ...changeTo(configWith({ listeners })),
        undo: () => {
          done.push('undo')
          return NOTHING
        },
      }),
    },
    apply: async ({ generation, listeners }) => {
      done.push(`apply ${generation}${listeners ? ' with listeners' : ''}`)
      return problemsOf(generation)
    },
    settle: () => {
      done.push('settle')
      return [{ listener: 'b', address: '127.0.0.1:2' }]
    },
    resize: async () => [],
    logger: log.logger,
    files: {
      check: () => [],
      settle: () => done.push('settle files'),
      discard: () => done.push('discard files'),
    },
    onRefused: () => {},
    onChange: () => {},
  })
  return { reloader, done, log }
}

await test('listeners that are others end when all workers have the new ones', async t => {
  const { reloader, done, log } = listenersReloader(() => [])
  t.match(await reloader.reload('admin'), { ok: true, changed: true })
  t.same(done, ['apply 2 with listeners', 'settle files', 'settle'])
  t.match(log.all('configuration reloaded'), [{ bound: [{ listener: 'b' }] }])
})

await test('listeners that cannot be are taken back, with their files, before anything has ended', async t => {
  const { reloader, done } = listenersReloader(generation => (generation === 2 ? ['in use'] : []))
  t.match(await reloader.reload('admin'), { ok: false, problems: ['in use'] })
  t.same(done, [
    'apply 2 with listeners',
    'discard files',
    'undo',
    'apply 3 with listeners',
    'settle',
  ])
})

await test('what is of the mixer is no reason to refuse, and is said', async t => {
  const { reloader, log, open } = setUp(() =>
    changeTo(configWith({ ledger: 'sqlite:/elsewhere.db', exports: [] })),
  )
  open()
  t.match(await reloader.reload('signal'), { ok: true })
  t.match(log.all('changed keys are of the mixer: restart it'), [{ keys: ['ledger'] }])
})

import { test } from 'tap'
import type {
  ConfigChange,
  ConfigChangeResult,
  TenantDifference,
} from '../../../../src/config/config-store.ts'
import { type Config, configSchema } from '../../../../src/config/schema.ts'
import { Touched } from '../../../../src/config/touched.ts'
import { changedKeys, Reloader } from '../../../../src/proxy/primary/reloader.ts'
import { LogLines } from '../../../support/log-lines.ts'
import { tenantEntry } from '../../../support/start-primary.ts'

function configWith(changes: Record<string, unknown>): Config {
  return configSchema.parse({
    listeners: [{ name: 'a', mode: 'shared', address: '127.0.0.1:1' }],
    mixer: { token: 'x'.repeat(16) },
    ...changes,
  })
}

const base = configWith({})

await test('changed keys are named as deep as they are', async t => {
  const listener = { name: 'a', mode: 'shared', address: '127.0.0.1:1' }
  const cases: Record<string, [Record<string, unknown>, string[]]> = {
    nothing: [{}, []],
    'tenants and limits': [{ tenants: [tenantEntry('x')], limits: { body: '1KiB' } }, []],
    'a value in a list': [
      { listeners: [{ ...listener, address: '127.0.0.1:2' }] },
      ['listeners[0].address'],
    ],
    'a longer list': [
      { listeners: [listener, { ...listener, name: 'b', address: '127.0.0.1:2' }] },
      ['listeners'],
    ],
    'a key that was not there': [
      { listeners: [{ ...listener, tls: { certificates: [{ cert: 'c', key: 'k' }] } }] },
      ['listeners[0].tls'],
    ],
    'several values': [
      { timeouts: { idle: '1s', drain: '1s' }, service: { name: 'another' } },
      ['service.name', 'timeouts.idle', 'timeouts.drain'],
    ],
  }
  for (const [name, [changes, wanted]] of Object.entries(cases)) {
    t.same(changedKeys(base, configWith(changes)).toSorted(), wanted.toSorted(), name)
  }
})

await test('of TLS everything may change, but not whether there is any', t => {
  const secure = (tls: Record<string, unknown>): Config =>
    configWith({ listeners: [{ name: 'a', mode: 'shared', address: '127.0.0.1:1', tls }] })
  const [one, two] = [
    { cert: 'c', key: 'k' },
    { cert: 'd', key: 'l' },
  ]
  const base = secure({ certificates: [one] })
  const required = { clientCertificate: 'required', clientCa: 'ca', crl: ['x'] }
  for (const changes of [
    { certificates: [one, two] },
    required,
    { tickets: 'off' },
    { maxHandshakes: 1 },
  ])
    t.same(changedKeys(base, secure({ certificates: [two], ...changes })), [])
  const plain = configWith({ listeners: [{ name: 'a', mode: 'shared', address: '127.0.0.1:1' }] })
  t.same(changedKeys(base, plain), ['listeners[0].tls'])
  t.end()
})

const NOTHING: TenantDifference = { changed: [], removed: [] }

function changeTo(config: Config, tenants = NOTHING): ConfigChange {
  return { former: base, config, tenants, warnings: [], undo: () => NOTHING }
}

function setUp(load: (touched?: Touched) => ConfigChangeResult) {
  const applied: number[] = []
  const log = new LogLines()
  const gate = Promise.withResolvers<void>()
  const reloader = new Reloader({
    store: { size: 0, reload: load },
    apply: async (_, generation) => {
      applied.push(generation)
      await gate.promise
      return []
    },
    resize: async () => Promise.resolve([]),
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
  const applied: [TenantDifference, number][] = []
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
    apply: async (difference, generation) => {
      applied.push([difference, generation])
      return generation === 2 ? ['it cannot be bound'] : []
    },
    resize: async () => Promise.resolve([]),
    logger: log.logger,
    onRefused: () => {},
    onChange: () => {},
  })
  t.match(await reloader.reload('watch'), { ok: false, problems: ['it cannot be bound'] })
  t.same(applied, [
    [{ changed: ['next'], removed: [] }, 2],
    [opposite, 3],
  ])
})

await test('workers that cannot be started take the whole change back', async t => {
  const applied: [TenantDifference, number][] = []
  const opposite: TenantDifference = { changed: ['former'], removed: ['new'] }
  const next = configWith({ workers: 7 })
  const wanted: Config['workers'][] = []
  const difference: TenantDifference = { changed: ['next'], removed: [] }
  const reloader = new Reloader({
    store: {
      size: 0,
      reload: () => ({ ...changeTo(next, difference), undo: () => opposite }),
    },
    apply: async (change, generation) => {
      applied.push([change, generation])
      return Promise.resolve([])
    },
    resize: async ({ workers }) => {
      wanted.push(workers)
      return Promise.resolve(['worker 2 was not ready within 60 s'])
    },
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
    [difference, 2],
    [opposite, 3],
  ])
})

await test('what needs a restart is put back before any worker hears of it', async t => {
  let undone = 0
  const next = configWith({ service: { name: 'another' } })
  const { reloader, applied } = setUp(() => ({
    ...changeTo(next),
    undo: () => {
      undone += 1
      return NOTHING
    },
  }))
  t.match(await reloader.reload('admin'), { ok: false, generation: 1, problems: [/service\.name/] })
  t.same([undone, applied], [1, []])
})

await test('a loader that throws is a refused reload', async t => {
  const { reloader } = setUp(() => {
    throw new Error('out of memory')
  })
  t.match(await reloader.reload('admin'), { ok: false, generation: 1, problems: [/out of memory/] })
})

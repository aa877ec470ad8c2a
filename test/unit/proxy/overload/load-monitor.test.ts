import { test } from 'tap'
import { overload as overloadSchema } from '../../../../src/config/overload-schema.ts'
import {
  type LoadFigures,
  LoadMonitor,
  OVERLOAD_STEPS,
} from '../../../../src/proxy/overload/load-monitor.ts'

const CALM: LoadFigures = {
  lagMs: 0,
  cpu: 0,
  memory: 0,
  descriptors: 0,
  accept_queue: 0,
  queued: 0,
}
const TICK_MS = 50

/** A worker that is as the test says. */
class Lab {
  now = 0
  readonly monitor: LoadMonitor

  constructor(config: Record<string, unknown> = {}) {
    this.monitor = new LoadMonitor(overloadSchema.parse({ cpu: '90%', ...config }))
  }

  /** It is so for as many ticks. */
  be(figures: Partial<LoadFigures>, ticks = 1): this {
    for (let tick = 0; tick < ticks; tick += 1) {
      this.now += TICK_MS
      this.monitor.observe({ ...CALM, ...figures }, this.now)
    }
    return this
  }

  get steps(): string[] {
    return OVERLOAD_STEPS.filter(step => this.monitor.on(step))
  }
}

await test('not busy is level 0', t => {
  const lab = new Lab()
  lab.be({ lagMs: 3, cpu: 0.8, memory: 0.7, descriptors: 0.8, accept_queue: 0.3 }, 100)
  t.equal(lab.monitor.level, 0)
  t.end()
})

await test('by default a worker may work all of the time, as long as it is not late', t => {
  t.equal(overloadSchema.parse({}).cpu, 0, 'off')
  t.equal(new Lab({ cpu: 'off' }).be({ lagMs: 3, cpu: 1 }, 100).monitor.level, 0)
  t.end()
})

for (const [name, figures] of [
  ['the event loop is late', { lagMs: 25 }],
  ['the event loop works nearly all of the time', { cpu: 0.95 }],
  ['memory is short', { memory: 0.8 }],
  ['the accept queue is long', { accept_queue: 0.5 }],
  ['open files are short', { descriptors: 0.9 }],
] as const) {
  await test(`busy where ${name}`, t => {
    const lab = new Lab().be(figures, 20)
    t.ok(lab.monitor.on('fair'))
    t.ok(lab.monitor.level > 0)
    lab.be({}, 40)
    t.equal(lab.monitor.level, 0)
    t.end()
  })
}

await test('one long collection of garbage is no load', t => {
  const lab = new Lab().be({ lagMs: 60, cpu: 0.9 }).be({ lagMs: 1, cpu: 0.2 }, 100)
  t.equal(lab.monitor.takeCount('fair'), 0)
  t.end()
})

await test('what is off makes nobody busy', t => {
  const lab = new Lab({ lag: 'off', cpu: 'off' }).be({ lagMs: 1_000, cpu: 1 }, 100)
  t.equal(lab.monitor.level, 0)
  t.end()
})

await test('busy for as long as calls wait, however calm it is otherwise', t => {
  const lab = new Lab().be({ cpu: 1 }, 20).be({ queued: 1 }, 200)
  t.ok(lab.monitor.on('fair'))
  lab.be({}, 40)
  t.notOk(lab.monitor.on('fair'))
  t.end()
})

await test('the steps come in their order as memory gets short, and go in the reverse one', t => {
  const lab = new Lab()
  const seen: string[] = []
  const note = (): void => {
    const steps = lab.steps.join(' ')
    if (seen.at(-1) !== steps) seen.push(steps)
  }
  for (let memory = 0.7; memory <= 1; memory += 0.01) {
    lab.be({ memory })
    note()
  }
  const all = OVERLOAD_STEPS.map((_, index) => OVERLOAD_STEPS.slice(0, index + 1).join(' '))
  t.same(seen, ['', ...all.slice(1)])
  seen.length = 0
  for (let memory = 1; memory >= 0.4; memory -= 0.01) {
    lab.be({ memory }, 30)
    note()
  }
  t.same(seen, [...all.slice(1).toReversed(), all[0], ''])
  t.same(
    OVERLOAD_STEPS.map(step => lab.monitor.takeCount(step)),
    [1, 1, 1, 1, 1],
  )
  t.same(
    OVERLOAD_STEPS.map(step => lab.monitor.takeCount(step)),
    [0, 0, 0, 0, 0],
  )
  t.end()
})

await test('hysteresis: a figure about its threshold does not switch to and fro', t => {
  const lab = new Lab()
  for (let round = 0; round < 50; round += 1)
    lab.be({ memory: 0.96 }).be({ memory: 0.93 }, 40).be({ memory: 0.89 }, 15)
  t.equal(lab.monitor.takeCount('refuse_connections'), 1)
  t.ok(lab.monitor.on('refuse_connections'))
  lab.be({ memory: 0.89 }, 25)
  t.notOk(lab.monitor.on('refuse_connections'), 'below it for long enough')
  t.ok(lab.monitor.on('refuse_calls'), 'and below the next one not yet')
  t.end()
})

await test('a shortage counts at once', t => {
  const lab = new Lab().be({ memory: 0.99 })
  t.equal(lab.monitor.level, OVERLOAD_STEPS.length)
  t.end()
})

await test('open files do not shrink buffers, and a long accept queue ends no kept connection', t => {
  t.same(new Lab().be({ descriptors: 1 }).steps, [
    'fair',
    'stop_keep_alive',
    'refuse_calls',
    'refuse_connections',
  ])
  t.same(new Lab().be({ accept_queue: 1 }).steps, ['fair', 'refuse_calls', 'refuse_connections'])
  t.end()
})

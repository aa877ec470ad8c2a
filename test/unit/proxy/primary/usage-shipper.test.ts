import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'tap'
import { SavedReports } from '../../../../src/proxy/primary/saved-reports.ts'
import {
  UsageShipper,
  type UsageShipperLimits,
} from '../../../../src/proxy/primary/usage-shipper.ts'
import { type Behaviour, ExactMixer } from '../../../support/exact-mixer.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { LogLines } from '../../../support/log-lines.ts'
import { usageOf } from '../../../support/usage.ts'

interface Parts {
  readonly mixer?: ExactMixer
  readonly directory: string
  readonly limits?: UsageShipperLimits
}

let producers = 0

function setUp({ mixer = new ExactMixer(), directory, limits = {} }: Parts) {
  const clock = new FakeClock()
  const log = new LogLines()
  const results: string[] = []
  let lost = 0
  const shipper = new UsageShipper(
    {
      client: mixer,
      saved: new SavedReports(directory),
      clock,
      logger: log.logger,
      newProducer: () => `p${(producers += 1)}`,
      onResult: result => results.push(result),
      onLost: records => {
        lost += records
      },
    },
    { firstRetryMs: 1, ...limits },
  )
  return { shipper, mixer, clock, log, results, lost: () => lost }
}

/** Resolves when the mixer has seen `count` reports. */
async function seen(mixer: ExactMixer, count: number): Promise<void> {
  if (mixer.reports.length >= count) return
  await new Promise<void>(resolve => {
    mixer.onReport = () => mixer.reports.length >= count && resolve()
  })
}

function files(directory: string): string[] {
  return readdirSync(directory).toSorted()
}

await test('records of one key become one, and reports count 1, 2, 3', async t => {
  const { shipper, mixer } = setUp({ directory: t.testdir({}) })
  shipper.start()
  shipper.add([usageOf('a', 1), usageOf('b', 5), usageOf('a', 2)])
  await seen(mixer, 1)
  shipper.add([usageOf('a', 4)])
  await shipper.close(5_000)
  t.same(
    mixer.reports.map(({ sequence, records }) => [sequence, records.map(each => each.calls)]),
    [
      [1, [3, 5]],
      [2, [4]],
    ],
  )
  t.equal(new Set(mixer.reports.map(({ producer }) => producer)).size, 1)
  t.match(shipper.accounts.of('a'), {
    counted: { calls: 7 },
    acknowledged: { calls: 7 },
    pending: { calls: 0 },
  })
})

await test('records that differ in any part of their key stay apart', async t => {
  const { shipper, mixer } = setUp({ directory: t.testdir({}) })
  shipper.start()
  const variants = [
    {},
    { tenant: 'z' },
    { listener: 'z' },
    { routability: 'l4' as const },
    { operation: 'z' },
    { code: '5xx' as const },
    { window: 0 },
  ]
  shipper.add(variants.map(changes => usageOf('a', 1, changes)))
  await shipper.close(5_000)
  t.equal(mixer.reports[0]?.records.length, variants.length)
})

await test('the identical report is sent until it is acknowledged', async t => {
  const mixer = new ExactMixer()
  mixer.next.push('lost', 'away', 'lost')
  const { shipper, results, log } = setUp({ mixer, directory: t.testdir({}) })
  shipper.start()
  shipper.add([usageOf('a', 1)])
  await seen(mixer, 1)
  shipper.add([usageOf('a', 10)])
  await seen(mixer, 4)
  await shipper.close(5_000)
  for (const report of mixer.reports.slice(1, 4)) t.same(report, mixer.reports[0])
  t.equal(mixer.calls('a'), 11)
  t.same(results, ['failed', 'failed', 'failed', 'accepted', 'accepted'])
  t.equal(
    log.all('usage cannot be reported; it is kept and tried again').length,
    1,
    'not each time',
  )
})

await test('an acknowledgement of less than the report is none', async t => {
  const { shipper, mixer, results } = setUp({ directory: t.testdir({}) })
  mixer.next.push('behind')
  shipper.start()
  shipper.add([usageOf('a', 1)])
  await shipper.close(5_000)
  t.same(results, ['failed', 'accepted'])
  t.equal(mixer.calls('a'), 1)
})

await test('a report holds no more records than allowed, and the next follows at once', async t => {
  const { shipper, mixer } = setUp({ directory: t.testdir({}), limits: { maxRecordsPerReport: 2 } })
  shipper.start()
  shipper.add(['a', 'b', 'c', 'd', 'e'].map(tenant => usageOf(tenant, 1)))
  await shipper.close(5_000)
  t.same(
    mixer.reports.map(({ records }) => records.length),
    [2, 2, 1],
  )
})

await test('what is not acknowledged at the end is saved, and the next start ships it first', async t => {
  const directory = t.testdir({})
  const first = setUp({ directory, limits: { maxRecordsPerReport: 1, firstRetryMs: 60_000 } })
  first.mixer.next.push('lost')
  first.shipper.start()
  first.shipper.add([usageOf('a', 1), usageOf('b', 2)])
  await seen(first.mixer, 1)
  await first.shipper.close(0)
  const { producer } = first.mixer.reports[0] ?? { producer: '' }
  t.same(files(directory), [`${producer}.1.json`, `${producer}.2.json`])

  const next = setUp({ mixer: first.mixer, directory })
  next.shipper.start()
  next.shipper.add([usageOf('a', 10)])
  t.ok(next.shipper.status().savedReports > 0)
  await next.shipper.close(5_000)
  t.same(
    first.mixer.reports.slice(1).map(report => [report.producer === producer, report.sequence]),
    [
      [true, 1],
      [true, 2],
      [false, 1],
    ],
  )
  t.same([first.mixer.calls('a'), first.mixer.calls('b')], [11, 2])
  t.same(files(directory), [])
  t.equal(next.shipper.accounts.of('b').acknowledged.calls, 0, 'counted by another run')
})

await test('a report that is refused for good is kept aside, and later ones go on', async t => {
  const directory = t.testdir({})
  const { shipper, mixer, results, log } = setUp({ directory })
  mixer.next.push('well', 'refuse')
  shipper.start()
  shipper.add([usageOf('a', 1)])
  await seen(mixer, 1)
  shipper.add([usageOf('a', 10)])
  await seen(mixer, 2)
  shipper.add([usageOf('a', 100)])
  await shipper.close(5_000)
  const [name = ''] = files(directory)
  t.match(name, /\.2\.refused\.json$/)
  t.match(JSON.parse(readFileSync(join(directory, name), 'utf8')), { records: [{ calls: 10 }] })
  t.equal(mixer.calls('a'), 101)
  t.match(shipper.accounts.of('a'), {
    counted: { calls: 111 },
    acknowledged: { calls: 101 },
    refused: { calls: 10 },
    pending: { calls: 0 },
  })
  t.ok(results.includes('refused'))
  t.notOk(results.includes('gap'), 'the next report does not need the number of the refused one')
  t.equal(log.lines.filter(({ msg }) => msg.startsWith('the mixer refuses')).length, 1)

  const next = setUp({ mixer, directory })
  next.shipper.start()
  await next.shipper.close(5_000)
  t.equal(mixer.calls('a'), 101, 'it is not shipped by itself')
  t.same(files(directory), [name], 'and not deleted')
})

await test('a mixer that lost its ledger gets later reports under a new producer', async t => {
  const { shipper, mixer, results } = setUp({ directory: t.testdir({}) })
  shipper.start()
  shipper.add([usageOf('a', 1)])
  await seen(mixer, 1)
  mixer.next.push('forget')
  shipper.add([usageOf('a', 2)])
  await shipper.close(5_000)
  t.equal(mixer.calls('a'), 3)
  t.ok(results.includes('gap'))
  t.match(mixer.reports.at(-1), { sequence: 1, records: [{ calls: 2 }] })
})

await test('a saved report is renumbered on disk before it is sent under another number', async t => {
  const directory = t.testdir({ 'old.7.json': JSON.stringify({ records: [usageOf('a', 3)] }) })
  const { shipper, mixer } = setUp({ directory })
  mixer.next.push('well', 'away')
  shipper.start()
  await seen(mixer, 2)
  t.match(files(directory), [/^p\d+\.1\.json$/])
  await shipper.close(5_000)
  t.equal(mixer.calls('a'), 3)
  t.same(files(directory), [])
})

await test('a damaged file is kept aside and does not stop the others', async t => {
  const directory = t.testdir({
    'a.1.json': '{"records": [',
    'b.1.json': JSON.stringify({ records: [usageOf('b', 3)] }),
    'b.2.json.tmp': 'half',
    'notes.txt': 'not ours',
  })
  const { shipper, mixer } = setUp({ directory })
  shipper.start()
  await shipper.close(5_000)
  t.equal(mixer.calls('b'), 3)
  t.same(files(directory), ['a.1.refused.json', 'b.2.json.tmp', 'notes.txt'])
})

await test('what does not fit into memory goes to disk and comes back', async t => {
  const directory = t.testdir({})
  const { shipper, mixer, log } = setUp({
    directory,
    limits: { maxPendingRecords: 2, maxRecordsPerReport: 2, firstRetryMs: 60_000 },
  })
  mixer.next.push('away')
  shipper.start()
  shipper.add([usageOf('a', 1)])
  await seen(mixer, 1)
  const more = ['b', 'c', 'd', 'e', 'f'].map(tenant => usageOf(tenant, 1))
  shipper.add([...more, ...more])
  t.ok(shipper.status().savedReports > 0)
  t.ok(shipper.status().pendingRecords <= 3)
  t.ok(log.lines.some(({ level, msg }) => level === 'error' && msg.startsWith('too much usage')))
  await shipper.close(5_000)
  t.same(
    ['a', 'b', 'c', 'd', 'e', 'f'].map(tenant => mixer.calls(tenant)),
    [1, 2, 2, 2, 2, 2],
  )
  t.match(shipper.accounts.of('c'), { acknowledged: { calls: 2 }, pending: { calls: 0 } })
  t.same(files(directory), [])
})

await test('the age of the oldest usage is told until it is in the ledger', async t => {
  const { shipper, mixer, clock } = setUp({
    directory: t.testdir({}),
    limits: { firstRetryMs: 60_000 },
  })
  mixer.next.push('away')
  shipper.start()
  t.equal(shipper.status().lagMs, 0)
  shipper.add([usageOf('a', 1)])
  clock.ms += 700
  shipper.add([usageOf('a', 1)])
  t.equal(shipper.status().lagMs, 700)
  await shipper.close(5_000)
  t.equal(shipper.status().lagMs, 0)
})

await test('a directory that cannot be used fails the start', async t => {
  const directory = t.testdir({ file: '' })
  const { shipper } = setUp({ directory: join(directory, 'file', 'journal') })
  t.throws(() => shipper.start())
})

await test('usage that no disk takes is counted as lost, loudly', async t => {
  const directory = join(t.testdir({ journal: {} }), 'journal')
  const { shipper, mixer, log, lost } = setUp({ directory, limits: { firstRetryMs: 60_000 } })
  mixer.next.push('away')
  shipper.start()
  shipper.add([usageOf('a', 4)])
  await seen(mixer, 1)
  // A directory where the file would be written stops root, too, whom no permission stops.
  mkdirSync(join(directory, `${mixer.reports[0]?.producer}.1.json.tmp`))
  shipper.saveNow()
  t.equal(lost(), 1)
  t.match(shipper.accounts.of('a'), { lost: { calls: 4 }, pending: { calls: 0 } })
  t.ok(log.all('usage is lost').length > 0)
})

await test('through failures, duplicates, refusals and restarts the ledger is exact', async t => {
  // Not `forget`: a mixer that forgets the mark of a producer forgets its usage in the same transaction. Gaps come
  // all the same, from saved reports whose forerunner is refused.
  const behaviour = fc.constantFrom<Behaviour>('well', 'well', 'lost', 'away', 'twice', 'refuse')
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ tenant: fc.constantFrom('a', 'b', 'c', 'd'), calls: fc.nat(50) }),
    },
    { weight: 1, arbitrary: fc.constant('restart' as const) },
    { weight: 1, arbitrary: fc.constant('pause' as const) },
  )
  const seed = Number(process.env.AMT_FUZZ_SEED ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}`)
  const root = t.testdir({})
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.array(behaviour, { maxLength: 60 }),
      async (steps, behaviours) => {
        const directory = join(root, `run${(run += 1)}`)
        const mixer = new ExactMixer()
        mixer.next.push(...behaviours)
        const limits = { maxRecordsPerReport: 2, maxPendingRecords: 3, firstRetryMs: 0 }
        let current = setUp({ mixer, directory, limits })
        current.shipper.start()
        const counted = new Map<string, number>()
        for (const each of steps) {
          if (each === 'pause') await new Promise(resolve => setTimeout(resolve, 1))
          else if (each === 'restart') {
            await current.shipper.close(0)
            current = setUp({ mixer, directory, limits })
            current.shipper.start()
          } else {
            counted.set(each.tenant, (counted.get(each.tenant) ?? 0) + each.calls)
            current.shipper.add([usageOf(each.tenant, each.calls)])
          }
        }
        // The mixer is well again, and one more start finds whatever is left.
        mixer.next.length = 0
        await current.shipper.close(5_000)
        current = setUp({ mixer, directory, limits })
        current.shipper.start()
        await current.shipper.close(5_000)
        const refused = refusedCalls(directory)
        for (const [tenant, calls] of counted) {
          const found = mixer.calls(tenant) + (refused.get(tenant) ?? 0)
          if (found !== calls) throw new Error(`${tenant}: counted ${calls}, found ${found}`)
        }
      },
    ),
    { seed, numRuns: 150 },
  )
  t.pass('every run was exact')
})

function refusedCalls(directory: string): Map<string, number> {
  const calls = new Map<string, number>()
  for (const name of files(directory)) {
    if (!name.endsWith('.refused.json')) throw new Error(`left over: ${name}`)
    const report = JSON.parse(readFileSync(join(directory, name), 'utf8')) as {
      records: { tenant: string; calls: number }[]
    }
    for (const record of report.records) {
      calls.set(record.tenant, (calls.get(record.tenant) ?? 0) + record.calls)
    }
  }
  return calls
}

/** What stands in journals comes into the ledger exactly once, whatever becomes of the mixer and of the shipper. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { SEGMENT_HEADER, SegmentReader } from '../../../../src/contracts/journal-segment.ts'
import type { Announcement } from '../../../../src/contracts/producer-announcement.ts'
import type { UsageReport } from '../../../../src/contracts/usage-report.ts'
import type { AnnounceResult, MixerUnreachable } from '../../../../src/runtime/mixer-client.ts'
import { type Behaviour, ExactMixer } from '../../../support/exact-mixer.ts'
import { JournalWriter } from '../../../support/journal-writer.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'
import { journalFolder, startShipper, until } from '../../../support/started-shipper.ts'
import { usageOf } from '../../../support/usage.ts'

/** What is left of journals, apart from the lock. */
function filesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter(name => !name.startsWith('lock'))
    .toSorted()
}

/** A mixer that knows every producer, and has nothing of it. */
async function knowsAll({ producers }: Announcement): Promise<AnnounceResult> {
  return { ok: true, producers: producers.map(producer => ({ producer, durable: 0 })) }
}

function describe({ producer, first, sequence, records }: UsageReport): string {
  const calls = records.reduce((sum, record) => sum + record.calls, 0)
  return `${producer} ${first}-${sequence} calls ${calls} records ${records.length}`
}

await test('what a former start has left is shipped and goes', async t => {
  const folder = journalFolder(t)
  const left = new JournalWriter(folder, 'left')
  left.calls('acme', 3)
  left.roll()
  left.calls('acme', 2)
  left.calls('globex', 5)
  const mixer = new ExactMixer()
  await startShipper(t, folder, mixer)
  await until(() => filesIn(folder).length === 0)
  t.equal(mixer.calls('acme'), 5)
  t.equal(mixer.calls('globex'), 5)
  t.same(mixer.reports.map(describe), ['left 1-10 calls 10 records 2'], 'the sum of all')
})

await test('a journal is shipped as it is written, and its segments go when they are full and durable', async t => {
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  await startShipper(t, folder, mixer)
  const journal = new JournalWriter(folder, 'own')
  for (let round = 1; round <= 5; round += 1) {
    journal.calls('acme', 2)
    await until(() => mixer.calls('acme') === 2 * round)
    journal.roll()
  }
  await until(() => filesIn(folder).length === 1)
  t.same(filesIn(folder), ['own.6.journal'], 'the one that may still be written stays')
  t.equal(mixer.durable('own'), 10)
})

await test('a batch of which only a part is there yet is waited for', async t => {
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  const { log } = await startShipper(t, folder, mixer, { quietMs: 60_000 })
  const journal = new JournalWriter(folder, 'own')
  const { appendFileSync } = await import('node:fs')
  const bytes = journal.bytes(usageOf('acme', 7))
  for (const byte of bytes) {
    t.equal(mixer.calls('acme'), 0)
    appendFileSync(journal.path, Uint8Array.of(byte))
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  await until(() => mixer.calls('acme') === 7)
  t.same(filesIn(folder), ['own.1.journal'])
  t.same(
    log.lines.filter(({ level }) => level === 'warn' || level === 'error'),
    [],
  )
})

await test('with answers that get lost and mixers that are away, all is billed once', async t => {
  const random = new SeededRandom(4)
  const kinds: readonly Behaviour[] = ['well', 'lost', 'away', 'twice', 'behind', 'well']
  for (let run = 0; run < 10; run += 1) {
    const folder = journalFolder(t)
    const mixer = new ExactMixer()
    mixer.next.push(...Array.from({ length: 60 }, () => random.pick(kinds)))
    const { shipper } = await startShipper(t, folder, mixer, { entries: 5 })
    const journals = ['a', 'b', 'c'].map(name => new JournalWriter(folder, `${name}${run}`))
    let written = 0
    for (let turn = 0; turn < 40; turn += 1) {
      for (const journal of journals) {
        const count = random.below(4)
        journal.calls('acme', count)
        written += count
        if (random.below(10) === 0) journal.roll()
      }
      await new Promise(resolve => setImmediate(resolve))
    }
    await until(() => mixer.calls('acme') === written)
    await shipper.close(1_000)
    t.equal(mixer.calls('acme'), written, `run ${run}`)
  }
})

await test('shippers that are ended at any moment follow each other without a loss or a second time', async t => {
  const random = new SeededRandom(5)
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  const journals = ['a', 'b'].map(name => new JournalWriter(folder, name))
  let written = 0
  for (let start = 0; start < 30; start += 1) {
    mixer.next.push(
      ...Array.from({ length: 4 }, () => random.pick<Behaviour>(['well', 'lost', 'away'])),
    )
    const { shipper } = await startShipper(t, folder, mixer, {
      entries: 1 + random.below(9),
      quietMs: 60_000,
    })
    for (const journal of journals) {
      const count = random.below(8)
      journal.calls('acme', count)
      written += count
      if (random.below(3) === 0) journal.roll()
    }
    for (let turn = random.below(20); turn > 0; turn -= 1)
      await new Promise(resolve => setImmediate(resolve))
    await shipper.close(0)
  }
  mixer.next.length = 0
  await startShipper(t, folder, mixer)
  await until(() => filesIn(folder).length === 0)
  t.equal(mixer.calls('acme'), written)
})

await test('a batch that the mixer refuses is found, set aside and told, and all others are billed', async t => {
  const folder = journalFolder(t)
  const journal = new JournalWriter(folder, 'own')
  journal.calls('acme', 100)
  journal.write(usageOf('bad', 3), usageOf('acme', 1))
  journal.calls('acme', 100)
  const mixer = new ExactMixer()
  mixer.refuses = ({ tenant }) => tenant === 'bad'
  const { log, results, shipper } = await startShipper(t, folder, mixer)
  await until(() => mixer.durable('own') === 201)
  t.equal(mixer.calls('acme'), 200)
  t.equal(mixer.calls('bad'), 0)
  t.match(log.all('the mixer refuses usage for good; it is kept aside and not billed'), [
    { producer: 'own', sequence: 101, path: join(folder, 'own.101.refused') },
  ])
  t.equal(results.filter(result => result === 'refused').length, 1)
  await until(() => filesIn(folder).length === 1)
  t.same(filesIn(folder), ['own.101.refused'])
  const { of } = await shipper.books(1_000)
  t.match(of('bad'), { journaled: { calls: 3 }, setAside: { calls: 3 }, pending: { calls: 0 } })
  t.match(of('acme'), { journaled: { calls: 201 }, setAside: { calls: 1 }, pending: { calls: 0 } })
  const kept = readFileSync(join(folder, 'own.101.refused'))
  t.match(new SegmentReader().read(kept, SEGMENT_HEADER.length), {
    kind: 'batch',
    sequence: 101,
    records: [
      { tenant: 'acme', calls: 1 },
      { tenant: 'bad', calls: 3 },
    ],
  })
})

await test('what is set aside stays so after a kill, also where the mixer would take it by then', async t => {
  const folder = journalFolder(t)
  const journal = new JournalWriter(folder, 'own')
  journal.calls('acme', 3)
  journal.write(usageOf('bad', 1))
  journal.calls('acme', 3)
  const mixer = new ExactMixer()
  mixer.refuses = ({ tenant }) => tenant === 'bad'
  const first = await startShipper(t, folder, mixer, { quietMs: 60_000 })
  // The moment between the decision and the word to the mixer.
  mixer.onReport = ({ records }) => {
    if (existsSync(join(folder, 'own.4.refused')) && records.length === 0)
      void first.shipper.close(0)
  }
  const behaviour = mixer.report.bind(mixer)
  const stopped = await new Promise<void>(resolve => {
    mixer.report = async report => {
      if (!existsSync(join(folder, 'own.4.refused'))) return behaviour(report)
      resolve()
      return { ok: false, reason: 'unreachable', detail: 'killed' }
    }
  })
  t.equal(stopped, undefined)
  await first.shipper.close(0)
  mixer.report = behaviour
  mixer.refuses = () => false
  const second = await startShipper(t, folder, mixer)
  await until(() => filesIn(folder).length === 1)
  t.equal(mixer.calls('acme'), 6)
  t.equal(mixer.calls('bad'), 0, 'it is in the file that a person may bill')
  t.match((await second.shipper.books(1_000)).of('bad'), { setAside: { calls: 1 } })
})

await test('where the mixer refuses everything, usage waits, and no other journal does', async t => {
  const folder = journalFolder(t)
  new JournalWriter(folder, 'wrong').calls('bad', 40)
  new JournalWriter(folder, 'right').calls('acme', 40)
  const mixer = new ExactMixer()
  mixer.refuses = ({ tenant }) => tenant === 'bad'
  const { log } = await startShipper(t, folder, mixer)
  const held =
    'the mixer refuses one batch of a journal after the other; it is kept and tried again'
  t.match(await log.first(held), { producer: 'wrong', detail: 'malformed_message' })
  await until(() => mixer.calls('acme') === 40)
  t.equal(filesIn(folder).filter(name => name.endsWith('.refused')).length, 16)
  mixer.refuses = () => false
  await until(() => mixer.calls('bad') === 24)
  await until(() => filesIn(folder).length === 16)
  t.equal(log.all(held).length, 1, 'told once a minute')
})

await test('a mixer that does not know this form of report gets nothing set aside', async t => {
  const folder = journalFolder(t)
  new JournalWriter(folder, 'own').calls('acme', 40)
  let asked = 0
  const enough = Promise.withResolvers<void>()
  await startShipper(t, folder, {
    announce: knowsAll,
    report: async () => {
      asked += 1
      if (asked === 10) enough.resolve()
      const refused = { reason: 'refused', status: 400, code: 'malformed_message' } as const
      return { ok: false, ...refused, detail: 'unknown keys', problems: [] }
    },
  })
  await enough.promise
  t.same(filesIn(folder), ['own.1.journal'])
})

await test('what was applied before it was refused is not set aside', async t => {
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  new JournalWriter(folder, 'own').calls('acme', 1)
  let reports = 0
  const { log } = await startShipper(t, folder, {
    announce: async announcement => mixer.announce(announcement),
    // Applied, the answer lost; then the clock of the mixer jumps.
    report: async report => {
      reports += 1
      if (reports === 1) mixer.next.push('lost')
      const result = await mixer.report(report)
      return reports === 2
        ? {
            ok: false,
            reason: 'refused',
            status: 400,
            code: 'malformed_message',
            detail: '',
            problems: [],
          }
        : result
    },
  })
  await until(() => filesIn(folder).length === 0)
  t.equal(mixer.calls('acme'), 1)
  t.same(log.all('the mixer refuses usage for good; it is kept aside and not billed'), [])
})

await test('a ledger that is restored from a backup gets again what the folder has, and hears what is lost', async t => {
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  const { log } = await startShipper(t, folder, mixer)
  const journal = new JournalWriter(folder, 'own')
  journal.calls('acme', 10)
  await until(() => mixer.durable('own') === 10)
  journal.roll()
  journal.calls('acme', 10)
  await until(() => mixer.durable('own') === 20 && filesIn(folder).length === 1)
  mixer.restore('own', 4)
  journal.calls('acme', 1)
  await until(() => mixer.durable('own') === 21)
  t.equal(mixer.calls('acme'), 11, 'batches 11 to 20 again, and 21')
  t.match(log.all('usage is lost: its batches are in no journal'), [
    { producer: 'own', first: 5, sequence: 10 },
  ])
})

await test('the same, with ends of the shipper between all steps', async t => {
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  const journal = new JournalWriter(folder, 'own')
  journal.calls('acme', 10)
  const first = await startShipper(t, folder, mixer, { quietMs: 60_000 })
  await until(() => mixer.durable('own') === 10)
  journal.roll()
  journal.calls('acme', 10)
  await until(() => mixer.durable('own') === 20 && filesIn(folder).length === 1)
  await first.shipper.close(0)
  mixer.restore('own', 4)
  const random = new SeededRandom(6)
  for (let start = 0; start < 25; start += 1) {
    mixer.next.push(random.pick(['well', 'lost', 'away']), random.pick(['well', 'lost']))
    const { shipper } = await startShipper(t, folder, mixer, { quietMs: 60_000, entries: 3 })
    for (let turn = random.below(15); turn > 0; turn -= 1)
      await new Promise(resolve => setImmediate(resolve))
    await shipper.close(0)
  }
  mixer.next.length = 0
  await startShipper(t, folder, mixer)
  await until(() => filesIn(folder).length === 0)
  t.equal(mixer.calls('acme'), 10)
})

await test('a ledger that is lost altogether gets what there is, under the same names', async t => {
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  const { results } = await startShipper(t, folder, mixer)
  const journal = new JournalWriter(folder, 'own')
  journal.calls('acme', 5)
  await until(() => mixer.durable('own') === 5)
  mixer.restore('own', 0)
  journal.calls('acme', 1)
  await until(() => mixer.durable('own') === 6)
  t.equal(mixer.calls('acme'), 6, 'none of its segments had gone yet')
  t.ok(results.includes('gap'))
})

await test('what is damaged is kept aside, and what stands before and behind it is shipped', async t => {
  for (const at of [0, 9, 40, 150]) {
    const folder = journalFolder(t)
    const left = new JournalWriter(folder, 'left')
    left.calls('acme', 4)
    left.roll()
    left.calls('globex', 10)
    left.roll()
    left.calls('acme', 6)
    const whole = readFileSync(left.pathOf(2))
    left.damage(2, at)
    const damaged = readFileSync(left.pathOf(2))
    const mixer = new ExactMixer()
    const { log } = await startShipper(t, folder, mixer)
    await until(() => mixer.durable('left') === 20)
    await until(() => filesIn(folder).length === 1)
    t.equal(mixer.calls('acme'), 10)
    const [kept = ''] = filesIn(folder)
    t.match(kept, /^left\.2\.journal\.(corrupt|torn)$/)
    const rest = readFileSync(join(folder, kept))
    t.same(rest, damaged.subarray(damaged.length - rest.length), 'all that was not shipped')
    t.ok(whole.length - rest.length <= at, 'up to the batch with the damage it was shipped')
    t.equal(log.all('usage is lost: its batches are in no journal').length, 1)
  }
})

await test('a damaged journal gives the same after each interruption', async t => {
  const folder = journalFolder(t)
  const left = new JournalWriter(folder, 'left')
  left.calls('acme', 10)
  left.roll()
  left.calls('acme', 10)
  left.damage(1, 600)
  const mixer = new ExactMixer()
  const random = new SeededRandom(7)
  for (let start = 0; start < 40 && filesIn(folder).length !== 1; start += 1) {
    mixer.next.push(random.pick(['well', 'lost', 'away']))
    const { shipper } = await startShipper(t, folder, mixer, { entries: 4 })
    for (let turn = random.below(30); turn > 0; turn -= 1)
      await new Promise(resolve => setImmediate(resolve))
    await shipper.close(0)
  }
  mixer.next.length = 0
  await startShipper(t, folder, mixer)
  await until(() => filesIn(folder).length === 1)
  t.same(filesIn(folder), ['left.1.journal.corrupt'])
  const reader = new SegmentReader()
  t.ok(mixer.calls('acme') >= 15 && mixer.calls('acme') < 20)
  t.equal(
    reader.read(readFileSync(join(folder, 'left.1.journal.corrupt')), 0).kind,
    'corrupt',
    'from the damaged batch on',
  )
})

await test('half a batch at the end of a journal that is written no more is cut, and a journal of one that lives is not', async t => {
  const { appendFileSync } = await import('node:fs')
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  const { log, shipper } = await startShipper(t, folder, mixer)
  const journal = new JournalWriter(folder, 'own')
  shipper.claim(1, 'own')
  journal.calls('acme', 2)
  const torn = journal.bytes(usageOf('acme', 1)).subarray(0, -1)
  appendFileSync(journal.path, torn)
  await until(() => mixer.durable('own') === 2)
  for (let turn = 0; turn < 20; turn += 1) await new Promise(resolve => setTimeout(resolve, 2))
  t.same(filesIn(folder), ['own.1.journal'])
  shipper.workerGone(1)
  await until(() => filesIn(folder)[0] === 'own.1.journal.torn' && filesIn(folder).length === 1)
  t.same(readFileSync(join(folder, 'own.1.journal.torn')), torn)
  t.match(log.all('a journal ends in half a batch; it is cut'), [{ bytes: torn.length }])
  t.equal(mixer.calls('acme'), 2)
})

await test('a batch that was torn and written again in the next segment is billed once', async t => {
  const { appendFileSync } = await import('node:fs')
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  const { log } = await startShipper(t, folder, mixer)
  const journal = new JournalWriter(folder, 'own')
  journal.calls('acme', 1)
  appendFileSync(journal.path, journal.bytes(usageOf('acme', 1)).subarray(0, 30))
  journal.next -= 1
  journal.roll()
  journal.write(usageOf('acme', 1), usageOf('acme', 2))
  await until(() => mixer.durable('own') === 2)
  t.equal(mixer.calls('acme'), 4)
  t.same(log.all('usage is lost: its batches are in no journal'), [])
})

await test('a journal that cannot be read is told, tried again, and stops no other', async t => {
  const folder = journalFolder(t)
  const { rmdirSync } = await import('node:fs')
  mkdirSync(join(folder, 'odd.1.journal'))
  new JournalWriter(folder, 'left').calls('acme', 3)
  const mixer = new ExactMixer()
  const { log } = await startShipper(t, folder, mixer)
  await until(() => mixer.calls('acme') === 3)
  t.match(await log.first('a journal cannot be read; tried again'), { producer: 'odd' })
  rmdirSync(join(folder, 'odd.1.journal'))
  new JournalWriter(folder, 'odd').calls('acme', 2)
  await until(() => mixer.calls('acme') === 5)
})

await test('journals take turns', async t => {
  const folder = journalFolder(t)
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f'])
    new JournalWriter(folder, name).calls('acme', 30)
  const mixer = new ExactMixer()
  await startShipper(t, folder, mixer, { entries: 3 })
  await until(() => mixer.calls('acme') === 180)
  const turns = mixer.reports.map(({ producer }) => producer)
  const seen: Record<string, number> = {}
  for (const producer of turns.slice(0, 36)) seen[producer] = (seen[producer] ?? 0) + 1
  t.ok(
    Math.max(...Object.values(seen)) - Math.min(...Object.values(seen)) <= 1,
    JSON.stringify(seen),
  )
})

await test('a mixer that is away is asked by one report at a time, and told of once a minute', async t => {
  const folder = journalFolder(t)
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g'])
    new JournalWriter(folder, name).calls('acme', 3)
  const mixer = new ExactMixer()
  mixer.next.push(...Array.from({ length: 30 }, () => 'away' as const))
  const { log, results } = await startShipper(t, folder, mixer, { firstRetryMs: 0 })
  await until(() => mixer.calls('acme') === 21)
  t.match(log.all('usage cannot be reported; it is kept and tried again'), [{ detail: 'away' }])
  t.equal(results.filter(result => result === 'failed').length, 30)
  const asked = new Set(mixer.reports.slice(0, 30).map(({ producer }) => producer))
  t.ok(asked.size <= 4, `${asked.size} journals had a report in memory`)
})

await test('the end waits for what there is, but not for a mixer that does not come', async t => {
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  const { shipper } = await startShipper(t, folder, mixer, { pollMs: 60_000 })
  new JournalWriter(folder, 'own').calls('acme', 3)
  shipper.claim(1, 'own')
  shipper.workerGone(1)
  await shipper.close(10_000)
  t.equal(mixer.calls('acme'), 3)
  t.same(filesIn(folder), [])

  const refuse = async (): Promise<MixerUnreachable> => ({
    ok: false,
    reason: 'unreachable',
    detail: '',
  })
  const away = { announce: refuse, report: refuse }
  const second = await startShipper(t, folder, away)
  new JournalWriter(folder, 'other').calls('acme', 3)
  await second.shipper.close(20)
  t.same(filesIn(folder), ['other.1.journal'])
  t.match(second.log.all('usage waits in the journal for the next start').length, 1)
})

await test('a report that gets no answer does not hold up the end', async t => {
  const folder = journalFolder(t)
  new JournalWriter(folder, 'own').calls('acme', 3)
  const asked = Promise.withResolvers<void>()
  const { shipper } = await startShipper(t, folder, {
    announce: knowsAll,
    report: async (_report, signal) => {
      asked.resolve()
      await new Promise(resolve => signal?.addEventListener('abort', resolve))
      return { ok: false, reason: 'unreachable', detail: 'aborted' }
    },
  })
  await asked.promise
  await shipper.close(1)
  t.same(filesIn(folder), ['own.1.journal'])
})

await test('the books say what is where, also while the mixer is away', async (t: Test) => {
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  const { shipper } = await startShipper(t, folder, mixer, { entries: 2 })
  const journal = new JournalWriter(folder, 'own')
  shipper.count(1, 'own', [usageOf('acme', 7), usageOf('globex', 1)])
  journal.write(usageOf('acme', 5))
  await until(() => mixer.calls('acme') === 5)
  const before = await shipper.books(1_000)
  t.same(before.tenants, ['acme', 'globex'])
  t.match(before.of('acme'), {
    counted: { calls: 7, ingress: 70 },
    journaled: { calls: 5, ingress: 50 },
    acknowledged: { calls: 5 },
    pending: { calls: 0 },
  })
  mixer.next.push(...Array.from({ length: 100_000 }, () => 'away' as const))
  journal.calls('acme', 10)
  journal.roll()
  journal.calls('globex', 10)
  await until(() => shipper.status().bytesPending > 0)
  const away = await shipper.books(1_000)
  t.match(away.of('acme'), {
    journaled: { calls: 15 },
    acknowledged: { calls: 5 },
    pending: { calls: 10 },
  })
  t.match(away.of('globex'), { counted: { calls: 1 }, journaled: { calls: 10 } })
  t.match(away.journals, [
    {
      producer: 'own',
      state: 'live',
      first: 1,
      durable: 1,
      bytesUnread: 0,
      acknowledged: { calls: 5 },
    },
  ])
  journal.calls('globex', 1)
  t.match((await shipper.books(1_000)).of('globex'), { journaled: { calls: 11 } }, 'it reads on')
  shipper.workerGone(1)
  t.match(
    (await shipper.books(1_000)).of('acme'),
    { counted: { calls: 15 }, journaled: { calls: 15 } },
    'the journal of a worker that is gone has the last word',
  )
  mixer.next.length = 0
  await until(() => filesIn(folder).length === 0)
  await until(() => shipper.status().journals === 0)
  t.match((await shipper.books(1_000)).journals, [
    { producer: 'own', state: 'done', durable: 22, bytesPending: 0, acknowledged: { calls: 26 } },
  ])
  t.match(shipper.status(), { bytesPending: 0, lagMs: 0, journals: 0 })
})

await test('a journal is announced before its first report, once', async t => {
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  new JournalWriter(folder, 'left').calls('acme', 1)
  await startShipper(t, folder, mixer)
  const journal = new JournalWriter(folder, 'own')
  for (let round = 1; round <= 3; round += 1) {
    journal.calls('globex', 1)
    await until(() => mixer.calls('globex') === round)
  }
  await until(() => mixer.calls('acme') === 1)
  t.same(
    mixer.announcements.toSorted((a, b) => (a.producers < b.producers ? -1 : 1)),
    [
      { proxy: 'proxy-1', producers: ['left'] },
      { proxy: 'proxy-1', producers: ['own'] },
    ],
  )
})

await test('a mixer with a new ledger, which knows nobody, gets everything that is still in the folder', async t => {
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  const { log } = await startShipper(t, folder, mixer)
  const journal = new JournalWriter(folder, 'own')
  journal.calls('acme', 3)
  await until(() => mixer.calls('acme') === 3)
  mixer.loseLedger()
  journal.calls('acme', 2)
  await until(() => mixer.calls('acme') === 5)
  t.equal(mixer.announcements.length, 2)
  const told =
    'the ledger misses usage that it had acknowledged; what is still here of it is shipped again'
  t.match(log.all(told), [{ producer: 'own', expected: 1, first: 4 }])
})

await test('a mixer that knows a journal one time and not the other is asked with a rest in between', async t => {
  const folder = journalFolder(t)
  const mixer = new ExactMixer()
  new JournalWriter(folder, 'own').calls('acme', 1)
  let reports = 0
  const { log } = await startShipper(t, folder, {
    announce: async announcement => mixer.announce(announcement),
    report: async report => {
      reports += 1
      if (reports < 5) mixer.loseLedger()
      return mixer.report(report)
    },
  })
  await until(() => mixer.calls('acme') === 1)
  t.equal(mixer.announcements.length, 5)
  t.match(log.all('usage cannot be reported; it is kept and tried again'), [
    { detail: 'producer_unknown' },
  ])
})

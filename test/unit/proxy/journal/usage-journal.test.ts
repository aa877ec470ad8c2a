import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { UnwrittenUsage } from '../../../../src/proxy/metering/unwritten-usage.ts'
import { UsageRow } from '../../../../src/proxy/metering/usage-row.ts'
import { FailingDisk } from '../../../support/failing-disk.ts'
import { JournalBench, type JournalBenchOptions } from '../../../support/journal-bench.ts'

const MINUTE = 60_000
const BEGUN = 'the journal cannot be written; usage is kept in memory'
const OVER = 'the journal is written again'

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1)
}

await test('a commit writes what was counted since the last, in one batch and one write', t => {
  const disk = new FailingDisk()
  const bench = JournalBench.forTest(t, { disk })
  bench.journal.commit()
  t.same(readdirSync(bench.folder), [], 'nothing counted, no file')
  bench.meter.ingress(bench.row('acme'), 10)
  bench.meter.egress(bench.row('globex'), 20)
  bench.meter.call(bench.row('acme'), 1.5)
  bench.journal.commit()
  bench.journal.commit()
  disk.calls.length = 0
  bench.meter.call(bench.row('acme'), 0.5)
  bench.journal.commit()
  t.same(disk.calls, ['write'])
  const { sequences, records, torn, corrupt } = bench.read()
  t.same(sequences, [1, 2])
  t.same(
    records.map(({ tenant, calls, ingress, egress, callMs }) => [
      tenant,
      calls,
      ingress,
      egress,
      callMs,
    ]),
    [
      ['acme', 1, 10, 0, 1],
      ['globex', 0, 0, 20, 0],
      ['acme', 1, 0, 0, 1],
    ],
  )
  t.match(records[0], { listener: 'public', routability: 'l7', operation: 'read', code: '2xx' })
  t.same([torn, corrupt], [[0], []])
  t.end()
})

await test('folder and files are for their owner alone', t => {
  const folder = join(t.testdir({}), 'deep', 'journal')
  const bench = JournalBench.forTest(t, { folder })
  bench.call()
  const [name = ''] = readdirSync(folder)
  t.match(name, /^[0-9a-f-]{36}\.1\.journal$/)
  t.equal(statSync(folder).mode & 0o777, 0o700)
  t.equal(statSync(join(folder, name)).mode & 0o777, 0o600)
  t.end()
})

await test('segments roll by size, each readable by itself, sequences going on', t => {
  const bench = JournalBench.forTest(t, { segmentBytes: 1_000 })
  for (let call = 0; call < 100; call++) bench.call(call % 2 === 0 ? 'acme' : 'globex')
  const sizes = readdirSync(bench.folder).map(name => statSync(join(bench.folder, name)).size)
  t.ok(sizes.length > 5)
  t.ok(sizes.every(size => size < 1_000 + 300))
  const { sequences, records, corrupt } = bench.read()
  t.same(corrupt, [], 'keys are there in each')
  t.same(sequences, upTo(100))
  t.equal(records.length, 100)
  t.end()
})

await test('more than fits into one batch makes several', t => {
  const bench = JournalBench.forTest(t)
  const rows = Array.from({ length: 30_000 }, (_, number) => {
    const { key } = bench.row()
    return new UsageRow(number, { ...key, operation: `o${number}` })
  })
  for (const row of rows) {
    row.counted.calls = 1
    bench.meter.unwritten.add(row)
  }
  bench.journal.commit()
  const { sequences, records } = bench.read()
  t.ok(sequences.length > 3)
  t.equal(records.length, rows.length)
  t.ok(bench.meter.unwritten.empty)
  t.end()
})

await test('the time of idle connections gets there minute by minute, and with each report', t => {
  const bench = JournalBench.forTest(t)
  const noon = bench.clock.ms
  const row = bench.row()
  bench.meter.open(row)
  bench.journal.commit()
  for (const ms of [30_000, 59_000, 61_000]) {
    bench.clock.ms = noon + ms
    bench.meter.take()
    bench.journal.commit()
  }
  t.same(
    bench
      .journaled()
      .map(({ window, connections, connectionMs }) => [window - noon, connections, connectionMs]),
    [
      [0, 1, 0],
      [0, 0, 30_000],
      [0, 0, 29_000],
      [0, 0, 1_000],
      [MINUTE, 0, 1_000],
    ],
  )
  t.end()
})

/** Calls until the journal has failed, and some more. */
function failWith(bench: JournalBench, calls = 5): void {
  for (let call = 0; call < calls; call++) bench.call()
}

async function recovered(bench: JournalBench): Promise<void> {
  await bench.log.first(OVER)
}

const FAILURES: Record<string, (disk: FailingDisk, failing: boolean) => void> = {
  'has no room left': (disk, failing) => {
    disk.room = failing ? 100 : Number.POSITIVE_INFINITY
  },
  'gives errors': (disk, failing) => {
    if (failing) disk.failing.set('write', 'EIO')
    else disk.failing.clear()
  },
  'has become read-only, and gives errors also for what is taken back': (disk, failing) => {
    for (const operation of ['write', 'truncate', 'create'] as const)
      if (failing) disk.failing.set(operation, 'EROFS')
      else disk.failing.clear()
  },
  'has no room, and what is torn cannot be taken back': (disk, failing) => {
    disk.room = failing ? 100 : Number.POSITIVE_INFINITY
    if (failing) disk.failing.set('truncate', 'EIO')
    else disk.failing.clear()
  },
}

for (const [name, set] of Object.entries(FAILURES)) {
  for (const before of [0, 3])
    await test(`a disk that ${name}, after ${before} batches: counted in memory, written later`, async t => {
      const disk = new FailingDisk()
      const bench = JournalBench.forTest(t, { disk })
      failWith(bench, before)
      set(disk, true)
      failWith(bench)
      t.match(await bench.log.first(BEGUN), { level: 'error' })
      t.match(bench.journal.takeFigures(), { unwritten: 1, lost: 0, failingSince: bench.clock.ms })
      t.notOk(bench.journal.refusing)
      disk.calls.length = 0
      failWith(bench)
      t.same(disk.calls, [], 'a disk that fails is not asked by each turn')
      t.ok(bench.calls() >= before && bench.calls() < before + 10, 'whole batches only')
      set(disk, false)
      await recovered(bench)
      const { sequences, corrupt } = bench.read()
      t.same(sequences, upTo(bench.journal.sequence), 'without a gap')
      t.same(corrupt, [])
      t.equal(bench.calls(), before + 10)
      t.equal(bench.log.all(BEGUN).length, 1, 'said once')
      t.match(bench.journal.takeFigures(), { unwritten: 0, lost: 0, failingSince: null })
      bench.call()
      t.equal(bench.calls(), before + 11)
    })
}

await test('a folder that cannot be made is tried until it can', async t => {
  const outside = t.testdir({ journal: 'a file' })
  const bench = JournalBench.forTest(t, { folder: join(outside, 'journal', 'folder') })
  failWith(bench)
  t.match(await bench.log.first(BEGUN), { code: 'ENOTDIR' })
  await sleep(300)
  rmSync(join(outside, 'journal'))
  await recovered(bench)
  t.equal(bench.calls(), 5)
  t.ok(bench.journal.takeFigures().errors >= 2)
})

await test('what a failing start leaves behind is no obstacle', async t => {
  const disk = new FailingDisk()
  const bench = JournalBench.forTest(t, { disk })
  disk.room = 3
  disk.failing.set('remove', 'EIO')
  failWith(bench)
  disk.failing.clear()
  disk.room = Number.POSITIVE_INFINITY
  await recovered(bench)
  t.equal(bench.calls(), 5)
  t.equal(readdirSync(bench.folder).length, 2)
})

await test('a folder that is removed while it is written comes back with all that was in the file', async t => {
  const bench = JournalBench.forTest(t)
  failWith(bench, 10)
  rmSync(bench.folder, { recursive: true })
  failWith(bench, 10)
  bench.journal.check()
  bench.call()
  t.equal(bench.calls(), 21)
  t.same(bench.read().sequences, upTo(21))
  t.equal(bench.log.all('somebody has removed the journal; it is written anew').length, 1)
  bench.journal.check()
  t.equal(bench.log.lines.length, 1)
})

await test('so it does where the folder cannot be made at once', async t => {
  const outside = t.testdir({})
  const bench = JournalBench.forTest(t, { folder: join(outside, 'journal') })
  failWith(bench, 10)
  rmSync(bench.folder, { recursive: true })
  writeFileSync(bench.folder, 'in its place')
  bench.journal.check()
  t.match(await bench.log.first(BEGUN), { code: 'EEXIST' })
  failWith(bench, 10)
  rmSync(bench.folder)
  await recovered(bench)
  t.equal(bench.calls(), 20)
  t.same(bench.read().sequences, upTo(11))
})

await test('with `refuse` it says so exactly as long as it fails', async t => {
  const disk = new FailingDisk()
  const bench = JournalBench.forTest(t, { disk, refuse: true })
  t.notOk(bench.journal.refusing)
  disk.failing.set('create', 'EACCES')
  bench.call()
  t.ok(bench.journal.refusing)
  disk.failing.clear()
  await recovered(bench)
  t.notOk(bench.journal.refusing)
})

await test('minutes that pass while it fails are written with their own minute', async t => {
  const disk = new FailingDisk()
  const bench = JournalBench.forTest(t, { disk })
  const noon = bench.clock.ms
  disk.failing.set('create', 'EACCES')
  for (let minute = 0; minute < 4; minute++) {
    bench.clock.ms = noon + minute * MINUTE
    bench.call()
  }
  t.equal(bench.journal.takeFigures().unwritten, 4)
  disk.failing.clear()
  await recovered(bench)
  t.same(
    bench.journaled().map(({ window, calls }) => [(window - noon) / MINUTE, calls]),
    [
      [0, 1],
      [1, 1],
      [2, 1],
      [3, 1],
    ],
  )
})

await test('what waits is bounded: with too much, usage is billed in a later minute, and never lost', t => {
  const { key } = JournalBench.forTest(t).row()
  const usage = new UnwrittenUsage(0, 3)
  const rows = upTo(2).map(number => new UsageRow(number, key))
  for (let minute = 0; minute < 5; minute++) {
    for (const row of rows) {
      row.counted.calls += 1
      if (!row.unwritten) usage.add(row)
    }
    usage.turnTo((minute + 1) * MINUTE)
  }
  t.equal(usage.size, 5, 'three of minutes that are over, two rows')
  t.equal(usage.postponed, 7)
  t.end()
})

await test('what cannot be written at the end is lost, loudly', async t => {
  const disk = new FailingDisk()
  const bench = JournalBench.forTest(t, { disk })
  bench.call('acme')
  disk.failing.set('write', 'EIO')
  bench.call('acme')
  bench.call('globex')
  bench.journal.close()
  t.match(await bench.log.first('usage is lost: the journal cannot be written'), { records: 2 })
  t.match(bench.journal.takeFigures(), { lost: 2 })
})

await test('a close writes and syncs what there is, also right after a failure', t => {
  const disk = new FailingDisk()
  const bench = JournalBench.forTest(t, { disk, fsync: 60_000 })
  disk.failing.set('create', 'ENOSPC')
  bench.call()
  disk.failing.clear()
  bench.meter.call(bench.row('globex'), 1)
  bench.journal.close()
  t.equal(bench.calls(), 2)
  t.ok(disk.calls.includes('syncNow'))
  bench.call()
  t.equal(bench.calls(), 2, 'closed is closed')
  t.end()
})

async function syncingBench(
  t: Test,
  options: JournalBenchOptions,
): Promise<[JournalBench, FailingDisk]> {
  const disk = new FailingDisk()
  disk.holdSyncs = true
  const bench = JournalBench.forTest(t, { disk, ...options })
  bench.call()
  while (disk.heldSyncs.length === 0) await sleep(1)
  return [bench, disk]
}

await test('syncs go on in the background, never two at once', async t => {
  const [bench, disk] = await syncingBench(t, { fsync: 1, segmentBytes: 200 })
  for (let call = 0; call < 20; call++) bench.call()
  await sleep(20)
  t.equal(disk.heldSyncs.length, 1, 'all files wait for the first')
  t.notOk(disk.calls.includes('close'), 'none is closed under a sync')
  disk.holdSyncs = false
  disk.heldSyncs[0]?.()
  const files = readdirSync(bench.folder).length
  while (disk.calls.filter(call => call === 'close').length < files - 1) await sleep(1)
  t.equal(bench.calls(), 21)
})

await test('a sync that fails is said, and stops nothing', async t => {
  const disk = new FailingDisk()
  disk.failing.set('sync', 'EIO')
  const bench = JournalBench.forTest(t, { disk, fsync: 1 })
  bench.call()
  t.match(await bench.log.first('the journal may not be on the disk'), { level: 'error' })
  bench.call()
  t.equal(bench.calls(), 2)
  t.ok(bench.journal.takeFigures().errors > 0)
})

await test('`off` never syncs, `always` with each batch; one that is not synced is a failure, and stays', async t => {
  const off = new FailingDisk()
  const lazy = JournalBench.forTest(t, { disk: off, fsync: 0 })
  lazy.call()
  lazy.journal.close()
  t.notOk(off.calls.some(call => call.startsWith('sync')))
  const disk = new FailingDisk()
  const strict = JournalBench.forTest(t, { disk, fsync: 'always' })
  strict.call()
  disk.calls.length = 0
  strict.call()
  t.same(disk.calls, ['write', 'syncNow'])
  disk.failing.set('syncNow', 'EIO')
  strict.call()
  t.match(await strict.log.first(BEGUN), { code: 'EIO' })
  t.ok(strict.journal.takeFigures().failingSince)
  t.same(strict.read().sequences, [1, 2, 3], 'somebody may have read it: its number is used')
  disk.failing.clear()
  await recovered(strict)
  strict.call()
  t.same(strict.read().sequences, [1, 2, 3, 4])
  t.equal(strict.calls(), 4)
})

await test('asks after a pause, before it writes, whether there still is somebody to read it', t => {
  let asked = 0
  const orphaned = new Error('the process would have ended')
  let alone = false
  const bench = JournalBench.forTest(t, {
    endIfOrphaned: () => {
      asked += 1
      if (alone) throw orphaned
    },
  })
  bench.call()
  bench.clock.ms += 2_000
  bench.call()
  t.equal(asked, 0, 'not in the middle of traffic')
  bench.clock.ms += 2_001
  bench.call()
  t.equal(asked, 1)
  t.equal(bench.calls(), 3)
  alone = true
  bench.clock.ms += 60_000
  t.throws(() => bench.call(), orphaned)
  t.equal(bench.calls(), 3, 'nothing is written behind the end that somebody may have read')
  alone = false
  t.end()
})

await test('a number that has no place in a batch throws at nobody, and is kept', async t => {
  const bench = JournalBench.forTest(t)
  bench.call('globex')
  const row = bench.row()
  row.counted.calls = 2 ** 32
  bench.meter.ingress(row, 1)
  bench.journal.commit()
  t.match(await bench.log.first(BEGUN), { err: { message: /4294967296 calls/ } })
  row.counted.calls = 7
  await recovered(bench)
  t.equal(bench.calls(), 8)
  t.same(bench.read().sequences, [1, 2])
})

await test('a file that somebody has made read-only on the way is no reason to stop', t => {
  const bench = JournalBench.forTest(t)
  bench.call()
  chmodSync(bench.folder, 0o500)
  bench.call()
  chmodSync(bench.folder, 0o700)
  t.equal(bench.calls(), 2, 'the file is open')
  t.end()
})

await test('files of other journals are never touched', t => {
  const folder = t.testdir({ 'other.1.journal': 'what another has written' })
  const bench = JournalBench.forTest(t, { folder })
  bench.call()
  t.equal(readFileSync(join(folder, 'other.1.journal'), 'utf8'), 'what another has written')
  t.ok(tmpdir())
  t.end()
})

/** The journal on a real file system that is full, or read-only. Needs the right to mount one. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { JournalBench } from '../support/journal-bench.ts'

const OVER = 'the journal is written again'

/** A file system of its own, with the options of `mount`. */
function mounted(t: Test, options: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'amt-disk-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder], { stdio: 'pipe' })
  t.teardown(() => execFileSync('umount', ['-l', folder]))
  return folder
}

/** In a namespace of its own, so that nothing of it stays. */
function mayMount(): boolean {
  const command = ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]
  return spawnSync('unshare', command, { stdio: 'ignore' }).status === 0
}

function remount(folder: string, options: string): void {
  execFileSync('mount', ['-o', `remount,${options}`, folder])
}

const skip = mayMount() ? false : 'mounting a file system needs root (CAP_SYS_ADMIN)'

await test('a disk that fills up and gets room again: nothing is lost, nothing is torn', {
  skip,
}, async t => {
  const folder = mounted(t, 'size=64k')
  const bench = new JournalBench({ folder: join(folder, 'journal') })
  t.teardown(() => bench.journal.close())
  let calls = 0
  for (; !bench.log.lines.some(({ code }) => code === 'ENOSPC'); calls++) bench.call()
  t.ok(calls > 100)
  for (let more = 0; more < 1_000; more++, calls++) bench.call()
  const full = bench.read()
  t.same(full.torn, [0], 'what did not fit is taken back')
  remount(folder, 'size=10m')
  await bench.log.first(OVER)
  bench.call()
  const { sequences, records, corrupt } = bench.read()
  t.same(corrupt, [])
  t.equal(sequences.length, bench.journal.sequence)
  t.equal(
    records.reduce((sum, record) => sum + record.calls, 0),
    calls + 1,
  )
})

await test('a disk that is full from the beginning', { skip }, async t => {
  const folder = mounted(t, 'size=16k')
  const filler = join(folder, 'filler')
  t.throws(() => writeFileSync(filler, Buffer.alloc(64 * 1024)), { code: 'ENOSPC' })
  const bench = new JournalBench({ folder: join(folder, 'journal') })
  t.teardown(() => bench.journal.close())
  bench.call()
  t.equal(bench.calls(), 0)
  rmSync(filler)
  await bench.log.first(OVER)
  t.equal(bench.calls(), 1)
})

await test('a disk that is read-only', { skip }, async t => {
  const folder = mounted(t, 'ro,size=64k')
  const bench = new JournalBench({ folder })
  t.teardown(() => bench.journal.close())
  bench.call()
  t.match(bench.log.lines, [{ code: 'EROFS' }])
  remount(folder, 'rw')
  await bench.log.first(OVER)
  t.equal(bench.calls(), 1)
})

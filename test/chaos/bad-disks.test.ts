/** The fourth proof of docs/metering.md: the mixer away for the whole run, the disk full for part of it, and nothing is lost. */
import { join } from 'node:path'
import { t as root, type Test, test } from 'tap'
import { ChaosRun, chaosFolder } from '../support/chaos/chaos-run.ts'
import { fillDisk, mountDisk, remount, skipWithoutMounts } from '../support/chaos/mounts.ts'
import { FIT_FOR_TESTS, launchPart, MIXER, readUntil } from '../support/running-amt.ts'

const SEED = Number(process.env['CHAOS_SEED'] ?? Date.now() % 2 ** 31)
const DISK_BYTES = 32 * 1024 * 1024
const PART_MS = 1_500

root.setTimeout(240_000)
const skip = await skipWithoutMounts()

/** Load for a while, in which calls must come back. */
async function underLoad(t: Test, run: ChaosRun, when: string): Promise<void> {
  const before = run.counts.sum.received
  await new Promise(resolve => setTimeout(resolve, PART_MS))
  t.ok(run.counts.sum.received > before, `traffic goes on ${when}`)
}

async function settled(t: Test, run: ChaosRun): Promise<void> {
  const ledger = await run.settle(t)
  const { sum, refused } = run.counts
  t.comment(`${sum.received} calls received, ${sum.sent} bytes written, ${sum.got} read`)
  t.same([...refused], [], 'nothing is refused')
  t.same(run.counts.differences(ledger), [], 'nothing is lost, nothing is counted twice')
  if (!t.passing()) t.comment(`kept: ${run.keep({})}`)
}

await test('the mixer away for the whole run, the disk full for part of it', { skip }, async t => {
  t.comment(`CHAOS_SEED=${SEED}`)
  const folder = chaosFolder(t)
  const journal = join(folder, 'journal')
  await mountDisk(t, journal, DISK_BYTES)
  const options = { seed: SEED, note: failWith(t), folder, mixerAway: true }
  await ChaosRun.with(t, options, async run => {
    await underLoad(t, run, 'with a disk, and no mixer')
    t.ok((await run.metric('amt_journal_bytes_pending')) > 0, 'what waits is said')
    const free = fillDisk(journal)
    await failing(t, run, true)
    await underLoad(t, run, 'without room on the disk')
    free()
    await failing(t, run, false)
    await underLoad(t, run, 'with room again')
    await settled(t, run)
  })
})

await test('a start on a full disk, which has room later', { skip }, async t => {
  t.comment(`CHAOS_SEED=${SEED}`)
  const folder = chaosFolder(t)
  const journal = join(folder, 'journal')
  await mountDisk(t, journal, DISK_BYTES)
  const free = fillDisk(journal)
  await ChaosRun.with(t, { seed: SEED, note: failWith(t), folder }, async run => {
    await underLoad(t, run, 'on a full disk')
    await failing(t, run, true)
    free()
    await failing(t, run, false)
    await underLoad(t, run, 'with room on the disk')
    await settled(t, run)
  })
})

await test('a start on a read-only disk is refused, and says so', { skip }, async t => {
  const folder = chaosFolder(t)
  const journal = join(folder, 'journal')
  await mountDisk(t, journal, DISK_BYTES)
  await remount(journal, 'ro')
  const proxy = await launchPart(t, 'proxy', folder, {
    ...FIT_FOR_TESTS,
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
    mixer: MIXER,
  })
  t.equal(await proxy.ended, 1)
  t.match(proxy.lines.join('\n'), /mixer\.journal: .*EROFS/)
})

/** No part ends by itself. */
function failWith(t: Test): (line: string) => void {
  return line => void t.fail(line)
}

async function failing(t: Test, run: ChaosRun, wanted: boolean): Promise<void> {
  const isFailing = await readUntil(
    async () => (await run.metric('amt_journal_failing')) > 0,
    now => now === wanted,
  )
  t.equal(isFailing, wanted, wanted ? 'that it fails is said' : 'that it works again is said')
}

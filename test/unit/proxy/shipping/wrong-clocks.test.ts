/** Windows that the mixer finds too far ahead: whose clock is wrong decides what becomes of them. */
import { readdirSync } from 'node:fs'
import { test } from 'tap'
import { MAX_WINDOW_AHEAD_MS, type UsageReport } from '../../../../src/contracts/usage-report.ts'
import type { ReportResult } from '../../../../src/runtime/mixer-client.ts'
import { ExactMixer } from '../../../support/exact-mixer.ts'
import { JournalWriter } from '../../../support/journal-writer.ts'
import { journalFolder, startShipper, until } from '../../../support/started-shipper.ts'
import { usageOf } from '../../../support/usage.ts'

const DAY_MS = 86_400_000

/** A mixer whose clock is `offBy` ms beside ours, and refuses windows from its future. */
class MixerWithClock extends ExactMixer {
  offBy = 0
  refused = 0

  override async report(report: UsageReport): Promise<ReportResult> {
    const latest = Date.now() + this.offBy + MAX_WINDOW_AHEAD_MS
    if (report.records.every(({ window }) => window <= latest)) return super.report(report)
    this.refused += 1
    await new Promise(resolve => setImmediate(resolve))
    const code = 'window_ahead'
    return { ok: false, reason: 'refused', status: 409, code, detail: code, problems: [code] }
  }
}

function setAsideIn(folder: string): string[] {
  return readdirSync(folder).filter(name => name.endsWith('.refused'))
}

await test('while the clock of the mixer is wrong all is kept, and billed once it is right', async t => {
  const folder = journalFolder(t)
  const journal = new JournalWriter(folder, 'own')
  journal.calls('acme', 20)
  const mixer = new MixerWithClock()
  // As a machine that starts without a clock.
  mixer.offBy = -Date.now()
  const { log } = await startShipper(t, folder, mixer)
  await until(() => mixer.refused > 5)
  t.equal(mixer.calls('acme'), 0)
  t.same(setAsideIn(folder), [])
  t.match(log.all('usage cannot be reported; it is kept and tried again'), [
    { detail: 'window_ahead' },
  ])
  mixer.offBy = 0
  await until(() => mixer.calls('acme') === 20)
  t.same(setAsideIn(folder), [])
})

await test('what our own clock has dated into the future, before it was put right, is set aside alone', async t => {
  const folder = journalFolder(t)
  const journal = new JournalWriter(folder, 'own')
  journal.calls('acme', 20)
  const window = Math.floor(Date.now() / 60_000) * 60_000 + 7 * DAY_MS
  journal.write(usageOf('acme', 5, { window }))
  journal.calls('acme', 20)
  const mixer = new MixerWithClock()
  const { log } = await startShipper(t, folder, mixer)
  await until(() => mixer.calls('acme') === 40)
  await until(() => mixer.durable('own') === 41)
  t.same(setAsideIn(folder), ['own.21.refused'])
  t.match(log.all('the mixer refuses usage for good; it is kept aside and not billed'), [
    { sequence: 21, detail: 'window_ahead' },
  ])
})

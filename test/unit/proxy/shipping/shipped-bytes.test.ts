/** What shipping costs: bytes on the network for very many tenants, and memory for a long backlog. */
import { closeSync, openSync, statSync, writeSync } from 'node:fs'
import { test } from 'tap'
import { crc32c } from '../../../../src/codec/crc32c.ts'
import type { UsageRecord, UsageReport } from '../../../../src/contracts/usage-report.ts'
import { READ_BUFFER_BYTES } from '../../../../src/proxy/shipping/journal-cursor.ts'
import { JournalFolder } from '../../../../src/proxy/shipping/journal-folder.ts'
import { SUM_LIMITS } from '../../../../src/proxy/shipping/report-sum.ts'
import { ShippedJournal } from '../../../../src/proxy/shipping/shipped-journal.ts'
import { ShippingPace } from '../../../../src/proxy/shipping/shipping-pace.ts'
import { UsageAccounts } from '../../../../src/proxy/shipping/usage-accounts.ts'
import { encodeReport } from '../../../../src/runtime/mixer-client.ts'
import { ExactMixer } from '../../../support/exact-mixer.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { JournalWriter } from '../../../support/journal-writer.ts'
import { LogLines } from '../../../support/log-lines.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'
import { journalFolder, startShipper, until } from '../../../support/started-shipper.ts'
import { usageOf } from '../../../support/usage.ts'

const NOON = Date.UTC(2026, 10, 25, 12)
const POLL_MS = 500
/** Request and answer besides the body: their heads, and what TCP adds. */
const HTTP_BYTES = 900

interface Minute {
  /** Tenants with a call and an open connection all the time, and how many of them have a call a second. */
  readonly tenants: number
  readonly callsASecond: number
}

/** A minute of two workers by a clock of its own; answers what went over the network and how late usage was. */
async function shipMinute(
  folder: string,
  { tenants, callsASecond }: Minute,
): Promise<{ bytes: number; reports: number; longestMs: number; calls: number; billed: number }> {
  const random = new SeededRandom(8)
  const clock = new FakeClock(NOON)
  const pace = new ShippingPace()
  const mixer = new ExactMixer()
  const reports: UsageReport[] = []
  let bytes = 0
  const deps = {
    folder: new JournalFolder(folder),
    accounts: new UsageAccounts(),
    logger: new LogLines().logger,
    clock,
    limits: SUM_LIMITS,
    onResult: () => {},
    announce: async (producer: string) =>
      mixer.announce({ proxy: 'proxy-1', producers: [producer] }),
    report: async (report: UsageReport) => {
      const body = await encodeReport(report)
      reports.push(report)
      bytes += body.length + HTTP_BYTES
      const result = await mixer.report(report)
      return result.ok ? { ...result, sent: body.length } : result
    },
  }
  const workers = ['one', 'two'].map(name => ({
    writer: new JournalWriter(folder, name),
    journal: new ShippedJournal(deps, name, true),
    dueAt: 0,
    shippedAt: NOON,
  }))
  const buffer = Buffer.allocUnsafe(READ_BUFFER_BYTES)
  let calls = 0
  let longestMs = 0
  const tenantOf = (index: number): string => `customer-${(index * 7_919) % 100_003}`
  for (; clock.ms < NOON + 60_000; clock.ms += POLL_MS) {
    const window = Math.floor(clock.ms / 60_000) * 60_000
    for (const { writer } of workers) {
      const records: UsageRecord[] = []
      for (let call = 0; call < (callsASecond * POLL_MS) / 2_000; call += 1)
        records.push(callOf(tenantOf(random.below(tenants)), window, random))
      calls += records.length
      write(writer, records)
    }
    if (clock.ms % 1_000 === 0) {
      const all = Array.from({ length: tenants }, (_, index) =>
        connectionOf(tenantOf(index), window),
      )
      for (const [index, { writer }] of workers.entries())
        write(
          writer,
          all.filter((_, tenant) => tenant % 2 === index),
        )
    }
    for (const worker of workers) {
      const { writer, journal } = worker
      const { size } = statSync(writer.path)
      journal.found(
        [{ producer: writer.producer, number: 1, size, modifiedAt: clock.ms }],
        new Set(),
      )
      while (clock.ms >= worker.dueAt) {
        const step = await journal.step(buffer)
        if (step.kind === 'idle') break
        if (step.kind !== 'caught-up') continue
        worker.dueAt = pace.sent(step.sent, clock.ms)
        longestMs = Math.max(longestMs, clock.ms - worker.shippedAt)
        worker.shippedAt = clock.ms
      }
    }
  }
  const inMinute = { bytes, reports: reports.length, longestMs, calls }
  for (const { journal } of workers) while ((await journal.step(buffer)).kind !== 'idle');
  const billed = [...mixer.totals.values()].reduce((sum, totals) => sum + totals.calls, 0)
  return { ...inMinute, billed }
}

/** In batches as they are under load. */
function write(writer: JournalWriter, records: readonly UsageRecord[]): void {
  for (let at = 0; at < records.length; at += 100) writer.write(...records.slice(at, at + 100))
}

function callOf(tenant: string, window: number, random: SeededRandom): UsageRecord {
  return usageOf(tenant, 1, {
    window,
    ingress: random.between(300, 420),
    egress: random.between(200, 20_000),
    callMs: random.between(1, 40),
  })
}

function connectionOf(tenant: string, window: number): UsageRecord {
  const nothing = { calls: 0, ingress: 0, egress: 0, callMs: 0 }
  return usageOf(tenant, 0, {
    ...nothing,
    window,
    operation: 'connection',
    code: 'none',
    connectionMs: 1_000,
  })
}

await test('a proxy with 10,000 active tenants ships at most a megabyte a minute', async t => {
  const minute = await shipMinute(journalFolder(t), { tenants: 10_000, callsASecond: 4_000 })
  t.comment(JSON.stringify(minute))
  t.ok(minute.bytes <= 1_000_000, `${minute.bytes} bytes`)
  t.ok(minute.longestMs <= 31_000, `${minute.longestMs} ms between two reports`)
  t.equal(minute.billed, minute.calls)
})

await test('with 300 active tenants usage goes each second', async t => {
  const minute = await shipMinute(journalFolder(t), { tenants: 300, callsASecond: 1_000 })
  t.comment(JSON.stringify(minute))
  t.ok(minute.bytes <= 1_000_000, `${minute.bytes} bytes`)
  t.ok(minute.longestMs <= 1_000, `${minute.longestMs} ms between two reports`)
  t.equal(minute.billed, minute.calls)
})

/** `batch` under another number. */
function numbered(batch: Buffer, sequence: number): Buffer {
  batch.writeDoubleLE(sequence, 8)
  batch.writeUInt32LE(crc32c(batch, 8, batch.length), 4)
  return batch
}

await test('a backlog of hundreds of megabytes takes no more memory than a small one', async t => {
  const folder = journalFolder(t)
  const writer = new JournalWriter(folder, 'left')
  const records = Array.from({ length: 2_000 }, (_, index) => usageOf(`tenant-${index}`, 1))
  let batches = 0
  let bytes = 0
  for (let segment = 1; segment <= 16; segment += 1) {
    const file = openSync(writer.path, 'a')
    // The first has the keys, all others are the second with another number.
    writeSync(file, numbered(writer.bytes(...records), (batches += 1)))
    const batch = writer.bytes(...records)
    for (let size = 0; size < 16 * 1024 * 1024; size += batch.length)
      bytes += writeSync(file, numbered(batch, (batches += 1)))
    closeSync(file)
    if (segment < 16) writer.roll()
  }
  t.ok(bytes >= 250_000_000)
  const mixer = new ExactMixer()
  mixer.next.push(...Array.from({ length: 8 }, () => 'away' as const))
  const used = (): number => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers
  const before = used()
  let most = 0
  mixer.onReport = () => {
    most = Math.max(most, used() - before)
  }
  const { log } = await startShipper(t, folder, mixer)
  await until(() => mixer.durable('left') === batches)
  t.equal(mixer.calls('tenant-7'), batches)
  t.ok(most < 150_000_000, `${most} bytes`)
  t.ok(mixer.reports.every(({ records: sums }) => sums.length <= 2_000 * 2))
  t.same(
    log.lines.filter(({ level }) => level === 'error').map(({ msg }) => msg),
    ['usage cannot be reported; it is kept and tried again'],
  )
})

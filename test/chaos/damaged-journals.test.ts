/**
 * The third proof of docs/metering.md: journals that a former start has left, cut at every byte, and with every bit of their
 * last batch flipped. The good batches reach the ledger, nothing else does, and what is damaged is kept.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t as root, test } from 'tap'
import {
  BATCH_HEADER_BYTES,
  BatchWriter,
  SEGMENT_HEADER,
} from '../../src/contracts/journal-segment.ts'
import { readUntil, readUsage, startAmt } from '../support/running-amt.ts'
import { tenantEntry } from '../support/start-primary.ts'
import { usageOf } from '../support/usage.ts'

const BATCHES = 3
const PATIENCE_MS = 150_000

root.setTimeout(240_000)

interface Segment {
  readonly bytes: Buffer
  /** Where each batch ends. */
  readonly ends: readonly number[]
}

/** Batch number n has 2^n calls, so that a sum says which batches are in it. */
function segmentOf(tenant: string): Segment {
  const writer = new BatchWriter()
  const parts: Buffer[] = [SEGMENT_HEADER]
  const ends: number[] = []
  let end = SEGMENT_HEADER.length
  for (let number = 0; number < BATCHES; number++) {
    const usage = usageOf(tenant, 2 ** number, { requestMessages: number % 2 })
    // A key of its own in every second batch.
    const row = Math.floor(number / 2)
    if (number % 2 === 0) writer.key(row, usage)
    writer.usage(row, usage)
    const batch = Buffer.from(writer.finish(number + 1))
    parts.push(batch)
    end += batch.length
    ends.push(end)
  }
  return { bytes: Buffer.concat(parts), ends }
}

interface Case {
  readonly tenant: string
  readonly bytes: Buffer
  /** Of the batches that are good. */
  readonly calls: number
  /** What must still be on the disk; of no length where nothing need be. */
  readonly damaged: Buffer
}

const NOTHING = Buffer.alloc(0)
const sumOf = (batches: number): number => 2 ** batches - 1

/** Tenants of all cases have names of one length, and so have their segments. */
function tenantOf(kind: 'cut' | 'bit', number: number): string {
  return `${kind}-${String(number).padStart(5, '0')}`
}

function cutAt(at: number): Case {
  const tenant = tenantOf('cut', at)
  const { bytes, ends } = segmentOf(tenant)
  const calls = sumOf(ends.filter(end => end <= at).length)
  return { tenant, bytes: bytes.subarray(0, at), calls, damaged: NOTHING }
}

function flipped(bit: number): Case {
  const tenant = tenantOf('bit', bit)
  const { bytes, ends } = segmentOf(tenant)
  const at = bit >> 3
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
  // With the header nothing can be trusted.
  const good = at < SEGMENT_HEADER.length ? 0 : ends.filter(end => end <= at).length
  const from = good === 0 ? 0 : (ends[good - 1] ?? 0)
  // A length that is too great looks like a batch whose rest was never written.
  const torn =
    at >= from &&
    at < from + 4 &&
    bytes.readUInt32LE(from) > bytes.length - from - BATCH_HEADER_BYTES
  return { tenant, bytes, calls: sumOf(good), damaged: torn ? NOTHING : bytes.subarray(from) }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}

function allCases(): Case[] {
  const { bytes, ends } = segmentOf(tenantOf('cut', 0))
  const [first = 0, second = 0] = ends
  const last = ends.at(-2) ?? 0
  return [
    ...range(0, bytes.length + 1).map(cutAt),
    ...range(0, SEGMENT_HEADER.length * 8).map(flipped),
    // In the middle: what follows is whole, and still behind a gap.
    ...range(first * 8, second * 8)
      .filter(bit => bit % 11 === 0)
      .map(flipped),
    ...range(last * 8, bytes.length * 8).map(flipped),
  ]
}

/** Everything in a folder and below, as one. */
function contentOf(folder: string): Buffer {
  return Buffer.concat(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => readFileSync(join(entry.parentPath, entry.name))),
  )
}

await test('journals cut at every byte, and with every bit of the last batch flipped: exactly the good batches are billed', async t => {
  const folder = t.testdir({})
  const journal = join(folder, 'journal')
  mkdirSync(journal)
  const cases = allCases()
  for (const { bytes } of cases) writeFileSync(join(journal, `${randomUUID()}.1.journal`), bytes)
  const amt = await startAmt(t, folder, {
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
    tenants: [tenantEntry('acme')],
  })
  const expected = new Map(
    cases.filter(({ calls }) => calls > 0).map(one => [one.tenant, one.calls]),
  )
  const total = [...expected.values()].reduce((sum, calls) => sum + calls, 0)
  const read = async (): Promise<Map<string, number>> =>
    new Map(
      (await readUsage(amt.mixerUrl, ['tenant'])).map(one => [one.tenant ?? '', Number(one.calls)]),
    )
  const sum = (ledger: Map<string, number>): number =>
    [...ledger.values()].reduce((all, calls) => all + calls, 0)
  await readUntil(read, ledger => sum(ledger) >= total, PATIENCE_MS)
  t.equal(await amt.drain(), 0, 'the proxy lives, and ends in good order')
  const ledger = await read()
  const wrong = cases.filter(({ tenant, calls }) => (ledger.get(tenant) ?? 0) !== calls)
  t.comment(
    `${cases.length} journals, ${ledger.size} with good batches, ${sum(ledger)} calls of ${total}`,
  )
  t.same(
    wrong
      .slice(0, 20)
      .map(one => `${one.tenant}: ${ledger.get(one.tenant) ?? 0} calls, not ${one.calls}`),
    [],
  )
  t.equal(ledger.size, expected.size, 'and nobody else is billed')
  const kept = contentOf(folder)
  const gone = cases.filter(({ damaged }) => damaged.length > 0 && !kept.includes(damaged))
  t.same(
    gone.slice(0, 20).map(({ tenant }) => tenant),
    [],
    'what is damaged is still there',
  )
})

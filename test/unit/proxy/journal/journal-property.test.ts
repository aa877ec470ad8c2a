/** What the journal's writer and its reader make of each other, whatever happens to the disk and to the files. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'tap'
import {
  noUsage,
  USAGE_COUNTERS,
  usageRecordSchema,
} from '../../../../src/contracts/usage-report.ts'
import { FailingDisk } from '../../../support/failing-disk.ts'
import { JournalBench } from '../../../support/journal-bench.ts'
import { readJournal } from '../../../support/journal-files.ts'

type Fault = 'none' | 'full' | 'write' | 'truncate' | 'create' | 'remove'

interface Step {
  readonly kind:
    | 'call'
    | 'ingress'
    | 'egress'
    | 'messages'
    | 'open'
    | 'close'
    | 'commit'
    | 'fault'
    | 'unlink'
  readonly tenant: number
  readonly amount: number
  readonly passes: number
  readonly fault: Fault
}

const TENANTS = ['a', 'b', 'c']

const steps = fc.array(
  fc.record<Step>({
    kind: fc.oneof(
      {
        weight: 4,
        arbitrary: fc.constantFrom('call', 'ingress', 'egress', 'messages', 'open', 'close'),
      },
      { weight: 4, arbitrary: fc.constant('commit') },
      { weight: 1, arbitrary: fc.constantFrom('fault', 'unlink') },
    ),
    tenant: fc.nat(TENANTS.length - 1),
    amount: fc.oneof(
      fc.nat(1_000),
      fc.maxSafeNat().map(large => large / 1_000),
    ),
    // Also backwards, by less than a minute and by hours; and forward by a day.
    passes: fc.oneof(
      fc.nat(500),
      fc.nat(120_000),
      fc.constantFrom(-30_000, -3_600_000, 86_400_000),
    ),
    fault: fc.constantFrom('none', 'none', 'full', 'write', 'truncate', 'create', 'remove'),
  }),
  { maxLength: 60 },
)

function setFault(disk: FailingDisk, fault: Fault, amount: number): void {
  disk.failing.clear()
  disk.room = Number.POSITIVE_INFINITY
  if (fault === 'full') disk.room = Math.floor(amount % 300)
  else if (fault === 'truncate') {
    disk.room = Math.floor(amount % 300)
    disk.failing.set('truncate', 'EIO')
  } else if (fault === 'remove') {
    disk.room = 4
    disk.failing.set('remove', 'EIO')
  } else if (fault !== 'none') disk.failing.set(fault, 'EIO')
}

class Scenario {
  readonly disk = new FailingDisk()
  readonly bench: JournalBench
  readonly wanted = noUsage()
  readonly #open = TENANTS.map(() => 0)
  #now: number
  #monotonic: number

  constructor(folder: string, segmentBytes: number) {
    this.bench = new JournalBench({ folder, segmentBytes, disk: this.disk, tenants: TENANTS })
    const { clock } = this.bench
    this.#now = clock.ms
    this.#monotonic = clock.ms
    // The two clocks of a machine: one jumps, the other does not.
    clock.now = () => this.#now
    clock.monotonic = () => this.#monotonic
  }

  run({ kind, tenant, amount, passes, fault }: Step): void {
    const { bench, disk, wanted } = this
    const elapsed = passes < 0 || passes > 3_600_000 ? 0 : passes
    this.#now += passes
    this.#monotonic += elapsed
    wanted.connectionMs += elapsed * this.#open.reduce((all, open) => all + open, 0)
    const row = bench.row(TENANTS[tenant])
    const whole = Math.floor(amount)
    switch (kind) {
      case 'call':
        bench.meter.call(row, whole)
        wanted.calls += 1
        wanted.callMs += whole
        return
      case 'ingress':
      case 'egress':
        bench.meter[kind](row, whole)
        wanted[kind] += whole
        return
      case 'messages':
        bench.meter.messages(row, whole, 1)
        wanted.requestMessages += whole
        wanted.responseMessages += 1
        return
      case 'open':
        bench.meter.open(row)
        wanted.connections += 1
        this.#open[tenant] = (this.#open[tenant] as number) + 1
        return
      case 'close':
        if (this.#open[tenant] === 0) return
        bench.meter.close(row)
        this.#open[tenant] = (this.#open[tenant] as number) - 1
        return
      case 'commit':
        bench.meter.countOpenTime()
        // Not the timer's turn to come: as if it had.
        bench.journal.retryNow()
        return
      case 'fault':
        setFault(disk, fault, amount)
        return
      case 'unlink':
        bench.journal.check()
    }
  }

  finish(): void {
    setFault(this.disk, 'none', 0)
    this.bench.meter.countOpenTime()
    this.bench.journal.close()
  }
}

await test('whatever is counted and whatever the disk does, the journal adds up, without a gap', t => {
  let run = 0
  const folder = t.testdir({})
  fc.assert(
    fc.property(steps, fc.integer({ min: 100, max: 2_000 }), (todo, segmentBytes) => {
      const scenario = new Scenario(join(folder, String(run++)), segmentBytes)
      for (const step of todo) scenario.run(step)
      scenario.finish()
      const { sequences, records, corrupt } = scenario.bench.read()
      if (corrupt.some(why => why !== 'no header')) throw new Error(corrupt.join())
      if (sequences.some((sequence, index) => sequence !== index + 1))
        throw new Error(`sequences ${sequences.join()}`)
      for (const record of records) usageRecordSchema.parse(record)
      for (const counter of USAGE_COUNTERS) {
        const found = records.reduce((total, record) => total + record[counter], 0)
        if (found !== scenario.wanted[counter])
          throw new Error(`${counter}: ${found}, not ${scenario.wanted[counter]}`)
      }
    }),
    { numRuns: 400 },
  )
  t.end()
})

/** A journal of several segments as it stands on disk. */
function segmentsOf(folder: string, segmentBytes: number): Buffer[] {
  const bench = new JournalBench({ folder, segmentBytes })
  for (let call = 0; call < 12; call++) {
    bench.meter.egress(bench.row('globex'), call)
    bench.call(call % 3 === 0 ? 'globex' : 'acme')
  }
  bench.journal.close()
  return Array.from({ length: readdirSync(folder).length }, (_, index) =>
    readFileSync(bench.journal.paths[index] as string),
  )
}

await test('a segment cut at any byte gives all batches before the cut', t => {
  const [whole] = segmentsOf(t.testdir({}), 1_000_000)
  if (whole === undefined) throw new Error('no segment')
  const all = readJournal('a', [whole])
  t.equal(all.sequences.length, 12)
  let former = 0
  for (let length = 0; length <= whole.length; length++) {
    const { sequences, records, corrupt } = readJournal('a', [whole.subarray(0, length)])
    if (corrupt.length > 0) throw new Error(`cut at ${length}: ${corrupt.join()}`)
    if (sequences.length < former || sequences.length > former + 1)
      throw new Error(`cut at ${length}: ${sequences.length} batches behind ${former}`)
    former = sequences.length
    t.same(records, all.records.slice(0, records.length))
  }
  t.equal(former, 12)
  t.end()
})

await test('with any bit of the last batch flipped, nothing but that batch is lost', t => {
  const [whole] = segmentsOf(t.testdir({}), 1_000_000)
  if (whole === undefined) throw new Error('no segment')
  const all = readJournal('a', [whole])
  let start = 0
  for (let length = whole.length - 1; start === 0; length--)
    if (readJournal('a', [whole.subarray(0, length)]).torn[0] === 0) start = length
  t.ok(start > 0 && start < whole.length)
  for (let bit = start * 8; bit < whole.length * 8; bit++) {
    const flipped = Buffer.from(whole)
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    const { sequences, records } = readJournal('a', [flipped])
    if (sequences.length !== 11) throw new Error(`bit ${bit}: ${sequences.length} batches`)
    if (records.length !== all.records.length - 2 && records.length !== all.records.length - 1)
      throw new Error(`bit ${bit}: ${records.length} records`)
  }
  t.end()
})

await test('a torn end of one segment hides nothing of the next', t => {
  const segments = segmentsOf(t.testdir({}), 300)
  t.ok(segments.length > 2)
  const [first, ...others] = segments as [Buffer, ...Buffer[]]
  const { sequences } = readJournal('a', [Buffer.concat([first, Buffer.alloc(9, 7)]), ...others])
  t.same(
    sequences,
    Array.from({ length: 12 }, (_, index) => index + 1),
  )
  t.end()
})

await test('whatever stands in a segment, reading it ends, and makes up no batch', t => {
  const [whole] = segmentsOf(t.testdir({}), 1_000_000)
  if (whole === undefined) throw new Error('no segment')
  const all = readJournal('a', [whole])
  const damage = fc.array(fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) }), {
    minLength: 1,
    maxLength: 5,
  })
  fc.assert(
    fc.property(damage, changes => {
      const damaged = Buffer.from(whole)
      for (const { at, byte } of changes) damaged[at] = byte
      const { records } = readJournal('a', [damaged])
      const same = all.records.slice(0, records.length)
      if (JSON.stringify(records) !== JSON.stringify(same)) throw new Error('made up')
    }),
    { numRuns: 2_000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      const segment = Buffer.concat([whole.subarray(0, 8), bytes])
      if (readJournal('a', [segment]).records.length > 0) throw new Error('made up')
    }),
    { numRuns: 2_000 },
  )
  t.end()
})

/** A usage meter with its journal in a folder of its own, without a worker around it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { UsageRecord } from '../../src/contracts/usage-report.ts'
import type { JournalDisk } from '../../src/proxy/journal/journal-disk.ts'
import { UsageJournal } from '../../src/proxy/journal/usage-journal.ts'
import { UsageMeter, type UsageRow } from '../../src/proxy/metering/usage-meter.ts'
import { TenantDirectory } from '../../src/proxy/tenant/directory.ts'
import { FakeClock } from './fake-clock.ts'
import { journaledIn, type ReadJournal, readJournals } from './journal-files.ts'
import { LogLines } from './log-lines.ts'
import { tenantConfig } from './token-issuer.ts'

export interface JournalBenchOptions {
  readonly segmentBytes?: number
  readonly fsync?: number | 'always'
  readonly refuse?: boolean
  readonly disk?: JournalDisk
  readonly folder?: string
  readonly now?: number
  readonly tenants?: readonly string[]
  readonly endIfOrphaned?: () => void
}

export class JournalBench {
  readonly clock: FakeClock
  readonly log = new LogLines()
  readonly folder: string
  readonly meter: UsageMeter
  readonly journal: UsageJournal
  readonly #directory: TenantDirectory

  constructor(options: JournalBenchOptions = {}) {
    const { folder, now = Date.UTC(2026, 0, 1, 12), tenants = ['acme', 'globex'] } = options
    this.clock = new FakeClock(now)
    this.folder = folder ?? mkdtempSync(join(tmpdir(), 'amt-journal-'))
    this.meter = new UsageMeter(['read'], ['public'], this.clock)
    this.#directory = TenantDirectory.compile(
      tenants.map(id => tenantConfig(id)),
      1,
    )
    this.journal = new UsageJournal(
      {
        folder: this.folder,
        producer: crypto.randomUUID(),
        segmentBytes: options.segmentBytes ?? 16 * 1024 * 1024,
        fsync: options.fsync ?? 0,
        refuse: options.refuse ?? false,
        clock: this.clock,
        logger: this.log.logger,
        disk: options.disk,
        endIfOrphaned: options.endIfOrphaned,
      },
      this.meter.unwritten,
    )
  }

  static forTest(t: Test, options: JournalBenchOptions = {}): JournalBench {
    const bench = new JournalBench(options)
    t.teardown(() => {
      bench.journal.close()
      rmSync(bench.folder, { recursive: true, force: true })
    })
    return bench
  }

  row(tenant = 'acme', operation = 0): UsageRow {
    const found = this.#directory.byId(tenant)
    if (found === undefined) throw new Error(`no tenant ${tenant}`)
    return this.meter.row(found, 0, 'l7', { operation, codeClass: 2 })
  }

  /** Counts a call and commits. */
  call(tenant = 'acme'): void {
    this.meter.call(this.row(tenant), 1)
    this.journal.commit()
  }

  /** What is on disk. */
  read(): ReadJournal {
    const [first, ...others] = readJournals(this.folder)
    if (others.length > 0) throw new Error('more than one journal')
    return first ?? { producer: '', sequences: [], records: [], torn: [], corrupt: [] }
  }

  journaled(): UsageRecord[] {
    return journaledIn(this.folder)
  }

  calls(): number {
    return this.journaled().reduce((sum, { calls }) => sum + calls, 0)
  }
}

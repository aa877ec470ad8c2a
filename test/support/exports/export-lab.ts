/** A ledger with exporters on it, and a clock that the test moves: what the mixer puts together, without a mixer. */
import { join } from 'node:path'
import { Registry } from 'prom-client'
import type { Test } from 'tap'
import { type ExportConfig, exportSchema } from '../../../src/config/export-schema.ts'
import type { UsageRecord } from '../../../src/contracts/usage-report.ts'
import { ChargeLedger } from '../../../src/mixer/charges/charge-ledger.ts'
import { createExports, type Exports } from '../../../src/mixer/exports/create-exports.ts'
import type { Database, SqlRow } from '../../../src/mixer/ledger/database.ts'
import type { PostgresDatabase } from '../../../src/mixer/ledger/postgres-database.ts'
import type { SqliteDatabase } from '../../../src/mixer/ledger/sqlite-database.ts'
import { FakeClock } from '../fake-clock.ts'
import { type OpenLedger, openLedger } from '../ledger/open-ledger.ts'
import { record, report } from '../ledger/reports.ts'
import { LogLines } from '../log-lines.ts'

export const MINUTE = 60_000
export const HOUR = 3_600_000
export const DAY = 24 * HOUR
/** Ten minutes past a full hour. */
export const START: number = Date.UTC(2026, 10, 22, 12, 10)

/** One export of the configuration, with what is left out filled in as the loader would. */
export function exportConfig(settings: Record<string, unknown>): ExportConfig {
  return exportSchema.parse({ name: 'billing', ...settings })
}

export class ExportLab {
  readonly clock: FakeClock
  readonly log = new LogLines('mixer')
  readonly charges: ChargeLedger
  readonly ledger: OpenLedger
  readonly #t: Test
  #sequence = 0

  constructor(t: Test, ledger: OpenLedger, clock: FakeClock) {
    this.#t = t
    this.ledger = ledger
    this.clock = clock
    this.charges = new ChargeLedger(ledger.database as SqliteDatabase | PostgresDatabase, clock)
  }

  /** Exporters as in one mixer, ready for passes; ended with the test. */
  async start(
    configs: readonly ExportConfig[],
    database: Database = this.ledger.database,
  ): Promise<StartedExports> {
    const registry = new Registry()
    const exports = createExports({
      exports: configs,
      serviceName: 'orders',
      database,
      ledger: this.ledger,
      charges: this.charges,
      registry,
      clock: this.clock,
      logger: this.log.logger,
    })
    this.#t.teardown(() => exports.exporter.close())
    return { ...exports, registry, pass: () => exports.exporter.pass() }
  }

  /** Usage comes in, at this moment, through `exports`. Rejects where it was not applied. */
  async report(
    exports: Pick<Exports, 'reports'>,
    ...records: Partial<UsageRecord>[]
  ): Promise<void> {
    const result = await exports.reports.apply(report(this.#sequence + 1, records.map(record)))
    if (result.kind !== 'applied') throw new Error(JSON.stringify(result))
    this.#sequence += 1
  }

  /** Rows of a table of exports. */
  async rows(sql: string): Promise<readonly SqlRow[]> {
    return this.ledger.database.snapshot(session => session.all(sql))
  }

  /** Items by state. */
  async states(): Promise<Record<string, number>> {
    const rows = await this.rows('SELECT state, count(*) AS n FROM export_item GROUP BY state')
    return Object.fromEntries(rows.map(row => [String(row['state']), Number(row['n'])]))
  }

  /** Passes with time going by, until nothing is pending. */
  async settle({ pass }: StartedExports): Promise<void> {
    for (let round = 0; round < 200; round += 1) {
      this.clock.ms += 6 * MINUTE
      await pass()
      const { pending = 0 } = await this.states()
      if (pending === 0 && round > 3) return
    }
    throw new Error('items stay pending')
  }
}

export interface StartedExports extends Exports {
  readonly registry: Registry
  readonly pass: () => Promise<void>
}

export interface LabOptions {
  /** As in the configuration; a new SQLite file by default. */
  readonly url?: string
}

export async function startExportLab(t: Test, options: LabOptions = {}): Promise<ExportLab> {
  const clock = new FakeClock(START)
  const url = options.url ?? `sqlite:${join(t.testdir({}), 'ledger.db')}`
  const ledger = await openLedger(url, clock)
  const lab = new ExportLab(t, ledger, clock)
  return lab
}

/**
 * The proof of exports, for any ledger: reports in any order and as late as they like, a sink that misbehaves, exporters
 * that die at any of their transactions and others that follow. At the end the sink's sum is the ledger's.
 */
import type { Test } from 'tap'
import type { ExportConfig } from '../../../src/config/export-schema.ts'
import type { UsageRecord } from '../../../src/contracts/usage-report.ts'
import type { Database } from '../../../src/mixer/ledger/database.ts'
import { SeededRandom } from '../seeded-random.ts'
import {
  DAY,
  type ExportLab,
  exportConfig,
  HOUR,
  MINUTE,
  START,
  type StartedExports,
  startExportLab,
} from './export-lab.ts'
import { FAULTS, type SinkServer, startSinkServer } from './sink-server.ts'

const TENANTS = ['acme', 'globex', 'initech', 'umbrella']
const OPERATIONS = ['read', 'write']
const METRICS = ['calls', 'ingress', 'egress'] as const
/** Transactions of a process, on average, before it is gone. */
const LIFE = 12

export interface ExactnessOptions {
  /** A new ledger each time. */
  readonly url?: () => Promise<string>
  readonly seeds: readonly number[]
  readonly steps: number
}

type Kind = 'cloudevents' | 'stripe'

export async function testExactness(t: Test, options: ExactnessOptions): Promise<void> {
  for (const seed of options.seeds)
    for (const kind of ['cloudevents', 'stripe'] as const)
      await t.test(`${kind}, seed ${seed}`, async t => {
        const lab = await startExportLab(
          t,
          options.url === undefined ? {} : { url: await options.url() },
        )
        const sink = await startSinkServer(t)
        const run = new Run(lab, sink, { kind, random: new SeededRandom(seed) })
        const { crashes } = await run.steps(options.steps)
        const last = await run.finish()
        t.comment(
          `seed ${seed}: ${sink.requests.length} requests, ${sink.taken.size} events, ${crashes} crashes`,
        )
        t.same(sink.contradictions, [], 'no id ever came with another value')
        const expected = await ledgerSums(lab, kind, last.until)
        t.ok(Object.keys(expected).length > 10, 'there was usage')
        t.same(sinkSums(sink), expected, 'the sink has what the ledger has')
        t.same(await acknowledgedSums(lab), expected, 'and so have our own books')
        t.same(await totals(lab), await totalsOfItems(lab), 'each acknowledgement is counted once')
      })
}

function configOf(kind: Kind, url: string): ExportConfig {
  const since = new Date(START - HOUR).toISOString()
  const common = { kind, since, metrics: [...METRICS], timeout: '150ms' }
  if (kind === 'cloudevents')
    return exportConfig({ ...common, url: `${url}/events`, by: ['operation'], batch: 7 })
  return exportConfig({
    ...common,
    url,
    apiKey: 'sk_test',
    eventNames: { calls: 'amt.calls', ingress: 'amt.ingress', egress: 'amt.egress' },
    customers: Object.fromEntries(TENANTS.map(tenant => [tenant, tenant])),
  })
}

class Run {
  readonly #lab: ExportLab
  readonly #sink: SinkServer
  readonly #random: SeededRandom
  readonly #config: ExportConfig
  #database: MortalDatabase | undefined
  #exports: StartedExports | undefined
  #rival: StartedExports | undefined
  #crashes = 0

  constructor(
    lab: ExportLab,
    sink: SinkServer,
    { kind, random }: { kind: Kind; random: SeededRandom },
  ) {
    this.#lab = lab
    this.#sink = sink
    this.#random = random
    this.#config = configOf(kind, sink.url)
    sink.fault = () => (random.chance(0.5) ? 'none' : random.pick(FAULTS))
  }

  async steps(count: number): Promise<{ crashes: number }> {
    for (let step = 0; step < count; step += 1) {
      const exports = await this.#alive()
      switch (this.#random.weighted({ report: 5, time: 3, pass: 4 })) {
        case 'report':
          await this.#report(this.#someUsage())
          break
        case 'time':
          this.#lab.clock.ms += this.#random.between(1, 40) * MINUTE
          break
        case 'pass':
          await Promise.all([exports.pass(), this.#rivalPass()])
      }
    }
    return { crashes: this.#crashes }
  }

  /** The sink is well again, and time goes by. */
  async finish(): Promise<{ until: number }> {
    this.#sink.fault = () => 'none'
    const exports = await this.#alive()
    this.#database?.live()
    await this.#lab.settle(exports)
    const [row] = await this.#lab.rows('SELECT planned_until FROM export_progress')
    return { until: Number(row?.['planned_until']) }
  }

  /** The exporter that runs; a new one, as of another process, where the last one has died. */
  async #alive(): Promise<StartedExports> {
    if (this.#exports !== undefined && this.#database?.dead === false) return this.#exports
    if (this.#exports !== undefined) {
      this.#crashes += 1
      await this.#exports.exporter.close()
    }
    this.#database = new MortalDatabase(this.#lab.ledger.database)
    this.#exports = await this.#lab.start([this.#config], this.#database)
    this.#database.dieAfter(this.#random.between(1, 2 * LIFE))
    return this.#exports
  }

  /** As a proxy does: again and again, until a mixer has it. */
  async #report(records: readonly Partial<UsageRecord>[]): Promise<void> {
    for (;;) {
      const exports = await this.#alive()
      try {
        return await this.#lab.report(exports, ...records)
      } catch (cause) {
        if (this.#database?.dead !== true) throw cause
      }
    }
  }

  /** Of another mixer on the same ledger, which sometimes is there and gets the lease whenever it can. */
  async #rivalPass(): Promise<void> {
    if (!this.#random.chance(0.3)) return
    this.#rival ??= await this.#lab.start([this.#config])
    await this.#rival.pass()
  }

  #someUsage(): Partial<UsageRecord>[] {
    return Array.from({ length: this.#random.between(1, 6) }, () => {
      // Half of it on time, the rest up to hours late, but never of before the first start.
      const age = this.#random.chance(0.5) ? 0 : this.#random.between(1, 300) * MINUTE
      const time = Math.max(this.#lab.clock.ms - age, START)
      return {
        tenant: this.#random.pick(TENANTS),
        operation: this.#random.pick(OPERATIONS),
        window: Math.floor(time / MINUTE) * MINUTE,
        calls: this.#random.below(5),
        ingress: this.#random.below(1_000),
        egress: this.#random.below(1_000_000),
      }
    })
  }
}

/** The database of a process that dies: what it has committed stays, and nothing more of it comes. */
class MortalDatabase implements Database {
  readonly dialect: Database['dialect']
  readonly #database: Database
  #left = Number.POSITIVE_INFINITY
  dead = false

  constructor(database: Database) {
    this.#database = database
    this.dialect = database.dialect
  }

  /** It dies before or after one of its next transactions. */
  dieAfter(transactions: number): void {
    this.#left = transactions
  }

  live(): void {
    this.#left = Number.POSITIVE_INFINITY
  }

  transaction: Database['transaction'] = async work => {
    this.#step()
    const result = await this.#database.transaction(work)
    this.#step()
    return result
  }

  snapshot: Database['snapshot'] = async work => {
    if (this.dead) throw new Error('the process is gone')
    return this.#database.snapshot(work)
  }

  close = async (): Promise<void> => undefined

  #step(): void {
    this.#left -= 0.5
    if (this.#left <= 0) this.dead = true
    if (this.dead) throw new Error('the process is gone')
  }
}

function keyOf(tenant: string, metric: string, operation: string, window: number): string {
  return `${new Date(window).toISOString()} ${tenant} ${operation} ${metric}`
}

function sinkSums(sink: SinkServer): Record<string, bigint> {
  return sink.sums(({ tenant, name, operation, time }) =>
    keyOf(tenant, name.replace('amt.', ''), operation, time),
  )
}

async function ledgerSums(
  lab: ExportLab,
  kind: Kind,
  until: number,
): Promise<Record<string, bigint>> {
  const usage = await lab.ledger.usage({
    from: START - HOUR,
    to: Math.max(until, START + DAY),
    grain: 'hour',
    dimensions: kind === 'stripe' ? ['tenant'] : ['tenant', 'operation'],
    limit: 100_000,
  })
  if (usage.kind !== 'usage') throw new Error(usage.kind)
  const sums: Record<string, bigint> = {}
  for (const { window = 0, dimensions, sums: found } of usage.groups) {
    const { tenant = '', operation = '' } = dimensions
    for (const metric of METRICS)
      if (found[metric] > 0n && window < until)
        sums[keyOf(tenant, metric, operation, window)] = found[metric]
  }
  return sums
}

async function acknowledgedSums(lab: ExportLab): Promise<Record<string, bigint>> {
  const rows = await lab.rows(
    `SELECT tenant, metric, operation, window_start, sum(value) AS value
     FROM export_item WHERE state = 'acknowledged'
     GROUP BY tenant, metric, operation, window_start`,
  )
  return Object.fromEntries(
    rows.map(row => [
      keyOf(
        String(row['tenant']),
        String(row['metric']),
        String(row['operation']),
        Number(row['window_start']),
      ),
      row['value'] as bigint,
    ]),
  )
}

async function totals(lab: ExportLab): Promise<unknown> {
  return lab.rows(
    `SELECT tenant, metric, operation, acknowledged FROM export_total
     ORDER BY tenant, metric, operation`,
  )
}

async function totalsOfItems(lab: ExportLab): Promise<unknown> {
  return lab.rows(
    `SELECT tenant, metric, operation, sum(value) AS acknowledged FROM export_item
     WHERE state = 'acknowledged'
     GROUP BY tenant, metric, operation ORDER BY tenant, metric, operation`,
  )
}

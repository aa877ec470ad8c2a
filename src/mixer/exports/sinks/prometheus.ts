/**
 * `amt_billed_total` in the metrics of the mixer: what closed windows came to since the export first ran, out of the ledger,
 * so that a restart does not set it back. Every mixer on a ledger shows the same.
 */
import { Counter, type Registry } from 'prom-client'
import type { PrometheusConfig } from '../../../config/export-schema.ts'
import type { Database, SqlRow } from '../../ledger/database.ts'
import type { Sink } from '../item.ts'

const BATCH = 500
/** How often the sums are read anew. */
const REFRESH_MS = 30_000
/** Time series of one export; the rest is summed as "_other". */
const MAX_SERIES = 20_000
const OTHER = '_other'

/** Takes everything: what is acknowledged is what the metrics show. */
export function createPrometheusSink(): Sink {
  return {
    batch: BATCH,
    deliver: async items => items.map(() => ({ kind: 'acknowledged' })),
    close: async () => undefined,
  }
}

interface Series {
  readonly tenant: string
  readonly metric: string
  readonly operation: string
  readonly value: number
}

export class BilledTotals {
  readonly #database: Database
  readonly #exports: readonly PrometheusConfig[]
  readonly #series = new Map<string, readonly Series[]>()
  #readAt = Number.NEGATIVE_INFINITY

  constructor(database: Database, exports: readonly PrometheusConfig[], registry: Registry) {
    this.#database = database
    this.#exports = exports
    if (exports.length === 0) return
    const series = this.#series
    const counter = new Counter({
      name: 'amt_billed_total',
      help: 'Sums of closed windows since the export first ran, by tenant, metric and operation.',
      labelNames: ['export', 'tenant', 'metric', 'operation'],
      registers: [registry],
      collect() {
        this.reset()
        for (const [name, all] of series)
          for (const { value, ...labels } of all) this.inc({ export: name, ...labels }, value)
      },
    })
    counter.reset()
  }

  /** Reads the sums, where they were not read just now. `now` is monotonic. */
  async refresh(now: number): Promise<void> {
    if (this.#exports.length === 0 || now - this.#readAt < REFRESH_MS) return
    for (const { name, tenants } of this.#exports)
      this.#series.set(name, await this.#read(name, tenants))
    this.#readAt = now
  }

  /** The tenants that were there first have their own labels, so that none ever changes from one to the other. */
  async #read(name: string, tenants: number): Promise<readonly Series[]> {
    const named = `SELECT tenant FROM export_total WHERE export = $1
      GROUP BY tenant ORDER BY min(first_at), tenant LIMIT ${tenants}`
    const { own, other } = await this.#database.snapshot(async session => ({
      own: await session.all(
        `SELECT tenant, metric, operation, acknowledged FROM export_total
         WHERE export = $1 AND tenant IN (${named})
         ORDER BY first_at, tenant, metric, operation LIMIT ${MAX_SERIES}`,
        [name],
      ),
      other: await session.all(
        `SELECT '${OTHER}' AS tenant, metric, operation, sum(acknowledged) AS acknowledged
         FROM export_total WHERE export = $1 AND tenant NOT IN (${named})
         GROUP BY metric, operation ORDER BY metric, operation LIMIT ${MAX_SERIES}`,
        [name],
      ),
    }))
    return [...own, ...other].map(seriesOf)
  }
}

function seriesOf(row: SqlRow): Series {
  return {
    tenant: String(row['tenant']),
    metric: String(row['metric']),
    operation: String(row['operation']),
    value: Number(row['acknowledged']),
  }
}

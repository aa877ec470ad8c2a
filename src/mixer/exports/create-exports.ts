/** Puts the exports of a configuration together: what each takes, and its sink. */
import { randomUUID } from 'node:crypto'
import type { Registry } from 'prom-client'
import type { ExportConfig } from '../../config/export-schema.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { ChargeLedger } from '../charges/charge-ledger.ts'
import type { Database } from '../ledger/database.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { chargeSource } from './charge-source.ts'
import { createExportMetrics } from './export-metrics.ts'
import { type ExportSpec, exportSpec } from './export-spec.ts'
import { createExporter, type Exporter } from './exporter.ts'
import type { Sink } from './item.ts'
import { LateUsage } from './late-usage.ts'
import { createCloudEventsSink } from './sinks/cloudevents.ts'
import { createFileSink } from './sinks/file.ts'
import { BilledTotals, createPrometheusSink } from './sinks/prometheus.ts'
import { createStripeSink } from './sinks/stripe.ts'
import { allSources, ledgerSource } from './usage-source.ts'

export interface ExportsDeps {
  readonly exports: readonly ExportConfig[]
  readonly serviceName: string
  readonly database: Database
  readonly ledger: Pick<Ledger, 'apply' | 'usage'>
  readonly charges: Pick<ChargeLedger, 'sums'>
  readonly registry: Registry
  readonly clock: Clock
  readonly logger: Logger
}

export interface Exports {
  readonly exporter: Exporter
  /** The ledger that reports have to go through, so that late ones are noticed. */
  readonly reports: Pick<Ledger, 'apply'>
}

export function createExports(deps: ExportsDeps): Exports {
  const { database, clock, logger, registry } = deps
  const late = new LateUsage(database, clock)
  const prometheus = deps.exports.filter(each => each.kind === 'prometheus')
  const exporter = createExporter({
    database,
    source: allSources(ledgerSource(deps.ledger), chargeSource(deps.charges)),
    exports: deps.exports.map(config => {
      const spec = exportSpec(config, deps.serviceName)
      return { spec, sink: createSink(config, spec, deps) }
    }),
    late,
    billed: new BilledTotals(database, prometheus, registry),
    metrics: createExportMetrics(registry),
    clock,
    logger,
    holder: randomUUID(),
    random: Math.random,
  })
  return { exporter, reports: late.watch(deps.ledger) }
}

function createSink(
  config: ExportConfig,
  spec: ExportSpec,
  { clock, logger }: Pick<ExportsDeps, 'clock' | 'logger'>,
): Sink {
  switch (config.kind) {
    case 'cloudevents':
      return createCloudEventsSink(config, spec, clock)
    case 'stripe':
      return createStripeSink(config, clock, logger)
    case 'file':
      return createFileSink(config, spec)
    case 'prometheus':
      return createPrometheusSink()
  }
}

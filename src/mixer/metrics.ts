/** The mixer's own metrics, in a registry of its own. Labels are closed sets; tenants are in the ledger, not here. */
import { Counter, Histogram, Registry } from 'prom-client'
import type { ErrorCode } from '../core/errors.ts'
import type { ApplyResult } from './ledger/ledger.ts'

export interface MixerMetrics {
  /** A report was given to the ledger, which took `seconds`. */
  reported(result: ApplyResult['kind'], records: number, seconds: number): void
  /** A call was answered with a refusal. */
  refused(reason: ErrorCode): void
  readonly contentType: string
  exposition(): Promise<string>
}

export function createMixerMetrics(): MixerMetrics {
  const registry = new Registry()
  const registers = [registry]
  const reports = new Counter({
    name: 'amt_mixer_reports_total',
    help: 'Reports given to the ledger, by result; "repeated" ones had been applied before and changed nothing.',
    labelNames: ['result'],
    registers,
  })
  const records = new Counter({
    name: 'amt_mixer_records_total',
    help: 'Usage records that were added to the ledger.',
    registers,
  })
  const seconds = new Histogram({
    name: 'amt_mixer_ledger_apply_seconds',
    help: 'How long the ledger took for a report, until it was durable.',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  })
  const refusals = new Counter({
    name: 'amt_mixer_refused_total',
    help: 'Calls that were refused, by error code.',
    labelNames: ['reason'],
    registers,
  })
  const results: readonly ApplyResult['kind'][] = [
    'applied',
    'repeated',
    'gap',
    'overflow',
    'unavailable',
  ]
  for (const result of results) reports.inc({ result }, 0)
  return {
    reported(result, count, duration) {
      reports.inc({ result })
      if (result === 'applied') records.inc(count)
      seconds.observe(duration)
    },
    refused(reason) {
      refusals.inc({ reason })
    },
    contentType: registry.contentType,
    exposition: () => registry.metrics(),
  }
}

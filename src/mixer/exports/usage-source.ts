/** What the ledger holds of one window, as amounts of metrics. */
import type { UsageCounter } from '../../contracts/usage-report.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { isCharge } from './amount.ts'
import type { ExportSpec } from './export-spec.ts'

/** The exact sum of a metric so far. */
export interface MetricSum {
  readonly tenant: string
  readonly metric: string
  /** Empty where the export is not by operation, and for charges. */
  readonly operation: string
  readonly sum: bigint
}

export interface UsageSource {
  /**
   * All sums above 0 of a window, from one moment each; undefined where the ledger no longer keeps the window by itself.
   * Rejects where the ledger cannot be read.
   */
  sums(spec: ExportSpec, window: number): Promise<readonly MetricSum[] | undefined>
}

/** Most tenants, or tenants and operations, in a window. */
const MAX_GROUPS = 1_000_000

/** Counters out of usage records. */
export function ledgerSource(ledger: Pick<Ledger, 'usage'>): UsageSource {
  return {
    async sums(spec, window) {
      const counters = spec.metrics.filter(isCounter)
      if (counters.length === 0) return []
      const usage = await ledger.usage({
        from: window,
        to: window + spec.windowMs,
        dimensions: spec.byOperation ? ['tenant', 'operation'] : ['tenant'],
        limit: MAX_GROUPS,
      })
      if (usage.kind === 'unavailable') throw new Error(usage.detail)
      if (usage.kind === 'expired') return undefined
      if (usage.kind === 'too-many')
        throw new Error(`the window has more than ${MAX_GROUPS} tenants and operations`)
      return usage.groups.flatMap(({ dimensions: { tenant = '', operation = '' }, sums }) =>
        counters
          .map(metric => ({ tenant, metric, operation, sum: sums[metric] }))
          .filter(({ sum }) => sum > 0n),
      )
    },
  }
}

/** The sums of several sources. */
export function allSources(...sources: readonly UsageSource[]): UsageSource {
  return {
    async sums(spec, window) {
      const parts = await Promise.all(sources.map(source => source.sums(spec, window)))
      return parts.includes(undefined) ? undefined : parts.flatMap(part => part ?? [])
    },
  }
}

function isCounter(metric: string): metric is UsageCounter {
  return !isCharge(metric)
}

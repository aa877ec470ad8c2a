/** A mixer in memory that applies each report exactly once, and does to its answers what a test tells it. */
import {
  USAGE_COUNTERS,
  type UsageReport,
  type UsageTotals,
} from '../../src/contracts/usage-report.ts'
import type { ReportResult } from '../../src/runtime/mixer-client.ts'

/** `lost`: applied, but the answer never arrives. `away`: not even applied. `behind`: not applied, and it says so. */
export type Behaviour = 'well' | 'lost' | 'away' | 'refuse' | 'forget' | 'twice' | 'behind'

export class ExactMixer {
  readonly reports: UsageReport[] = []
  readonly totals = new Map<string, UsageTotals>()
  /** For the next reports, in this order; then `well`. */
  readonly next: Behaviour[] = []
  onReport: (report: UsageReport) => void = () => {}
  readonly #durable = new Map<string, number>()

  async report(report: UsageReport): Promise<ReportResult> {
    // What crosses a network is a copy.
    const copy = structuredClone(report)
    this.reports.push(copy)
    const behaviour = this.next.shift() ?? 'well'
    await new Promise(resolve => setImmediate(resolve))
    const result = this.#behave(copy, behaviour)
    this.onReport(copy)
    return result
  }

  #behave(report: UsageReport, behaviour: Behaviour): ReportResult {
    if (behaviour === 'away') return { ok: false, reason: 'unreachable', detail: 'away' }
    // Whether a report is refused depends on its content alone: one that was applied is not refused later.
    const applied = report.sequence <= (this.#durable.get(report.producer) ?? 0)
    if (behaviour === 'refuse' && !applied) return refused(400, 'malformed_message')
    if (behaviour === 'behind') return { ok: true, durable: report.sequence - 1 }
    if (behaviour === 'forget') this.#durable.delete(report.producer)
    const result = this.#apply(report)
    if (behaviour === 'twice') return this.#apply(report)
    return behaviour === 'lost' ? { ok: false, reason: 'unreachable', detail: 'lost' } : result
  }

  #apply({ producer, sequence, records }: UsageReport): ReportResult {
    const durable = this.#durable.get(producer) ?? 0
    if (sequence > durable + 1) return { ...refused(409, 'report_gap'), expected: durable + 1 }
    if (sequence <= durable) return { ok: true, durable }
    for (const record of records) {
      const totals = this.totals.get(record.tenant) ?? zero()
      for (const counter of USAGE_COUNTERS) totals[counter] += record[counter]
      this.totals.set(record.tenant, totals)
    }
    this.#durable.set(producer, sequence)
    return { ok: true, durable: sequence }
  }

  calls(tenant: string): number {
    return this.totals.get(tenant)?.calls ?? 0
  }
}

function refused(status: number, code: string): Extract<ReportResult, { reason: 'refused' }> {
  return { ok: false, reason: 'refused', status, code, detail: code, problems: ['records[0]: bad'] }
}

function zero(): UsageTotals {
  return { calls: 0, ingress: 0, egress: 0, connections: 0, connectionMs: 0, callMs: 0 }
}

/** A mixer in memory that applies each report exactly once, and does to its answers what a test tells it. */
import type { Announcement } from '../../src/contracts/producer-announcement.ts'
import {
  noUsage,
  USAGE_COUNTERS,
  type UsageRecord,
  type UsageReport,
  type UsageTotals,
} from '../../src/contracts/usage-report.ts'
import type { AnnounceResult, ReportResult } from '../../src/runtime/mixer-client.ts'

/** `lost`: applied, but the answer never arrives. `away`: not even applied. `behind`: not applied, and it says so. */
export type Behaviour = 'well' | 'lost' | 'away' | 'refuse' | 'forget' | 'twice' | 'behind'

export class ExactMixer {
  readonly reports: UsageReport[] = []
  readonly announcements: Announcement[] = []
  readonly totals = new Map<string, UsageTotals>()
  /** For the next reports, in this order; then `well`. */
  readonly next: Behaviour[] = []
  onReport: (report: UsageReport) => void = () => {}
  /** Records that it does not take. */
  refuses: (record: UsageRecord) => boolean = () => false
  readonly #durable = new Map<string, number>()

  async announce(announcement: Announcement): Promise<AnnounceResult> {
    this.announcements.push(structuredClone(announcement))
    await new Promise(resolve => setImmediate(resolve))
    const producers = announcement.producers.map(producer => {
      const durable = this.durable(producer)
      this.#durable.set(producer, durable)
      return { producer, durable }
    })
    return { ok: true, producers }
  }

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
    const { producer, first = report.sequence } = report
    // Whether a report is refused depends on its content alone: one that was applied is not refused later.
    const refuses = behaviour === 'refuse' || report.records.some(this.refuses)
    if (refuses && first > this.durable(producer)) return refused(400, 'malformed_message')
    if (behaviour === 'behind') return accepted(first - 1)
    if (behaviour === 'forget') this.#durable.delete(producer)
    const result = this.#apply(report)
    if (behaviour === 'twice') return this.#apply(report)
    return behaviour === 'lost' ? { ok: false, reason: 'unreachable', detail: 'lost' } : result
  }

  #apply({ producer, sequence, first = sequence, records }: UsageReport): ReportResult {
    if (!this.#durable.has(producer)) return refused(409, 'producer_unknown')
    const durable = this.durable(producer)
    if (first > durable + 1) return { ...refused(409, 'report_gap'), expected: durable + 1 }
    if (first <= durable) return accepted(durable)
    for (const record of records) {
      const totals = this.totals.get(record.tenant) ?? noUsage()
      for (const counter of USAGE_COUNTERS) totals[counter] += record[counter]
      this.totals.set(record.tenant, totals)
    }
    this.#durable.set(producer, sequence)
    return accepted(sequence)
  }

  durable(producer: string): number {
    return this.#durable.get(producer) ?? 0
  }

  /** As if restored from a backup that knows `producer` up to a batch, and has none of its usage. */
  restore(producer: string, durable: number): void {
    this.#durable.set(producer, durable)
    this.totals.clear()
  }

  /** As if with a new one. */
  loseLedger(): void {
    this.#durable.clear()
    this.totals.clear()
  }

  calls(tenant: string): number {
    return this.totals.get(tenant)?.calls ?? 0
  }
}

function accepted(durable: number): ReportResult {
  return { ok: true, durable, sent: 100 }
}

function refused(status: number, code: string): Extract<ReportResult, { reason: 'refused' }> {
  return { ok: false, reason: 'refused', status, code, detail: code, problems: ['records[0]: bad'] }
}

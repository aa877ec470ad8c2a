/** Spans in the metrics: those that a collector took, and those that are lost. */
import type { TraceFigures, WorkerReport } from '../ipc.ts'
import type { MetricReader } from './metric-tables.ts'

export class TraceMetrics {
  #figures: TraceFigures = { exported: 0, failed: 0, dropped: 0 }

  record({ traces }: WorkerReport): void {
    const { exported, failed, dropped } = this.#figures
    this.#figures = {
      exported: exported + traces.exported,
      failed: failed + traces.failed,
      dropped: dropped + traces.dropped,
    }
  }

  readers(): MetricReader[] {
    return [
      {
        name: 'amt_trace_spans_total',
        help: 'Spans of calls: exported, failed where the collector did not take them, dropped where too many waited for it.',
        type: 'counter',
        read: () =>
          Object.entries(this.#figures).map(([result, value]) => ({ labels: { result }, value })),
      },
    ]
  }
}

/** Overload in the metrics: what each worker is short of, what it does about it, and whose calls were refused for it. */
import type { OverloadFigures, WorkerReport } from '../ipc.ts'
import { OVERLOAD_STEPS, RESOURCES } from '../overload/load-monitor.ts'
import { SHED_REASONS } from '../overload/tenant-share.ts'
import type { LiveState } from './live-state.ts'
import { CounterTable, type MetricReader, type Sample } from './metric-tables.ts'

export interface OverloadMetricsOptions {
  readonly live: LiveState
  /** The label of a tenant. */
  readonly labelOf: (tenant: string) => string
}

export class OverloadMetrics {
  readonly #options: OverloadMetricsOptions
  readonly #begun = new CounterTable()
  readonly #shed = new CounterTable()

  constructor(options: OverloadMetricsOptions) {
    this.#options = options
    for (const step of OVERLOAD_STEPS) this.#begun.add({ step }, 0)
  }

  record({ overload, shed }: WorkerReport): void {
    for (const { step, begun } of overload.steps) this.#begun.add({ step }, begun)
    for (const { tenant: id, reason, count } of shed) {
      const tenant = this.#options.labelOf(id)
      // All reasons begin with the first one, so that a later first event shows as an increase.
      for (const each of SHED_REASONS)
        this.#shed.add({ tenant, reason: each }, each === reason ? count : 0)
    }
  }

  readers(): MetricReader[] {
    return [
      {
        name: 'amt_overload_step',
        help: 'Whether a worker does so at the moment because it has too much to do: 1 or 0.',
        type: 'gauge',
        read: () =>
          this.#samples(({ steps }) =>
            steps.map(({ step, on }) => ({ labels: { step }, value: on ? 1 : 0 })),
          ),
      },
      {
        name: 'amt_overload_steps_total',
        help: 'How often it came to that.',
        type: 'counter',
        read: () => this.#begun.samples(),
      },
      {
        name: 'amt_overload_pressure',
        help: 'Part in use of what a worker may have: 1 is all of it.',
        type: 'gauge',
        read: () =>
          this.#samples(figures => [
            { labels: { resource: 'cpu' }, value: figures.cpu },
            ...RESOURCES.map(resource => ({ labels: { resource }, value: figures[resource] })),
          ]),
      },
      {
        name: 'amt_overload_queued_calls',
        help: 'Calls that wait for their turn in a busy worker.',
        type: 'gauge',
        read: () => this.#samples(({ queued }) => [{ labels: {}, value: queued }]),
      },
      {
        name: 'amt_shed_total',
        help: 'Calls that were refused because a worker had too much to do.',
        type: 'counter',
        read: () => this.#shed.samples(),
      },
    ]
  }

  /** Of each worker. */
  #samples(samplesOf: (figures: OverloadFigures) => readonly Sample[]): Sample[] {
    return [...this.#options.live.overloads()].flatMap(([worker, figures]) =>
      samplesOf(figures).map(({ labels, value }) => ({ labels: { worker, ...labels }, value })),
    )
  }
}

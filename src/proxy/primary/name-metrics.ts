/** How names of endpoints were resolved, of all workers. */
import type { WorkerReport } from '../ipc.ts'
import { CounterTable, type MetricReader } from './metric-tables.ts'

export class NameMetrics {
  readonly #lookups = new CounterTable()

  constructor() {
    for (const result of ['found', 'unknown', 'down']) this.#lookups.add({ result }, 0)
  }

  record({ names }: WorkerReport): void {
    for (const [result, count] of Object.entries(names)) this.#lookups.add({ result }, count)
  }

  readers(): MetricReader[] {
    return [
      {
        name: 'amt_name_lookups_total',
        help: 'Names of endpoints that were looked up, by what came of it.',
        type: 'counter',
        read: () => this.#lookups.samples(),
      },
    ]
  }
}

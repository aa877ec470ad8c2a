/**
 * What each worker, and the primary beside them, takes of the machine, and how many workers are in which state. A worker is
 * named by its number, which its replacement takes over, so that there are never more series than there may be workers.
 */
import { type ProcessFigures, ProcessWatch } from '../../runtime/process-figures.ts'
import type { ConnectionCount } from '../ipc.ts'
import { CounterTable, type MetricReader, type Sample } from './metric-tables.ts'

/**
 * `serving`; `starting`: a process that does not serve yet; `waiting`: none, since the ones before died soon after their
 * start; `ending`: it accepts no more, and what it has comes to its end.
 */
export const WORKER_STATES = ['serving', 'starting', 'waiting', 'ending'] as const
export type WorkerStateLabel = (typeof WORKER_STATES)[number]

/** Of a report. */
export interface WorkerFigures {
  readonly process: ProcessFigures
  readonly connections: readonly Pick<ConnectionCount, 'opened'>[]
}

export class WorkerMetrics {
  readonly #workers: () => Readonly<Record<WorkerStateLabel, number>>
  readonly #memory = new Map<number, ProcessFigures>()
  readonly #cpu = new CounterTable()
  readonly #connections = new CounterTable()
  readonly #primary: Pick<ProcessWatch, 'take'>
  readonly #primaryCpu = new CounterTable()
  #hangs = 0

  /** `workers`: how many are in each state at this moment. */
  constructor(
    workers: () => Readonly<Record<WorkerStateLabel, number>>,
    primary: Pick<ProcessWatch, 'take'> = new ProcessWatch(),
  ) {
    this.#workers = workers
    this.#primary = primary
  }

  record(slot: number, { process, connections }: WorkerFigures): void {
    const worker = String(slot)
    this.#memory.set(slot, process)
    addCpu(this.#cpu, { worker }, process)
    const opened = connections.reduce((sum, count) => sum + count.opened, 0)
    this.#connections.add({ worker }, opened)
  }

  /** The worker is gone, and its memory with it. What it has used up stays counted. */
  forget(slot: number): void {
    this.#memory.delete(slot)
  }

  /** A worker gave no sign of life. */
  hung(): void {
    this.#hangs += 1
  }

  readers(): MetricReader[] {
    return [
      {
        name: 'amt_worker_hangs_total',
        help: 'Workers that gave no sign of life and were ended for it.',
        type: 'counter',
        read: () => [{ labels: {}, value: this.#hangs }],
      },
      {
        name: 'amt_workers',
        help: 'Workers by what they do at the moment.',
        type: 'gauge',
        read: () => {
          const counts = this.#workers()
          return WORKER_STATES.map(state => ({ labels: { state }, value: counts[state] }))
        },
      },
      {
        name: 'amt_worker_memory_bytes',
        help: 'Memory of a worker: resident is all of it; in use in the heap of V8; external, above all buffers.',
        type: 'gauge',
        read: () =>
          [...this.#memory].flatMap(([worker, figures]) => memorySamples({ worker }, figures)),
      },
      {
        name: 'amt_worker_cpu_seconds_total',
        help: 'CPU time of the workers that have had this number.',
        type: 'counter',
        read: () => this.#cpu.samples(),
      },
      {
        name: 'amt_worker_connections_total',
        help: 'Connections that were routed to a tenant, by the worker that accepted them.',
        type: 'counter',
        read: () => this.#connections.samples(),
      },
      ...this.#primaryReaders(),
    ]
  }

  /** They are read one after the other, so that one look serves both. */
  #primaryReaders(): MetricReader[] {
    return [
      {
        name: 'amt_primary_memory_bytes',
        help: 'Memory of the primary, as for a worker.',
        type: 'gauge',
        read: () => {
          const figures = this.#primary.take()
          addCpu(this.#primaryCpu, {}, figures)
          return memorySamples({}, figures)
        },
      },
      {
        name: 'amt_primary_cpu_seconds_total',
        help: 'CPU time of the primary.',
        type: 'counter',
        read: () => this.#primaryCpu.samples(),
      },
    ]
  }
}

function addCpu(
  table: CounterTable,
  labels: Readonly<Record<string, string>>,
  { cpuUserMs, cpuSystemMs }: ProcessFigures,
): void {
  table.add({ ...labels, mode: 'user' }, cpuUserMs / 1_000)
  table.add({ ...labels, mode: 'system' }, cpuSystemMs / 1_000)
}

function memorySamples(
  labels: Sample['labels'],
  { residentBytes, heapBytes, externalBytes }: ProcessFigures,
): Sample[] {
  return [
    { labels: { ...labels, kind: 'resident' }, value: residentBytes },
    { labels: { ...labels, kind: 'heap' }, value: heapBytes },
    { labels: { ...labels, kind: 'external' }, value: externalBytes },
  ]
}

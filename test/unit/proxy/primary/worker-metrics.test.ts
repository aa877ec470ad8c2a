import { test } from 'tap'
import { WorkerMetrics } from '../../../../src/proxy/primary/worker-metrics.ts'
import type { ProcessFigures } from '../../../../src/runtime/process-figures.ts'

const FIGURES: ProcessFigures = {
  residentBytes: 100,
  heapBytes: 50,
  externalBytes: 20,
  cpuUserMs: 1_500,
  cpuSystemMs: 250,
}
const STATES = { serving: 2, starting: 1, waiting: 0, ending: 3 }

/** `name{label="value"} number`, sorted. */
function read(metrics: WorkerMetrics): string[] {
  return metrics
    .readers()
    .flatMap(({ name, read: samples }) =>
      samples().map(({ labels, value }) => `${name} ${Object.values(labels).join(' ')} ${value}`),
    )
    .toSorted()
}

await test('memory and CPU of each worker and of the primary, and what workers do', async t => {
  const metrics = new WorkerMetrics(() => STATES, { take: () => FIGURES })
  metrics.record(1, { process: FIGURES, connections: [{ opened: 2 }, { opened: 3 }] })
  metrics.record(1, { process: { ...FIGURES, residentBytes: 90 }, connections: [] })
  metrics.hung()
  t.same(read(metrics), [
    'amt_primary_cpu_seconds_total system 0.25',
    'amt_primary_cpu_seconds_total user 1.5',
    'amt_primary_memory_bytes external 20',
    'amt_primary_memory_bytes heap 50',
    'amt_primary_memory_bytes resident 100',
    'amt_worker_connections_total 1 5',
    'amt_worker_cpu_seconds_total 1 system 0.5',
    'amt_worker_cpu_seconds_total 1 user 3',
    'amt_worker_hangs_total  1',
    'amt_worker_memory_bytes 1 external 20',
    'amt_worker_memory_bytes 1 heap 50',
    'amt_worker_memory_bytes 1 resident 90',
    'amt_workers ending 3',
    'amt_workers serving 2',
    'amt_workers starting 1',
    'amt_workers waiting 0',
  ])
})

await test('a worker that is gone holds no memory, and its replacement adds no series', async t => {
  const metrics = new WorkerMetrics(() => STATES, { take: () => FIGURES })
  metrics.record(1, { process: FIGURES, connections: [{ opened: 1 }] })
  metrics.forget(1)
  const names = (): string[] => read(metrics).filter(line => line.startsWith('amt_worker_'))
  t.same(names(), [
    'amt_worker_connections_total 1 1',
    'amt_worker_cpu_seconds_total 1 system 0.25',
    'amt_worker_cpu_seconds_total 1 user 1.5',
    'amt_worker_hangs_total  0',
  ])
  const series = names().length
  for (let life = 0; life < 100; life += 1) {
    metrics.record(1, { process: FIGURES, connections: [{ opened: 1 }] })
    metrics.forget(1)
  }
  t.equal(names().length, series)
  t.ok(names().includes('amt_worker_connections_total 1 101'))
})

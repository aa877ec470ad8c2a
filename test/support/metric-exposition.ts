/** All metrics of a proxy and of a mixer with a series each, as a scrape would find them. */
import { createExportMetrics } from '../../src/mixer/exports/export-metrics.ts'
import { createMixerMetrics } from '../../src/mixer/metrics.ts'
import { DURATION_BUCKETS_MS, type WorkerReport } from '../../src/proxy/ipc.ts'
import { OVERLOAD_STEPS } from '../../src/proxy/overload/load-monitor.ts'
import { ApiKeyExpiry } from '../../src/proxy/primary/api-key-expiry.ts'
import { LiveState } from '../../src/proxy/primary/live-state.ts'
import { ProxyMetrics } from '../../src/proxy/primary/metrics.ts'
import { proxyStateReaders } from '../../src/proxy/primary/proxy-state-metrics.ts'
import { TenantLabels } from '../../src/proxy/primary/tenant-labels.ts'
import { WorkerMetrics } from '../../src/proxy/primary/worker-metrics.ts'
import { FakeClock } from './fake-clock.ts'
import { LogLines } from './log-lines.ts'
import { emptyReport, usageOf } from './usage.ts'

/** A report in which something of everything has happened. */
function busyReport(): WorkerReport {
  const counts = [...DURATION_BUCKETS_MS.map(() => 1), 1]
  const empty = emptyReport()
  return {
    ...empty,
    usage: [usageOf('acme', 3)],
    connections: [{ tenant: 'acme', listener: 'public', routability: 'l7', opened: 2, active: 1 }],
    rejected: [{ reason: 'unroutable', listener: 'public', count: 1 }],
    handshakes: [{ listener: 'public', full: 1, resumed: 1 }],
    handshakeFailures: [{ reason: 'timeout', listener: 'public', count: 1 }],
    limited: [{ tenant: 'acme', limit: 'requests', count: 1 }],
    shed: [{ tenant: 'acme', reason: 'queue_full', count: 1 }],
    callDurations: [{ code: '2xx', counts, sumMs: 10 }],
    upstreamDurations: [{ code: '2xx', counts, sumMs: 9 }],
    endpoints: [{ tenant: 'acme', healthy: 1, ejected: 1 }],
    overload: {
      ...empty.overload,
      steps: OVERLOAD_STEPS.map(step => ({ step, on: false, begun: 1 })),
    },
  }
}

/** In the text format, or in OpenMetrics where `accept` names it. */
export async function proxyExposition(accept = ''): Promise<string> {
  const clock = new FakeClock()
  const live = new LiveState(clock, new TenantLabels(200))
  const workers = new WorkerMetrics(() => ({ serving: 2, starting: 0, waiting: 0, ending: 0 }))
  const others = [
    ...workers.readers(),
    ...new ApiKeyExpiry({ clock, logger: new LogLines().logger }).readers(),
    ...proxyStateReaders(() => ({
      version: '1.2.3',
      service: 'orders',
      draining: false,
      tenants: 2,
    })),
  ]
  const backlog = { bytes: 0, lagMs: 0 }
  const metrics = new ProxyMetrics({ live, others, now: () => 0, backlog: () => backlog })
  const report = busyReport()
  live.record(1, report)
  metrics.record(report)
  workers.record(1, report)
  const expiry = { listener: 'public', kind: 'certificate', name: 'a', serial: '1', at: 1 } as const
  metrics.tls.expiries = [expiry]
  return (await metrics.expose(accept)).body
}

export async function mixerExposition(): Promise<string> {
  const metrics = createMixerMetrics()
  metrics.registered(() => ({ proxies: 1, tenants: 1 }))
  const exports = createExportMetrics(metrics.registry)
  exports.settled('billing', 'acknowledged', 1)
  exports.backlog('billing', [{ state: 'pending', items: 1, oldest: 0 }], 1_000)
  return metrics.exposition()
}

/** Names and types as `# TYPE` says. */
export function metricTypes(exposition: string): Map<string, string> {
  const lines = exposition.matchAll(/^# TYPE (\S+) (\S+)$/gm)
  return new Map([...lines].map(([, name = '', type = '']) => [name, type]))
}

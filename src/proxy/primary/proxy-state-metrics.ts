/** The proxy as a whole in the metrics: what runs here, since when, and for how many tenants. */
import type { MetricReader } from './metric-tables.ts'

export interface ProxyFigures {
  readonly version: string
  readonly service: string
  readonly draining: boolean
  /** In the configuration. */
  readonly tenants: number
}

/** `read` is called at each scrape. */
export function proxyStateReaders(read: () => ProxyFigures): MetricReader[] {
  return [
    {
      name: 'amt_info',
      help: 'Always 1; its labels say what runs here.',
      type: 'gauge',
      read: () => {
        const { version, service } = read()
        return [{ labels: { version, service }, value: 1 }]
      },
    },
    gauge('amt_tenants', 'Tenants of the configuration.', () => read().tenants),
    gauge('amt_draining', 'Whether the proxy is about to end: 1 or 0.', () =>
      Number(read().draining),
    ),
    gauge(
      // As every Prometheus client library names it.
      'process_start_time_seconds',
      'Start of the primary, in seconds since the epoch.',
      () => performance.timeOrigin / 1_000,
    ),
  ]
}

function gauge(name: string, help: string, value: () => number): MetricReader {
  return { name, help, type: 'gauge', read: () => [{ labels: {}, value: value() }] }
}

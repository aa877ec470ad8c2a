/**
 * The proxy's metrics, summed from the reports of the workers. Counters never go down: what a worker has reported stays
 * counted when the worker is gone. Scrapes read the memory of the primary and ask no worker.
 */
import { DURATION_BUCKETS_MS, type WorkerReport } from '../ipc.ts'
import { AccessLogMetrics } from './access-log-metrics.ts'
import { JournalMetrics } from './journal-metrics.ts'
import type { LiveState } from './live-state.ts'
import {
  CounterTable,
  type Exposition,
  Expositions,
  HistogramTable,
  type MetricReader,
} from './metric-tables.ts'
import { OverloadMetrics } from './overload-metrics.ts'
import { ALLOCATION_RESULTS, type AllocationResult } from './quota-relay.ts'
import { TlsMetrics } from './tls-metrics.ts'
import { TokenMetrics } from './token-metrics.ts'
import { TraceMetrics } from './trace-metrics.ts'

/** What became of a usage report: in the ledger, to be sent again, refused for good, or the ledger misses what came before. */
export const REPORT_RESULTS = ['accepted', 'failed', 'refused', 'gap'] as const
export type ReportResultLabel = (typeof REPORT_RESULTS)[number]

export interface MetricsOptions {
  readonly live: LiveState
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Usage that is not yet in the ledger: size on disk, and age of the oldest in ms. */
  readonly backlog: () => { readonly bytes: number; readonly lagMs: number }
  /** Of parts that keep their figures themselves. */
  readonly others?: readonly MetricReader[]
}

export class ProxyMetrics {
  generation = 0
  readonly #options: MetricsOptions
  readonly #calls = new CounterTable()
  readonly #bytes = new CounterTable()
  readonly #connections = new CounterTable()
  readonly #rejected = new CounterTable()
  readonly #limited = new CounterTable()
  /** By tenant and limit, for all tenants; bounded by the configuration. */
  readonly #limitedOf = new Map<string, Record<string, number>>()
  readonly #jwtCache = new CounterTable()
  readonly #reports = new CounterTable()
  readonly #allocations = new CounterTable()
  readonly #callDurations = new HistogramTable(DURATION_BUCKETS_MS)
  readonly #upstreamDurations = new HistogramTable(DURATION_BUCKETS_MS)
  readonly tls: TlsMetrics
  readonly accessLog = new AccessLogMetrics()
  readonly #traces = new TraceMetrics()
  readonly #journal: JournalMetrics
  readonly #tokens: TokenMetrics
  readonly #overload: OverloadMetrics
  readonly #expositions: Expositions
  #configErrors = 0
  #workerRestarts = 0
  #quotaOpened = 0
  #keyUsesDropped = 0
  #fieldValuesForgotten = 0
  #sourcesForgotten = 0

  constructor(options: MetricsOptions) {
    this.#options = options
    for (const result of REPORT_RESULTS) this.#reports.add({ result }, 0)
    for (const result of ALLOCATION_RESULTS) this.#allocations.add({ result }, 0)
    for (const result of ['hit', 'miss', 'reject']) this.#jwtCache.add({ result }, 0)
    this.#journal = new JournalMetrics(options.live)
    this.#tokens = new TokenMetrics(options.live)
    this.#overload = new OverloadMetrics({
      live: options.live,
      labelOf: tenant => this.#labelOf(tenant),
    })
    this.tls = new TlsMetrics({ now: options.now })
    this.#expositions = new Expositions([
      ...this.#trafficReaders(),
      ...this.#stateReaders(),
      ...this.#journal.readers(),
      ...this.#tokens.readers(),
      ...this.#overload.readers(),
      ...(options.others ?? []),
      ...this.tls.readers(),
      ...this.accessLog.readers(),
      ...this.#traces.readers(),
    ])
  }

  record(report: WorkerReport): void {
    for (const {
      tenant: id,
      operation,
      code,
      routability,
      calls,
      ingress,
      egress,
    } of report.usage) {
      const tenant = this.#labelOf(id)
      if (calls > 0) this.#calls.add({ tenant, operation, code, routability }, calls)
      this.#bytes.add({ tenant, direction: 'ingress' }, ingress)
      this.#bytes.add({ tenant, direction: 'egress' }, egress)
    }
    for (const { tenant, routability, listener, opened } of report.connections) {
      this.#connections.add({ tenant: this.#labelOf(tenant), routability, listener }, opened)
    }
    for (const { reason, listener, count } of report.rejected) {
      this.#rejected.add({ reason, listener }, count)
    }
    for (const { tenant, limit, count } of report.limited) {
      this.#limited.add({ tenant: this.#labelOf(tenant), limit }, count)
      const ofTenant = this.#limitedOf.get(tenant) ?? {}
      ofTenant[limit] = (ofTenant[limit] ?? 0) + count
      this.#limitedOf.set(tenant, ofTenant)
    }
    for (const { code, counts, sumMs } of report.callDurations) {
      this.#callDurations.add(code, counts, sumMs)
    }
    for (const { code, counts, sumMs } of report.upstreamDurations) {
      this.#upstreamDurations.add(code, counts, sumMs)
    }
    this.#journal.record(report.journal)
    this.#tokens.record(report.tokenIssuers)
    this.#overload.record(report)
    this.tls.record(report)
    this.accessLog.record(report)
    this.#traces.record(report)
    for (const result of ['hit', 'miss', 'reject'] as const) {
      this.#jwtCache.add({ result }, report.jwtCache[result])
    }
    this.#quotaOpened += report.quotaOpened
    this.#keyUsesDropped += report.keyUsesDropped
    this.#fieldValuesForgotten += report.fieldValuesForgotten
    this.#sourcesForgotten += report.sourcesForgotten
  }

  /** A worker's ask for a part of a quota was answered. */
  allocated(result: AllocationResult): void {
    this.#allocations.add({ result }, 1)
  }

  /** How often a tenant met each of its limits. */
  limitedOf(tenant: string): Readonly<Record<string, number>> {
    return this.#limitedOf.get(tenant) ?? {}
  }

  /** The configuration no longer names these tenants. */
  forget(tenants: readonly string[]): void {
    for (const tenant of tenants) this.#limitedOf.delete(tenant)
  }

  reported(result: ReportResultLabel): void {
    this.#reports.add({ result }, 1)
  }

  configRefused(): void {
    this.#configErrors += 1
  }

  workerRestarted(): void {
    this.#workerRestarts += 1
  }

  /** The metrics in the form that `accept`, the field of the request, asks for. */
  async expose(accept: string): Promise<Exposition> {
    return this.#expositions.expose(accept)
  }

  #labelOf(tenant: string): string {
    return this.#options.live.labels.labelOf(tenant)
  }

  #trafficReaders(): MetricReader[] {
    return [
      counter('amt_calls_total', 'Calls that ended, by class of the answer.', this.#calls),
      counter('amt_bytes_total', 'Application bytes on the side of the clients.', this.#bytes),
      counter(
        'amt_connections_total',
        'Connections that were routed to a tenant.',
        this.#connections,
      ),
      counter('amt_rejected_total', 'Calls and connections that were refused.', this.#rejected),
      counter('amt_limited_total', 'Calls and connections that met a limit.', this.#limited),
      counter('amt_jwt_cache_total', 'Tokens looked up among the verified ones.', this.#jwtCache),
      counter(
        'amt_quota_allocations_total',
        'Parts of quotas that workers asked the mixer for, by what came of it.',
        this.#allocations,
      ),
      counter('amt_reports_total', 'Usage reports sent to the mixer.', this.#reports),
      histogram(
        'amt_call_duration_seconds',
        'From the first byte of a call to the last of its answer.',
        this.#callDurations,
      ),
      histogram(
        'amt_upstream_duration_seconds',
        'From a call’s way to its deployment to the last byte of the answer.',
        this.#upstreamDurations,
      ),
    ]
  }

  #stateReaders(): MetricReader[] {
    const { live, backlog } = this.#options
    return [
      {
        name: 'amt_connections_active',
        help: 'Open connections.',
        type: 'gauge',
        read: () => live.connectionSamples(),
      },
      {
        name: 'amt_upstream_endpoints',
        help: 'Endpoints of deployments that are in use.',
        type: 'gauge',
        read: () => live.endpointSamples(),
      },
      {
        name: 'amt_event_loop_lag_seconds',
        help: 'Longest delay of a worker’s event loop in the last 15 to 30 seconds.',
        type: 'gauge',
        read: () =>
          [...live.lags()].map(([worker, lagMs]) => ({ labels: { worker }, value: lagMs / 1_000 })),
      },
      single(
        'gauge',
        'amt_journal_bytes_pending',
        'Usage on disk that is not yet in the ledger.',
        () => backlog().bytes,
      ),
      single(
        'gauge',
        'amt_journal_lag_seconds',
        'Age of the oldest usage that is not yet in the ledger.',
        () => backlog().lagMs / 1_000,
      ),
      single(
        'counter',
        'amt_quota_open_total',
        'Calls and tunnels that a quota let through only because the mixer could not be asked.',
        () => this.#quotaOpened,
      ),
      single(
        'counter',
        'amt_api_key_uses_dropped_total',
        'Uses of API keys that are missing from their time of last use.',
        () => this.#keyUsesDropped,
      ),
      single(
        'counter',
        'amt_field_values_forgotten_total',
        'Long field values of HTTP/2 that are read anew when they come again, for want of room.',
        () => this.#fieldValuesForgotten,
      ),
      single(
        'counter',
        'amt_sources_forgotten_total',
        'Source addresses that were forgotten for want of room, with some of a rate used up.',
        () => this.#sourcesForgotten,
      ),
      single(
        'gauge',
        'amt_config_generation',
        'Number of the configuration in force; 1 is the one of the start.',
        () => this.generation,
      ),
      single(
        'counter',
        'amt_config_errors_total',
        'Reloads that were refused.',
        () => this.#configErrors,
      ),
      single(
        'counter',
        'amt_worker_restarts_total',
        'Workers that died and were replaced.',
        () => this.#workerRestarts,
      ),
    ]
  }
}

function counter(name: string, help: string, table: CounterTable): MetricReader {
  return { name, help, type: 'counter', read: () => table.samples() }
}

function histogram(name: string, help: string, table: HistogramTable): MetricReader {
  return { name, help, type: 'histogram', read: () => table.samples(name) }
}

type ReadNumber = () => number

function single(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: ReadNumber,
): MetricReader {
  return { name, help, type, read: () => [{ labels: {}, value: value() }] }
}

import { test } from 'tap'
import type { ConnectionCount, JournalFigures, WorkerReport } from '../../../../src/proxy/ipc.ts'
import { DURATION_BUCKETS_MS } from '../../../../src/proxy/ipc.ts'
import { LiveState } from '../../../../src/proxy/primary/live-state.ts'
import { ProxyMetrics } from '../../../../src/proxy/primary/metrics.ts'
import { TenantLabels } from '../../../../src/proxy/primary/tenant-labels.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { emptyReport, usageOf } from '../../../support/usage.ts'

function setUp(tenants = 200) {
  const clock = new FakeClock()
  const live = new LiveState(clock, new TenantLabels(tenants))
  const backlog = { bytes: 0, lagMs: 0 }
  const metrics = new ProxyMetrics({ live, now: () => 0, backlog: () => backlog })
  return { clock, live, metrics, backlog }
}

/** Every line of the text format, parsed strictly: what does not parse fails the test. */
async function scrape(metrics: ProxyMetrics): Promise<Map<string, number>> {
  const { body } = await metrics.expose('text/plain')
  const series = new Map<string, number>()
  for (const line of body.trimEnd().split('\n')) {
    if (line === '' || /^# (HELP|TYPE) amt_[a-z_]+ \S/.test(line)) continue
    const match = /^(amt_[a-z_]+(?:\{(?:[a-z]+="[^"\\\n]*",?)+\})?) (\S+)$/.exec(line)
    if (match?.[1] === undefined || series.has(match[1])) throw new Error(`not a sample: ${line}`)
    series.set(match[1], Number(match[2]))
  }
  return series
}

await test('every pinned metric is announced from the beginning', async t => {
  const { body } = await setUp().metrics.expose('')
  const types: Record<string, string> = {
    amt_calls_total: 'counter',
    amt_bytes_total: 'counter',
    amt_connections_total: 'counter',
    amt_connections_active: 'gauge',
    amt_rejected_total: 'counter',
    amt_call_duration_seconds: 'histogram',
    amt_upstream_duration_seconds: 'histogram',
    amt_limited_total: 'counter',
    amt_upstream_endpoints: 'gauge',
    amt_jwt_cache_total: 'counter',
    amt_journal_bytes_pending: 'gauge',
    amt_journal_lag_seconds: 'gauge',
    amt_reports_total: 'counter',
    amt_journal_failing: 'gauge',
    amt_journal_unwritten_records: 'gauge',
    amt_journal_bytes_total: 'counter',
    amt_journal_write_errors_total: 'counter',
    amt_journal_lost_records_total: 'counter',
    amt_journal_postponed_records_total: 'counter',
    amt_config_generation: 'gauge',
    amt_config_errors_total: 'counter',
    amt_worker_restarts_total: 'counter',
    amt_event_loop_lag_seconds: 'gauge',
    amt_overload_step: 'gauge',
    amt_overload_steps_total: 'counter',
    amt_overload_pressure: 'gauge',
    amt_overload_queued_calls: 'gauge',
    amt_shed_total: 'counter',
  }
  for (const [name, type] of Object.entries(types)) {
    t.ok(body.includes(`# TYPE ${name} ${type}\n`), name)
  }
})

await test('overload: what each worker does and is short of at the moment, and whose calls were refused for it', async t => {
  const { metrics, live } = setUp(1)
  const { overload } = emptyReport()
  const report: WorkerReport = {
    ...emptyReport(),
    overload: {
      ...overload,
      steps: [
        { step: 'fair', on: true, begun: 1 },
        { step: 'refuse_calls', on: false, begun: 2 },
      ],
      cpu: 0.97,
      memory: 0.5,
      queued: 12,
    },
    shed: [
      { tenant: 'acme', reason: 'queue_full', count: 3 },
      { tenant: 'globex', reason: 'heaviest', count: 4 },
    ],
  }
  for (const worker of [1, 2]) {
    live.record(worker, report)
    metrics.record(report)
  }
  live.forget(2)
  const series = await scrape(metrics)
  t.equal(series.get('amt_overload_step{worker="1",step="fair"}'), 1)
  t.equal(series.get('amt_overload_step{worker="1",step="refuse_calls"}'), 0)
  t.equal(series.get('amt_overload_step{worker="2",step="fair"}'), undefined)
  t.equal(series.get('amt_overload_steps_total{step="refuse_calls"}'), 4)
  t.equal(series.get('amt_overload_steps_total{step="refuse_connections"}'), 0)
  t.equal(series.get('amt_overload_pressure{worker="1",resource="cpu"}'), 0.97)
  t.equal(series.get('amt_overload_pressure{worker="1",resource="memory"}'), 0.5)
  t.equal(series.get('amt_overload_queued_calls{worker="1"}'), 12)
  t.equal(series.get('amt_shed_total{tenant="acme",reason="queue_full"}'), 6)
  t.equal(series.get('amt_shed_total{tenant="acme",reason="heaviest"}'), 0)
  t.equal(series.get('amt_shed_total{tenant="_other",reason="heaviest"}'), 8)
})

await test('reports of workers are summed', async t => {
  const { metrics } = setUp()
  for (let worker = 1; worker <= 2; worker += 1) {
    metrics.record({
      ...emptyReport(),
      usage: [
        usageOf('acme', 3, { operation: 'read', code: '4xx' }),
        usageOf('acme', 0, { ingress: 5 }),
        usageOf('acme', 2, { operation: 'place', code: 'grpc-14' }),
      ],
      rejected: [{ reason: 'unroutable', listener: 'public', count: 2 }],
      limited: [{ tenant: 'acme', limit: 'requests', count: 4 }],
      jwtCache: { hit: 1, miss: 2, reject: 3 },
      fieldValuesForgotten: 12,
      sourcesForgotten: 13,
      tokenIssuers: {
        live: 7,
        closed: { idle: 1, full: 2, changed: 3 },
        fetches: { ok: 4, failed: 5, limited: 6 },
        unchecked: { worker: 7, source: 8, issuer: 9, keys: 10 },
        refused: { ...emptyReport().tokenIssuers.refused, audience: 6 },
        dropped: 11,
      },
    })
  }
  metrics.reported('accepted')
  const series = await scrape(metrics)
  t.equal(
    series.get('amt_calls_total{tenant="acme",operation="read",code="4xx",routability="l7"}'),
    6,
  )
  t.equal(
    series.get('amt_calls_total{tenant="acme",operation="place",code="grpc-14",routability="l7"}'),
    4,
  )
  t.equal(series.get('amt_bytes_total{tenant="acme",direction="ingress"}'), 110)
  t.equal(series.get('amt_bytes_total{tenant="acme",direction="egress"}'), 1_000)
  t.equal(series.get('amt_rejected_total{reason="unroutable",listener="public"}'), 4)
  t.equal(series.get('amt_limited_total{tenant="acme",limit="requests"}'), 8)
  t.equal(series.get('amt_jwt_cache_total{result="reject"}'), 6)
  t.equal(series.get('amt_jwt_issuers_closed_total{reason="full"}'), 4)
  t.equal(series.get('amt_jwks_fetches_total{result="limited"}'), 12)
  t.equal(series.get('amt_jwt_unchecked_total{reason="source"}'), 16)
  t.equal(series.get('amt_jwt_refused_total{fault="audience"}'), 12)
  t.equal(series.get('amt_jwt_cache_dropped_total'), 22)
  t.equal(series.get('amt_field_values_forgotten_total'), 24)
  t.equal(series.get('amt_sources_forgotten_total'), 26)
  t.equal(series.get('amt_reports_total{result="accepted"}'), 1)
  t.equal(series.get('amt_reports_total{result="refused"}'), 0, 'exists before it happens')
  t.same(metrics.limitedOf('acme'), { requests: 8 })
  t.notOk(
    [...series.keys()].some(name => name.includes('operation="other"')),
    'no calls, no series',
  )
})

await test('buckets are cumulative, in seconds, and agree with count and sum', async t => {
  const { metrics } = setUp()
  const counts = [...DURATION_BUCKETS_MS.map(() => 1), 2]
  metrics.record({ ...emptyReport(), callDurations: [{ code: '2xx', counts, sumMs: 1_500 }] })
  metrics.record({ ...emptyReport(), callDurations: [{ code: '2xx', counts, sumMs: 500 }] })
  const series = await scrape(metrics)
  const name = 'amt_call_duration_seconds'
  t.equal(series.get(`${name}_bucket{le="0.001",code="2xx"}`), 2)
  t.equal(series.get(`${name}_bucket{le="0.0025",code="2xx"}`), 4)
  t.equal(series.get(`${name}_bucket{le="30",code="2xx"}`), DURATION_BUCKETS_MS.length * 2)
  t.equal(series.get(`${name}_bucket{le="+Inf",code="2xx"}`), DURATION_BUCKETS_MS.length * 2 + 4)
  t.equal(series.get(`${name}_count{code="2xx"}`), DURATION_BUCKETS_MS.length * 2 + 4)
  t.equal(series.get(`${name}_sum{code="2xx"}`), 2)
})

await test('the first tenants get a label and keep it, the others are summed', async t => {
  const { metrics } = setUp(2)
  for (const tenant of ['a', 'b', 'c', 'd', 'a']) {
    metrics.record({ ...emptyReport(), usage: [usageOf(tenant, 1)] })
  }
  const series = await scrape(metrics)
  const calls = (tenant: string) =>
    series.get(`amt_calls_total{tenant="${tenant}",operation="other",code="2xx",routability="l7"}`)
  t.same([calls('a'), calls('b'), calls('_other'), calls('c')], [2, 1, 2, undefined])
})

await test('no tenant gets a label where none may', async t => {
  const { metrics } = setUp(0)
  metrics.record({ ...emptyReport(), usage: [usageOf('a', 1)] })
  const { body } = await metrics.expose('')
  t.notOk(body.includes('tenant="a"'))
})

const open = (tenant: string, opened: number, active: number): ConnectionCount => ({
  tenant,
  listener: 'public',
  routability: 'l7',
  opened,
  active,
})

await test('gauges of a worker go with it, counters stay', async t => {
  const { metrics, live } = setUp(1)
  const report = (slot: number, connections: ConnectionCount[]): void => {
    live.record(slot, { ...emptyReport(), connections })
    metrics.record({ ...emptyReport(), connections })
  }
  report(1, [open('a', 3, 3), open('b', 1, 1)])
  report(2, [open('a', 2, 2), open('c', 1, 1)])
  report(1, [open('a', 0, 1)])
  const labels = 'tenant="a",routability="l7",listener="public"'
  const other = labels.replace('"a"', '"_other"')
  let series = await scrape(metrics)
  t.equal(series.get(`amt_connections_active{${labels}}`), 3)
  t.equal(series.get(`amt_connections_active{${other}}`), 2)
  t.equal(live.activeOf('a'), 3)
  live.forget(2)
  series = await scrape(metrics)
  t.equal(series.get(`amt_connections_active{${labels}}`), 1)
  t.equal(series.get(`amt_connections_active{${other}}`), 1)
  t.equal(series.get(`amt_connections_total{${labels}}`), 5)
  report(1, [open('a', 0, 0)])
  series = await scrape(metrics)
  t.equal(series.get(`amt_connections_active{${labels}}`), 0, 'zero, not absent')
})

await test('of endpoints the worst opinion counts, until the tenant is gone', async t => {
  const { metrics, live } = setUp()
  live.record(1, { ...emptyReport(), endpoints: [{ tenant: 'a', healthy: 2, ejected: 0 }] })
  live.record(2, { ...emptyReport(), endpoints: [{ tenant: 'a', healthy: 1, ejected: 1 }] })
  const series = await scrape(metrics)
  t.equal(series.get('amt_upstream_endpoints{tenant="a",state="healthy"}'), 1)
  t.equal(series.get('amt_upstream_endpoints{tenant="a",state="ejected"}'), 1)
  live.forgetEndpointsOf('a')
  t.notOk([...(await scrape(metrics)).keys()].some(name => name.includes('endpoints')))
})

await test('a peak of the lag is seen by a scrape that comes later, and then forgotten', async t => {
  const { metrics, live, clock } = setUp()
  const lag = async () => (await scrape(metrics)).get('amt_event_loop_lag_seconds{worker="1"}')
  live.record(1, { ...emptyReport(), eventLoopLagMs: 250 })
  live.record(1, { ...emptyReport(), eventLoopLagMs: 1 })
  t.equal(await lag(), 0.25)
  clock.ms += 15_000
  t.equal(await lag(), 0.25)
  clock.ms += 15_000
  t.equal(await lag(), 0)
  live.forget(1)
  t.equal(await lag(), undefined)
})

await test('single values come from where they are kept', async t => {
  const { metrics, backlog } = setUp()
  Object.assign(backlog, { bytes: 10, lagMs: 1_500 })
  metrics.generation = 3
  metrics.configRefused()
  metrics.workerRestarted()
  const series = await scrape(metrics)
  t.equal(series.get('amt_journal_bytes_pending'), 10)
  t.equal(series.get('amt_journal_lag_seconds'), 1.5)
  t.equal(series.get('amt_config_generation'), 3)
  t.equal(series.get('amt_config_errors_total'), 1)
  t.equal(series.get('amt_worker_restarts_total'), 1)
})

await test('a journal that fails shows while it does, and what it cost stays', async t => {
  const { metrics, live } = setUp()
  const report = (slot: number, changes: Partial<JournalFigures>): void => {
    const given = { ...emptyReport(), journal: { ...emptyReport().journal, ...changes } }
    live.record(slot, given)
    metrics.record(given)
  }
  report(1, { bytes: 100, errors: 2, unwritten: 5, failingSince: 2_000 })
  report(2, { bytes: 10, errors: 1, unwritten: 7, failingSince: 1_000, postponed: 4 })
  report(3, { unwritten: 1 })
  t.same(live.journals(), { failing: 2, since: 1_000, unwritten: 12 })
  let series = await scrape(metrics)
  t.equal(series.get('amt_journal_failing'), 2)
  t.equal(series.get('amt_journal_unwritten_records'), 12)
  report(1, {})
  report(2, { lost: 3 })
  live.forget(2)
  series = await scrape(metrics)
  t.equal(series.get('amt_journal_failing'), 0)
  t.equal(series.get('amt_journal_unwritten_records'), 0)
  t.equal(series.get('amt_journal_bytes_total'), 110)
  t.equal(series.get('amt_journal_write_errors_total'), 3)
  t.equal(series.get('amt_journal_postponed_records_total'), 4)
  t.equal(series.get('amt_journal_lost_records_total'), 3)
})

await test('OpenMetrics names counters without their suffix and ends as it must, in any order of scrapes', async t => {
  const { metrics } = setUp()
  metrics.record({ ...emptyReport(), usage: [usageOf('a', 1)] })
  for (let round = 0; round < 2; round += 1) {
    const { body } = await metrics.expose('application/openmetrics-text')
    t.match(body, /^# TYPE amt_calls counter\namt_calls_total\{tenant="a".*\} 1$/m)
    t.ok(body.endsWith('# EOF\n'))
    t.match((await metrics.expose('*/*')).body, /^# TYPE amt_calls_total counter$/m)
  }
})

/** Metrics with very many tenants at work: neither a scrape nor its answer grows with them. */
import { test } from 'tap'
import { LiveState } from '../../../../src/proxy/primary/live-state.ts'
import { ProxyMetrics } from '../../../../src/proxy/primary/metrics.ts'
import { TenantLabels } from '../../../../src/proxy/primary/tenant-labels.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { emptyReport, usageOf } from '../../../support/usage.ts'

const LABELS = 200
const MANY = 100_000
const SCRAPES = 15

/** All tenants have called, hold a connection in each of two workers, and have endpoints. */
function atWork(tenants: number) {
  const live = new LiveState(new FakeClock(), new TenantLabels(LABELS))
  const backlog = { bytes: 0, lagMs: 0 }
  const metrics = new ProxyMetrics({ live, now: () => 0, backlog: () => backlog })
  const ids = Array.from({ length: tenants }, (_, index) => `tenant-${index}`)
  for (const worker of [1, 2]) {
    const report = {
      ...emptyReport(),
      usage: ids.map(id => usageOf(id, 1)),
      connections: ids.map(tenant => {
        return { tenant, listener: 'public', routability: 'l7', opened: 1, active: 1 } as const
      }),
      limited: ids.map(tenant => ({ tenant, limit: 'requests', count: 1 })),
      endpoints: ids.map(tenant => ({ tenant, healthy: 2, ejected: 1 })),
    }
    live.record(worker, report)
    metrics.record(report)
  }
  return { live, metrics }
}

/** Of several scrapes the one that took least: what it takes without the noise of the machine. */
async function leastMs(metrics: ProxyMetrics): Promise<number> {
  const times: number[] = []
  for (let scrape = 0; scrape < SCRAPES; scrape += 1) {
    const started = performance.now()
    await metrics.expose('')
    times.push(performance.now() - started)
  }
  return Math.min(...times)
}

const valueOf = (body: string, series: string): number =>
  Number(
    body
      .split('\n')
      .find(line => line.startsWith(`${series} `))
      ?.slice(series.length),
  )

await test('a scrape of 100,000 tenants at work takes no longer and says no more than one of 1,000', async t => {
  const few = atWork(1_000)
  const many = atWork(MANY)
  const { body } = await many.metrics.expose('')
  t.ok(body.length < 1.2 * (await few.metrics.expose('')).body.length, `${body.length} bytes`)
  const [withFew, withMany] = [await leastMs(few.metrics), await leastMs(many.metrics)]
  t.comment(
    `a scrape: ${withFew.toFixed(2)} ms with 1,000 tenants, ${withMany.toFixed(2)} with 100,000`,
  )
  // With a look at each tenant it were a hundred times as much.
  t.ok(withMany < 5 * withFew, `${withFew} ms and ${withMany} ms`)
})

await test('those without a label are summed exactly, also when a worker or a tenant goes', async t => {
  const { live, metrics } = atWork(1_000)
  const active = (tenant: string) =>
    `amt_connections_active{tenant="${tenant}",routability="l7",listener="public"}`
  const healthy = (tenant: string) => `amt_upstream_endpoints{tenant="${tenant}",state="healthy"}`
  let { body } = await metrics.expose('')
  t.equal(valueOf(body, active('tenant-0')), 2)
  t.equal(valueOf(body, active('_other')), 2 * (1_000 - LABELS))
  t.equal(valueOf(body, healthy('tenant-0')), 2, 'both workers speak of the same endpoints')
  t.equal(valueOf(body, healthy('_other')), 2 * (1_000 - LABELS))
  live.forget(2)
  body = (await metrics.expose('')).body
  t.equal(valueOf(body, active('tenant-0')), 1)
  t.equal(valueOf(body, active('_other')), 1_000 - LABELS)
  t.equal(valueOf(body, healthy('_other')), 2 * (1_000 - LABELS))
  live.forgetEndpointsOf('tenant-999')
  body = (await metrics.expose('')).body
  t.equal(valueOf(body, healthy('_other')), 2 * (1_000 - LABELS - 1))
  live.forget(1)
  live.forget(1)
  body = (await metrics.expose('')).body
  t.equal(valueOf(body, active('_other')), 0, 'zero, not absent')
  t.notOk(body.includes('amt_upstream_endpoints{'))
})

await test('what a tenant met is forgotten when the configuration no longer names it', t => {
  const { metrics } = atWork(2)
  t.same(metrics.limitedOf('tenant-1'), { requests: 2 })
  metrics.forget(['tenant-1'])
  t.same(metrics.limitedOf('tenant-1'), {})
  t.same(metrics.limitedOf('tenant-0'), { requests: 2 })
  t.end()
})

/** `GET /top`: order, filter, totals, limits and refusals; and what very many tenants make of it. */
import { test } from 'tap'
import { configSchema } from '../../../../src/config/schema.ts'
import { type Top, topSchema } from '../../../../src/contracts/top.ts'
import type { WorkerReport } from '../../../../src/proxy/ipc.ts'
import type { AdminAnswer } from '../../../../src/proxy/primary/admin-routing.ts'
import { LiveState } from '../../../../src/proxy/primary/live-state.ts'
import { TenantLabels } from '../../../../src/proxy/primary/tenant-labels.ts'
import { topRoutes } from '../../../../src/proxy/primary/top-routes.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { emptyReport, usageOf } from '../../../support/usage.ts'

const CONFIG = configSchema.parse({
  service: { name: 'orders' },
  listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
  mixer: { token: 'a token for tests only' },
  limits: { requests: '100/s' },
  tenants: [
    { id: 'acme', deployment: { endpoints: ['http://127.0.0.1:9'] }, limits: { egress: '1KiB/s' } },
    { id: 'globex', deployment: { endpoints: ['http://127.0.0.1:9'] } },
  ],
})

function setUp() {
  const clock = new FakeClock()
  const live = new LiveState(clock, new TenantLabels(1))
  const tenants = new Map(CONFIG.tenants.map(tenant => [tenant.id, tenant]))
  const [route] = topRoutes({
    phase: () => 'ready',
    workers: () => ({ ready: 1, count: 2 }),
    config: () => CONFIG,
    tenants: { size: tenants.size, tenant: id => tenants.get(id) },
    live,
  })
  const ask = (query: string): AdminAnswer =>
    route?.answer({
      id: '',
      query: new URLSearchParams(query),
      accept: '',
      body: '',
      authorized: true,
      signal: new AbortController().signal,
    }) as AdminAnswer
  return {
    ask,
    top: (query = ''): Top => topSchema.parse(JSON.parse(ask(query).body as string)),
    report: (changes: Partial<WorkerReport>): void => {
      const report = { ...emptyReport(), ...changes }
      live.record(1, report)
    },
  }
}

const open = (tenant: string, active: number) =>
  ({ tenant, listener: 'public', routability: 'l7', opened: active, active }) as const

function busy() {
  const running = setUp()
  running.report({
    usage: [
      usageOf('acme', 10, { ingress: 1, egress: 2_048, callMs: 50 }),
      usageOf('globex', 30, { ingress: 5_000, egress: 1, callMs: 30 }),
      usageOf('removed', 1, { code: '5xx', ingress: 2, egress: 2, callMs: 100 }),
    ],
    limited: [{ tenant: 'globex', limit: 'requests', count: 3 }],
    connections: [open('idle', 9), open('acme', 2)],
    endpoints: [{ tenant: 'acme', healthy: 1, ejected: 1 }],
  })
  return running
}

await test('each figure can be what comes first, and names come by the alphabet', t => {
  const { top } = busy()
  const order = (by: string): string[] => top(`by=${by}`).top.map(({ tenant }) => tenant)
  t.same(order('calls'), ['globex', 'acme', 'removed', 'idle'])
  t.same(order('errors'), ['removed', 'acme', 'globex', 'idle'], 'of equals the first')
  t.same(order('limited'), ['globex', 'acme', 'idle', 'removed'])
  t.same(order('connections'), ['idle', 'acme', 'globex', 'removed'])
  t.same(order('ingress').slice(0, 2), ['globex', 'removed'])
  t.same(order('egress').slice(0, 2), ['acme', 'removed'])
  t.same(order('bytes').slice(0, 2), ['globex', 'acme'])
  t.same(order('time').slice(0, 2), ['removed', 'acme'])
  t.same(order('tenant'), ['acme', 'globex', 'idle', 'removed'])
  t.end()
})

await test('of a tenant its figures, its endpoints, and the limit that is used most', t => {
  const { top } = busy()
  const [globex, acme, removed] = top().top
  t.match(acme, {
    calls: 10,
    egress: 2_048,
    connections: 2,
    meanMs: 5,
    endpoints: { healthy: 1, ejected: 1 },
    closest: { limit: 'egress', part: 2 },
  })
  t.match(globex, { limited: 3, endpoints: null, closest: { limit: 'requests', part: 0.3 } })
  t.match(removed, { errors: 1, closest: { limit: 'requests', part: 0.01 } })
  t.end()
})

await test('totals are of all, whatever is shown', t => {
  const { top } = busy()
  const answer = top('filter=o&limit=1&by=tenant')
  t.same(
    answer.top.map(({ tenant }) => tenant),
    ['globex'],
  )
  t.match(answer, {
    service: 'orders',
    phase: 'ready',
    workers: { ready: 1, count: 2 },
    seconds: 1,
    tenants: { configured: 2, active: 4, matching: 2 },
    totals: { calls: 41, errors: 1, limited: 3, connections: 11 },
  })
  t.match(setUp().top(), { seconds: 0, tenants: { active: 0 }, top: [] })
  t.end()
})

await test('what cannot be asked is refused', t => {
  const { ask } = setUp()
  for (const query of [
    'by=beauty',
    'by=',
    'limit=0',
    'limit=1001',
    'limit=x',
    `filter=${'a'.repeat(64)}`,
  ]) {
    const { status, body, refused } = ask(query)
    t.match({ status, refused }, { status: 400, refused: 'malformed_message' }, query)
    t.match(body, /must be/)
  }
  t.end()
})

await test('of 100,000 tenants at work the first are found, and no others are sent', t => {
  const { top, report } = setUp()
  const ids = Array.from({ length: 100_000 }, (_, index) => `tenant-${index}`)
  report({
    usage: ids.map((id, index) => usageOf(id, (index * 7_919) % 100_003)),
    connections: ids.map(id => open(id, 1)),
  })
  const times: number[] = []
  for (let ask = 0; ask < 5; ask += 1) {
    const started = performance.now()
    const answer = top('limit=3')
    times.push(performance.now() - started)
    t.same(
      answer.top.map(({ calls }) => calls),
      [100_002, 100_001, 100_000],
    )
    t.equal(answer.tenants.active, 100_000)
  }
  t.comment(`one question: ${Math.min(...times).toFixed(0)} ms`)
  t.end()
})

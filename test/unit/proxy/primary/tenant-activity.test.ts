import { test } from 'tap'
import type { WorkerReport } from '../../../../src/proxy/ipc.ts'
import { TenantActivity } from '../../../../src/proxy/primary/tenant-activity.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { emptyReport, usageOf } from '../../../support/usage.ts'

const calls = (tenant: string, count: number): WorkerReport => ({
  ...emptyReport(),
  usage: [usageOf(tenant, count)],
})

await test('a rate is what it is, however early or late reports come', t => {
  const clock = new FakeClock()
  const activity = new TenantActivity(clock)
  activity.record(1, calls('acme', 100))
  for (const ms of [1_000, 1_400, 600, 2_500, 1_000, 3_000, 700]) {
    clock.ms += ms
    activity.record(1, calls('acme', ms / 10))
    const { byTenant } = activity.rates()
    t.ok(Math.abs((byTenant.get('acme')?.calls ?? 0) - 100) < 1e-9, `after ${ms} ms`)
  }
  t.end()
})

await test('workers are summed, each over its own time', t => {
  const clock = new FakeClock()
  const activity = new TenantActivity(clock)
  for (let second = 0; second < 7; second += 1) {
    clock.ms += 1_000
    activity.record(1, calls('acme', 30))
    activity.record(2, calls('acme', 10))
  }
  const { seconds, byTenant } = activity.rates()
  t.equal(byTenant.get('acme')?.calls, 40)
  t.ok(seconds > 5 && seconds <= 10, `${seconds}`)
  t.end()
})

await test('what is summed: calls, failed ones by code, bytes, time, limits and overload', t => {
  const activity = new TenantActivity(new FakeClock())
  activity.record(1, {
    ...emptyReport(),
    usage: [
      usageOf('acme', 4),
      usageOf('acme', 1, { code: '4xx' }),
      usageOf('acme', 2, { code: '5xx', callMs: 30 }),
      usageOf('acme', 3, { code: 'grpc-14' }),
      usageOf('acme', 1, { code: 'grpc-5' }),
      usageOf('acme', 0, { ingress: 5, egress: 6 }),
    ],
    limited: [{ tenant: 'acme', limit: 'requests', count: 7 }],
    shed: [{ tenant: 'globex', reason: 'heaviest', count: 2 }],
  })
  const { seconds, byTenant } = activity.rates()
  t.equal(seconds, 1, 'what a first report is about')
  t.same(byTenant.get('acme'), {
    calls: 11,
    errors: 5,
    ingress: 115,
    egress: 1_106,
    limited: 7,
    callMs: 39,
  })
  t.equal(byTenant.get('globex')?.limited, 2)
  t.end()
})

await test('who does nothing any more is forgotten after two periods, at once where nobody reports', t => {
  const clock = new FakeClock()
  const activity = new TenantActivity(clock)
  activity.record(1, calls('acme', 5))
  for (let second = 0; second < 10; second += 1) {
    clock.ms += 1_000
    activity.record(1, calls('globex', 5))
  }
  t.same([...activity.rates().byTenant.keys()], ['globex'])
  clock.ms += 10_000
  t.same(activity.rates(), { seconds: 0, byTenant: new Map() })
  t.end()
})

await test('a worker that takes the place of one that died is not about the time between them', t => {
  const clock = new FakeClock()
  const activity = new TenantActivity(clock)
  clock.ms = 5_000
  activity.record(1, calls('acme', 10))
  activity.forget(1)
  clock.ms += 4_000
  activity.record(1, calls('acme', 10))
  t.equal(activity.rates().seconds, 2)
  t.end()
})

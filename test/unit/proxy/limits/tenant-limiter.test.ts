import { test } from 'tap'
import type { LimitsConfig } from '../../../../src/config/schema.ts'
import { limitShareOf } from '../../../../src/proxy/limits/limit-share.ts'
import { TenantLimiter } from '../../../../src/proxy/limits/tenant-limiter.ts'

function limiter(limits: LimitsConfig, defaults: LimitsConfig = {}, workers = 1): TenantLimiter {
  return new TenantLimiter(limitShareOf(limits, defaults, workers))
}
/** How often it is true until it is false. */
function count(take: () => boolean): number {
  for (let taken = 0; taken < 10_000; taken++) if (!take()) return taken
  return Number.POSITIVE_INFINITY
}

await test('a worker has its share of each limit, and at least one', async t => {
  const limits = { concurrency: 10, connections: 3, requests: 100, burst: 8, body: 500 }
  const shared = limiter(limits, {}, 4)
  t.equal(
    count(() => shared.beginCall() === undefined),
    3,
  )
  t.equal(
    count(() => shared.openConnection(0) === undefined),
    1,
  )
  t.equal(
    count(() => shared.takeCall(0) === undefined),
    2,
  )
  t.equal(shared.takeCall(0)?.retryAfterMs, 40, 'a quarter of 100 a second')
  t.equal(shared.maxBodyBytes, 500, 'a body is not shared out')
  const least = limiter({ concurrency: 1 }, {}, 64)
  t.equal(
    count(() => least.beginCall() === undefined),
    1,
  )
})

await test('what a tenant has no limit for is limited as the service is, or not', async t => {
  const defaults = { concurrency: 2, connections: 2, body: 10, requests: 5 }
  const inherited = limiter({ concurrency: 3 }, defaults)
  t.equal(
    count(() => inherited.beginCall() === undefined),
    3,
  )
  t.equal(
    count(() => inherited.openConnection(0) === undefined),
    2,
  )
  t.equal(inherited.maxBodyBytes, 10)
  t.equal(
    count(() => inherited.takeCall(0) === undefined),
    5,
    'a second of calls is the burst by default',
  )
  const free = limiter({})
  t.equal(
    count(() => free.beginCall() === undefined),
    Number.POSITIVE_INFINITY,
  )
  t.equal(
    count(() => free.openConnection(0) === undefined),
    Number.POSITIVE_INFINITY,
  )
  t.equal(
    count(() => free.takeCall(0) === undefined),
    Number.POSITIVE_INFINITY,
  )
  t.equal(free.maxBodyBytes, Number.POSITIVE_INFINITY)
  t.equal(free.bandwidth, undefined)
})

await test('what ended makes room', async t => {
  const busy = limiter({ concurrency: 1, connections: 1 })
  t.equal(busy.beginCall(), undefined)
  t.match(busy.beginCall(), { code: 'tenant_overloaded', limit: 'concurrency' })
  t.equal(busy.activeCalls, 1)
  busy.endCall()
  t.equal(busy.activeCalls, 0)
  t.equal(busy.beginCall(), undefined)
  t.equal(busy.openConnection(0), undefined)
  t.match(busy.openConnection(0), { code: 'too_many_connections', limit: 'connections' })
  busy.closeConnection()
  t.equal(busy.openConnection(0), undefined)
})

await test('bandwidths are apart by direction', async t => {
  const paced = limiter({ ingress: 1_000, egress: 2_000 }, {}, 2)
  t.equal(paced.bandwidth?.received(500, 1_000), 900)
  t.equal(paced.bandwidth?.sent(1_000, 1_000), 900)
})

await test('new connections have a rate, a second’s worth at once', async t => {
  const rated = limiter({ newConnections: 4 }, {}, 2)
  t.same([rated.openConnection(0), rated.openConnection(0)], [undefined, undefined])
  t.same(rated.openConnection(0), {
    code: 'rate_limited',
    limit: 'newConnections',
    retryAfterMs: 500,
    rate: { limit: '"newConnections";r=0;t=1', policy: '"newConnections";q=4;w=1' },
  })
  t.notOk(rated.idle(0), 'one that has to be remembered')
  rated.closeConnection()
  rated.closeConnection()
  t.notOk(rated.idle(999), 'closing brings nothing back')
  t.ok(rated.idle(1_000))
})

await test('what is left of a rate is worded anew only where it differs', async t => {
  const rated = limiter({ requests: 10, burst: 10 })
  rated.takeCall(0)
  const told = rated.rateFields(0)
  t.equal(told?.lines, 'ratelimit: "requests";r=9;t=1\r\nratelimit-policy: "requests";q=10;w=1\r\n')
  t.same(told?.list.map(({ name, value }) => `${name}: ${value}\r\n`).join(''), told?.lines)
  t.equal(rated.rateFields(50), told, 'in the same second as much is left')
  t.equal(rated.rateFields(100)?.limit, '"requests";r=10;t=0')
  for (let call = 0; call < 10; call++) rated.takeCall(100)
  t.equal(rated.rateFields(100)?.limit, '"requests";r=0;t=1')
  t.equal(rated.takeCall(100)?.rate, rated.rateFields(100), 'a refusal says so, too')
  const before = rated.rateFields(100)
  rated.change(limitShareOf({ requests: 20, burst: 10 }, {}, 1), 100)
  t.equal(before?.policy, '"requests";q=10;w=1')
  t.not(rated.rateFields(100), before, 'of another policy')
  t.equal(limiter({}).rateFields(0), undefined)
})

await test('tenants with the same of the same rate left are told so by one text, and no others', async t => {
  const rate = { requests: 10, burst: 10 }
  const told = limiter(rate).rateFields(0)
  t.equal(limiter(rate).rateFields(0), told)
  t.equal(limiter({ ...rate, requests: 5 }).rateFields(0)?.policy, '"requests";q=10;w=2')
  t.equal(limiter({ ...rate, burst: 20 }).rateFields(0)?.policy, '"requests";q=20;w=2')
  const begun = limiter(rate)
  begun.takeCall(0)
  t.equal(begun.rateFields(0)?.limit, '"requests";r=9;t=1')
  t.equal(begun.rateFields(100)?.limit, '"requests";r=10;t=0')
  const both = limiter({ requests: 1, burst: 1, newConnections: 1 })
  both.takeCall(0)
  t.equal(both.openConnection(0), undefined)
  t.equal(both.takeCall(0)?.rate?.policy, '"requests";q=1;w=1')
  t.equal(both.openConnection(0)?.rate?.policy, '"newConnections";q=1;w=1', 'another rate')
})

await test('who is told something else does not make others be told anew', async t => {
  const rate = { requests: 10, burst: 10 }
  const calm = limiter(rate)
  const told = calm.rateFields(0)
  const flooding = limiter(rate)
  for (let call = 0; call < 10; call++) flooding.takeCall(0)
  const refused = flooding.takeCall(0)?.rate
  t.equal(refused?.limit, '"requests";r=0;t=1')
  t.equal(calm.rateFields(0), told)
  t.equal(flooding.takeCall(0)?.rate, refused)
  const wide = limiter({ requests: 1_000, burst: 1_000 })
  for (let call = 0; call < 1_000; call++) {
    t.equal(wide.rateFields(0)?.limit, `"requests";r=${1_000 - call};t=${call === 0 ? 0 : 1}`)
    wide.takeCall(0)
  }
})

await test('a share follows the number of workers, and what was taken stays taken', async t => {
  const shared = limiter({ requests: 100, burst: 40, concurrency: 8, connections: 8 }, {}, 4)
  t.equal(
    count(() => shared.takeCall(0) === undefined),
    10,
  )
  t.equal(
    count(() => shared.beginCall() === undefined),
    2,
  )
  shared.share(2, 0)
  t.equal(
    count(() => shared.takeCall(0) === undefined),
    10,
    'twenty in all: half of the burst, of which ten were taken before',
  )
  t.equal(shared.takeCall(0)?.retryAfterMs, 20, 'half of 100 a second')
  t.equal(
    count(() => shared.beginCall() === undefined),
    2,
    'four in all',
  )
  t.equal(
    count(() => shared.openConnection(0) === undefined),
    4,
  )
  shared.share(4, 0)
  t.equal(shared.takeCall(0)?.retryAfterMs, 440, 'twenty taken where ten fit, at 25 a second')
  t.match(shared.beginCall(), { limit: 'concurrency' }, 'those that run go on, none begins')
})

await test('all workers together let through what is configured, however many come and go', async t => {
  const all = { requests: 1_000, burst: 100 }
  const workers = Array.from({ length: 4 }, () => limiter(all, {}, 4))
  let taken = 0
  let now = 0
  const pass = (until: number, serving: readonly TenantLimiter[]): void => {
    for (const worker of serving) worker.share(serving.length, now)
    for (; now < until; now++)
      for (const worker of serving) while (worker.takeCall(now) === undefined) taken++
  }
  pass(10_000, workers)
  pass(20_000, workers.slice(1))
  pass(30_000, workers.slice(2))
  // One of those that are back has no memory, as a new process.
  pass(40_000, [limiter(all, {}, 4), ...workers.slice(1)])
  const most = 40_000 + 100 + 25 + 50
  t.ok(taken <= most && taken >= 40_000 - 25, `${taken} in 40 s`)
})

await test('what is left of a rate is said with the share of this worker', async t => {
  const shared = limiter({ requests: 10, burst: 20 }, {}, 2)
  t.same(shared.rateFields(0), {
    limit: '"requests";r=10;t=0',
    policy: '"requests";q=20;w=2',
  })
  shared.takeCall(0)
  t.equal(shared.rateFields(0)?.limit, '"requests";r=9;t=1')
  t.equal(limiter({}).rateFields(0), undefined, 'nothing without a rate')
})

await test('other limits keep what is under way and what was taken', async t => {
  const changed = limiter({ requests: 10, burst: 10, concurrency: 5 })
  for (let call = 0; call < 4; call += 1) changed.beginCall()
  for (let call = 0; call < 10; call += 1) changed.takeCall(0)
  changed.change(
    limitShareOf({ requests: 10, burst: 5, concurrency: 4, body: 7, streams: 2 }, {}, 1),
    0,
  )
  t.match(changed.beginCall(), { limit: 'concurrency' })
  t.equal(changed.takeCall(0)?.retryAfterMs, 600, 'ten were taken, of which five too many now')
  t.equal(changed.maxBodyBytes, 7)
  t.equal(changed.maxStreams, 2)
  changed.change(limitShareOf({}, {}, 1), 0)
  t.equal(changed.beginCall(), undefined)
  t.equal(changed.takeCall(0), undefined)
  t.equal(changed.maxBodyBytes, Number.POSITIVE_INFINITY)
})

await test('a bandwidth comes and goes with the configuration', async t => {
  const changed = limiter({})
  changed.change(limitShareOf({ egress: 1_000 }, {}, 1), 1_000)
  t.equal(changed.bandwidth?.sent(1_100, 1_000), 1_000)
  t.notOk(changed.idle(1_000), 'one that has to be remembered')
  changed.change(limitShareOf({}, {}, 1), 1_000)
  t.equal(changed.bandwidth?.sent(1_000_000, 1_000), 0)
  t.ok(changed.idle(1_100))
})

await test('tenants with the same limits take from their own', async t => {
  const limits = { requests: 1, burst: 1, concurrency: 1, connections: 1, egress: 1_000 }
  const [one, other] = [limiter({ ...limits }), limiter({ ...limits })]
  for (const each of [one, other]) {
    t.equal(each.beginCall(), undefined)
    t.equal(each.takeCall(0), undefined)
    t.equal(each.openConnection(0), undefined)
    t.equal(each.bandwidth?.sent(100, 1_000), 0)
    t.match(each.beginCall(), { limit: 'concurrency' })
    t.match(each.takeCall(0), { limit: 'requests' })
  }
  const [another, third] = [limitShareOf({ ...limits, concurrency: 2 }, {}, 1), limiter(limits)]
  one.change(another, 0)
  t.equal(one.beginCall(), undefined)
  t.match(other.beginCall(), { limit: 'concurrency' }, 'what one has been given is for it alone')
  t.equal(third.beginCall(), undefined)
})

await test('the share of a plan is one object, whatever number of workers and defaults it is for', async t => {
  const plans = Array.from({ length: 20 }, (_, index) => ({ concurrency: 10 + index }))
  for (const plan of plans)
    t.equal(limitShareOf({ ...plan }, {}, 1), limitShareOf({ ...plan }, {}, 1))
  for (const plan of plans) t.equal(limitShareOf(plan, {}, 1).maxCalls, plan.concurrency)
  const share = limitShareOf({ concurrency: 8 }, {}, 1)
  t.not(limitShareOf({ concurrency: 8 }, {}, 2), share)
  t.equal(share.among(2).maxCalls, 4)
  t.equal(share.among(1).maxCalls, 8)
  t.equal(limitShareOf({ concurrency: 8 }, { concurrency: 1, body: 5 }, 1).maxBodyBytes, 5)
  t.equal(limitShareOf({ concurrency: 8 }, { concurrency: 1, body: 6 }, 4).among(2).maxCalls, 4)
})

import { test } from 'tap'
import { codeClassOf } from '../../../../src/core/routability.ts'
import { DURATION_BUCKETS_MS } from '../../../../src/proxy/ipc.ts'
import { Durations, WorkerStats } from '../../../../src/proxy/metering/worker-stats.ts'

const CLASS_2XX = 2
const CLASS_5XX = 5

await test('sorts durations into buckets by their upper bounds', async t => {
  const durations = new Durations()
  t.same(durations.take(), [], 'nothing yet')
  const given = [0, 1, 1.001, 2.5, 30_000, 30_000.1, 1e9]
  for (const ms of given) durations.record(CLASS_2XX, ms)
  durations.record(CLASS_5XX, 7)
  const [ok, failed, ...more] = durations.take()
  t.same(more, [])
  t.equal(ok?.code, '2xx')
  t.equal(
    ok?.sumMs,
    given.reduce((sum, ms) => sum + ms, 0),
  )
  const counts = Array.from({ length: DURATION_BUCKETS_MS.length + 1 }, () => 0)
  counts.splice(0, 2, 2, 2)
  counts.splice(-2, 2, 1, 2)
  t.same(ok?.counts, counts)
  t.match(failed, { code: '5xx', sumMs: 7 })
  t.equal(failed?.counts[DURATION_BUCKETS_MS.indexOf(10)], 1)
  t.same(durations.take(), [], 'taken once')
  durations.record(CLASS_2XX, 1)
  t.match(durations.take(), [{ code: '2xx', sumMs: 1 }], 'and counted from zero')
})

await test('keeps the statuses of gRPC calls apart', async t => {
  const durations = new Durations()
  for (const status of [0, 13, 16]) durations.record(codeClassOf(200, status), status)
  t.match(durations.take(), [
    { code: 'grpc-0', sumMs: 0 },
    { code: 'grpc-13', sumMs: 13 },
    { code: 'grpc-16', sumMs: 16 },
  ])
})

await test('tells refusals by listener, and limits by tenant, once', async t => {
  const stats = new WorkerStats(['public', 'inner'])
  stats.rejected('unroutable', 0)
  stats.rejected('unroutable', 0)
  stats.rejected('unroutable', 1)
  stats.rejected('rate_limited', 1)
  stats.handshake(0, false)
  stats.handshake(0, true)
  stats.handshake(0, true)
  stats.handshakeFailed('other', 1)
  stats.handshakeFailed('timeout', 1)
  stats.handshakeFailed('other', 1)
  stats.limited('acme', 'requests')
  stats.limited('acme', 'requests')
  stats.limited('acme', 'body')
  stats.limited('globex', 'requests')
  stats.callDurations.record(CLASS_2XX, 3)
  const taken = stats.take()
  t.same(taken.rejected, [
    { reason: 'unroutable', listener: 'public', count: 2 },
    { reason: 'unroutable', listener: 'inner', count: 1 },
    { reason: 'rate_limited', listener: 'inner', count: 1 },
  ])
  t.same(taken.limited, [
    { tenant: 'acme', limit: 'requests', count: 2 },
    { tenant: 'acme', limit: 'body', count: 1 },
    { tenant: 'globex', limit: 'requests', count: 1 },
  ])
  t.same(taken.handshakes, [{ listener: 'public', full: 1, resumed: 2 }])
  t.same(taken.handshakeFailures, [
    { reason: 'other', listener: 'inner', count: 2 },
    { reason: 'timeout', listener: 'inner', count: 1 },
  ])
  t.equal(taken.callDurations.length, 1)
  t.equal(taken.upstreamDurations.length, 0)
  t.same(stats.take(), {
    rejected: [],
    handshakes: [],
    handshakeFailures: [],
    limited: [],
    callDurations: [],
    upstreamDurations: [],
  })
})

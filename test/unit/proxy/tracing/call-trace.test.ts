import { test } from 'tap'
import { CallSampler } from '../../../../src/proxy/tracing/call-trace.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'
const SAMPLED = `00-${TRACE}-${PARENT}-01`

function sampler(sampling: number, clientSampling: number, chance = 0.5): CallSampler {
  return new CallSampler({ sampling, clientSampling, random: () => chance }, 1)
}

await test('a stranger gets spans by the rate, and beyond it by chance', async t => {
  const never = sampler(0, 10)
  const forced = (now: number, all = 100): number =>
    Array.from({ length: all }, () => never.sample(SAMPLED, false, now)).filter(Boolean).length
  t.equal(forced(0), 10)
  t.equal(forced(100), 1, 'one more in a tenth of a second')
  t.equal(forced(60_000), 10, 'and no more than a second of it at once')
  t.ok(never.sample(SAMPLED, true, 60_000), 'a trusted peer is not counted')
  t.ok(sampler(0.6, 0).sample(SAMPLED, false, 0))
  t.notOk(sampler(0.5, 0).sample(SAMPLED, false, 0))
})

await test('workers share the rate', async t => {
  const shared = new CallSampler({ sampling: 0, clientSampling: 10, random: () => 0.5 }, 5)
  const forced = (now: number): number =>
    Array.from({ length: 100 }, () => shared.sample(SAMPLED, false, now)).filter(Boolean).length
  t.equal(forced(0), 2)
  shared.share(1, 0)
  t.equal(forced(60_000), 10)
})

await test('what is not sampled has no span, however large the part', async t => {
  t.notOk(sampler(1, 10).sample(`00-${TRACE}-${PARENT}-00`, true, 0))
  t.notOk(sampler(1, 10).sample(`00-${TRACE}-${PARENT}-02`, false, 0))
})

await test('a child keeps the trace, a root has ids of its own', async t => {
  const child = sampler(0, 0).sample(SAMPLED, true, 0)
  t.match(child, { traceId: TRACE, parentId: PARENT })
  t.equal(child?.traceparent, `00-${TRACE}-${child?.spanId}-01`)
  const roots = Array.from({ length: 100 }, () => sampler(1, 0).sample('', false, 0))
  t.equal(new Set(roots.flatMap(root => [root?.traceId, root?.spanId])).size, 200)
  for (const root of roots) {
    t.equal(root?.parentId, '')
    t.equal(root?.traceparent, `00-${root?.traceId}-${root?.spanId}-03`)
  }
})

import { test } from 'tap'
import { policyOf } from '../../../../src/proxy/pool/policy.ts'

const ENDPOINTS = { endpoints: ['http://10.0.0.1:80'] }

await test('a deployment that says nothing has the defaults of the documentation', async t => {
  t.same(policyOf(ENDPOINTS, 1), {
    maxConnections: 1_024,
    queue: { calls: 1_000, timeout: 5_000 },
    ejection: { failures: 5, base: 30_000, max: 300_000 },
    panic: 0.5,
    slowStart: 0,
    retries: { budget: 0.2, minimum: 3 },
  })
})

await test('workers share the caps, and each has one at least', async t => {
  const deployment = { ...ENDPOINTS, maxConnections: 10, queue: { calls: 3, timeout: 1_000 } }
  t.match(policyOf(deployment, 4), { maxConnections: 3, queue: { calls: 1, timeout: 1_000 } })
  t.match(policyOf(deployment, 64), { maxConnections: 1, queue: { calls: 1 } })
  t.match(policyOf({ ...deployment, queue: { calls: 0, timeout: 1_000 } }, 2), {
    queue: { calls: 0 },
  })
})

await test('limits of the tenant hold where they are the lesser ones, and are shared as well', async t => {
  const deployment = { ...ENDPOINTS, maxConnections: 10, queue: { calls: 20, timeout: 1_000 } }
  t.match(policyOf(deployment, 2, { upstreamConnections: 4, pending: 30 }), {
    maxConnections: 2,
    queue: { calls: 10 },
  })
  t.match(policyOf(deployment, 1, { upstreamConnections: 40, pending: 0 }), {
    maxConnections: 10,
    queue: { calls: 0 },
  })
})

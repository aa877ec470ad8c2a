/** The proxy meets the requests of `support/own/requests.ts`: exact answer, state of both connections, next calls. */
import { test } from 'tap'
import { runCase } from '../support/http1-case-run.ts'
import { OWN_REQUESTS } from '../support/own/requests.ts'
import { recordingDeployment } from '../support/raw-peer.ts'
import { startProxy } from '../support/start-proxy.ts'

await test('each request gets exactly its answer, and a refused one leaves nothing behind', async t => {
  const ids = OWN_REQUESTS.map(({ id }) => id)
  t.equal(new Set(ids).size, ids.length, 'each name once')
  const deployment = await recordingDeployment()
  t.teardown(() => deployment.close())
  const proxy = await startProxy({
    listeners: [{ name: 'private', mode: 'private', port: 0, protocol: 'http' }],
    tenants: [
      {
        id: 'acme',
        address: '127.0.0.1',
        deployment: { endpoints: [`http://127.0.0.1:${deployment.port}`] },
      },
    ],
  })
  t.teardown(() => proxy.close())
  for (const testCase of OWN_REQUESTS)
    t.same(await runCase(testCase, proxy.port('private'), deployment), [], testCase.id)
})

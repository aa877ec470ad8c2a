/**
 * Requests as other projects' parsers are tested with, some made to be read in two ways, against a running proxy: each
 * must get its verdict, and nothing may reach the deployment or the next client that should not (see `runCase`).
 * Where their cases are absent, `own-requests.test.ts` stands in.
 */
import { t as root, test } from 'tap'
import { runCase } from '../support/http1-case-run.ts'
import { loadHttp1Cases } from '../support/http1-cases.ts'
import { recordingDeployment } from '../support/raw-peer.ts'
import { startProxy } from '../support/start-proxy.ts'

root.setTimeout(180_000)

const cases = loadHttp1Cases() ?? []
const skip =
  cases.length === 0 && 'shared/conformance/http1 is absent; own-requests.test.ts needs none of it'

await test('each HTTP/1.1 request is read in one way or refused', { skip }, async t => {
  t.ok(cases.length >= 807, `${cases.length} cases`)
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
  const port = proxy.port('private')
  for (const testCase of cases) {
    if (testCase.judged !== undefined) t.comment(`${testCase.id}: ${testCase.judged}`)
    t.same(await runCase(testCase, port, deployment), [], `${testCase.id}: ${testCase.title}`)
  }
})

/** Active checks with real endpoints: by a connection, over TLS, and what it takes to be out and back. */
import type { WorkerReport } from '../../src/proxy/ipc.ts'
import { TestAuthority } from '../support/certificates.ts'
import { answering, type ManualDeployment } from '../support/manual-deployment.ts'
import {
  eventually,
  fieldsOf,
  get,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

interface Lead {
  readonly endpoints: readonly string[]
  readonly health?: Record<string, unknown>
  readonly tls?: Record<string, unknown>
}

async function checking(
  lab: ProxyLab,
  deployment: ManualDeployment,
  { health = {}, ...more }: Lead,
): Promise<RunningProxy> {
  const checks = { interval: '50ms', timeout: '500ms', ...health }
  const policy = { health: checks, ejection: { failures: 1_000 }, ...more }
  const proxy = await lab.proxy({
    tenants: [tenant('acme', deployment, { deployment: policy })],
  })
  // Checks begin with the first call.
  const client = await lab.client(proxy)
  await client.send(get())
  await client.readHead()
  return proxy
}

function endpointsOf(proxy: RunningProxy): WorkerReport['endpoints'][number] | undefined {
  proxy.worker.reportNow()
  return proxy
    .reports()
    .flatMap(report => report.endpoints)
    .at(-1)
}

const url = ({ port }: ManualDeployment, scheme = 'http'): string => `${scheme}://127.0.0.1:${port}`

await proxyTest(
  'without a path, an endpoint that accepts connections is well, and one that does not is not',
  async (t, lab) => {
    const fit = await lab.deployment({ serve: answering(ok('fit')) })
    const away = await lab.deployment()
    await away.close()
    const proxy = await checking(lab, fit, { endpoints: [url(fit), url(away)] })
    await eventually(() => endpointsOf(proxy)?.ejected === 1)
    t.match(endpointsOf(proxy), { healthy: 1, ejected: 1 })
    await new Promise(resolve => setTimeout(resolve, 1_100))
    t.match(endpointsOf(proxy), { ejected: 1 }, 'it is the checks that keep it out')
    await lab.deployment({ port: away.port, serve: answering(ok('back')) })
    await eventually(() => endpointsOf(proxy)?.ejected === 0)
    t.match(endpointsOf(proxy), { healthy: 2, ejected: 0 })
  },
)

await proxyTest(
  'over TLS, an endpoint without the right certificate is not well',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const right = await ca.server(['fit.test'], ['127.0.0.1'])
    const wrong = await ca.server(['other.test'])
    const fit = await lab.deployment({ tls: right, serve: answering(ok('fit')) })
    const other = await lab.deployment({ tls: wrong, serve: answering(ok('other')) })
    const proxy = await checking(lab, fit, {
      endpoints: [url(fit, 'https'), url(other, 'https')],
      tls: { ca: ca.certPath },
    })
    await eventually(() => endpointsOf(proxy)?.ejected === 1)
    t.match(endpointsOf(proxy), { healthy: 1, ejected: 1 })
  },
)

await proxyTest(
  'a check by HTTP asks for the path, under the name of the endpoint',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('fit')) })
    const asked: string[] = []
    const watched = await lab.deployment({
      serve: async peer => {
        asked.push(await peer.readHead())
        await peer.send(ok())
      },
    })
    await checking(lab, deployment, {
      endpoints: [url(deployment), `http://localhost:${watched.port}`],
      health: { path: '/healthz?deep=1' },
    })
    const isCheck = (head: string): boolean => head.startsWith('GET /healthz?deep=1 HTTP/1.1\r\n')
    await eventually(() => asked.some(isCheck))
    t.same(fieldsOf(asked.find(isCheck) ?? '', 'host'), [`localhost:${watched.port}`])
  },
)

await proxyTest('an endpoint that hangs fails its checks', async (t, lab) => {
  const fit = await lab.deployment({ serve: answering(ok('fit')) })
  const hung = await lab.deployment()
  const proxy = await lab.proxy(
    {
      tenants: [
        tenant('acme', fit, {
          deployment: {
            endpoints: [url(fit), url(hung)],
            health: { path: '/', interval: '50ms', timeout: '100ms' },
          },
        }),
      ],
    },
    // The first of two.
    { random: () => 0 },
  )
  const client = await lab.client(proxy)
  await client.send(get())
  t.equal((await readAnswer(client)).body, 'fit')
  await eventually(() => endpointsOf(proxy)?.ejected === 1)
  t.match(endpointsOf(proxy), { healthy: 1, ejected: 1 })
})

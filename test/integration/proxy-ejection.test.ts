/** Endpoints that fail calls: after enough of them in a row they get none for a while. */
import { fullBacklog } from '../support/full-backlog.ts'
import { answering, type ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  get,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

/** Not repeatable: each failure is one that the client sees. */
const POST = 'POST / HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 0\r\n\r\n'

interface Ejection {
  readonly proxy: RunningProxy
  readonly bad: ManualDeployment
  readonly fit: ManualDeployment
}

/** Two endpoints, of which `serve` is one; two failures in a row eject it. */
async function twoEndpoints(
  lab: ProxyLab,
  serve: (peer: Peer) => void | Promise<void>,
  input: Record<string, unknown> = {},
): Promise<Ejection> {
  const bad = await lab.deployment({ serve })
  const fit = await lab.deployment({ serve: answering(ok('fit')) })
  const endpoints = [bad, fit].map(({ port }) => `http://127.0.0.1:${port}`)
  const deployment = { endpoints, ejection: { failures: 2, base: '60s' } }
  const proxy = await lab.proxy({ tenants: [tenant('acme', fit, { deployment })], ...input })
  return { proxy, bad, fit }
}

/** Calls until the endpoint is ejected; returns what the failed ones were answered, as status and code. */
async function untilEjected(lab: ProxyLab, { proxy }: Ejection): Promise<string[]> {
  const failures: string[] = []
  const client = await lab.client(proxy)
  for (let call = 0; call < 100 && ejectedBy(proxy) === 0; call++) {
    await client.send(POST)
    const { status, body } = await readAnswer(client)
    if (status !== 200) failures.push(`${status} ${codeOf(body)}`.trim())
  }
  return failures
}

function ejectedBy(proxy: RunningProxy): number {
  proxy.worker.reportNow()
  return (
    proxy
      .reports()
      .flatMap(report => report.endpoints)
      .at(-1)?.ejected ?? 0
  )
}

async function onlyFit(lab: ProxyLab, { proxy }: Ejection): Promise<boolean> {
  const client = await lab.client(proxy)
  for (let call = 0; call < 20; call++) {
    await client.send(get())
    if ((await readAnswer(client)).body !== 'fit') return false
  }
  return true
}

/** Does `what` with each request that comes. */
function onRequest(what: (peer: Peer) => void | Promise<unknown>): (peer: Peer) => Promise<void> {
  return async peer => {
    try {
      for (;;) {
        await peer.readHead()
        await what(peer)
      }
    } catch {
      // The connection is over.
    }
  }
}

await proxyTest(
  'an endpoint that answers 503 again and again is ejected; the answers are passed on',
  async (t, lab) => {
    const all = await twoEndpoints(lab, answering('HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n'))
    t.same(await untilEjected(lab, all), ['503', '503'])
    t.ok(await onlyFit(lab, all))
  },
)

await proxyTest('an endpoint that answers 500 is not: that is the application', async (t, lab) => {
  const all = await twoEndpoints(lab, answering('HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n'))
  t.ok((await untilEjected(lab, all)).length > 10)
  t.equal(ejectedBy(all.proxy), 0)
})

await proxyTest('an endpoint that resets each call is ejected', async (t, lab) => {
  const all = await twoEndpoints(
    lab,
    onRequest(peer => peer.reset()),
  )
  t.same(await untilEjected(lab, all), ['502 upstream_reset', '502 upstream_reset'])
  t.ok(await onlyFit(lab, all))
})

await proxyTest('an endpoint whose answers nobody can read is ejected', async (t, lab) => {
  const all = await twoEndpoints(
    lab,
    onRequest(peer => peer.send('SSH-2.0-x\r\n\r\n')),
  )
  t.same(await untilEjected(lab, all), ['502 upstream_malformed', '502 upstream_malformed'])
  t.ok(await onlyFit(lab, all))
})

await proxyTest('an endpoint that does not answer in time is ejected', async (t, lab) => {
  const all = await twoEndpoints(lab, () => {}, { timeouts: { response: '100ms' } })
  t.same(await untilEjected(lab, all), ['504 upstream_timeout', '504 upstream_timeout'])
  t.ok(await onlyFit(lab, all))
})

await proxyTest(
  'a connection that had rested and was closed with the next call is no failure of its endpoint',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const policy = {
      endpoints: [`http://127.0.0.1:${deployment.port}`],
      ejection: { failures: 2 },
    }
    const proxy = await lab.proxy({ tenants: [tenant('acme', deployment, { deployment: policy })] })
    const clients = [await lab.client(proxy), await lab.client(proxy)]
    const upstreams: Peer[] = []
    for (const client of clients) {
      await client.send(get())
      const upstream = await deployment.next()
      await upstream.readHead()
      upstreams.push(upstream)
    }
    for (const [index, client] of clients.entries()) {
      await upstreams[index]?.send(ok('once'))
      t.equal((await readAnswer(client)).status, 200)
    }
    // The one that was used last is used first.
    for (const [index, client] of clients.entries()) {
      await client.send(POST)
      const upstream = upstreams.at(-1 - index) as Peer
      await upstream.readHead()
      upstream.reset()
      t.equal((await readAnswer(client)).status, 502)
    }
    t.equal(ejectedBy(proxy), 0)
  },
)

await proxyTest('clients that leave while a connection is made eject nothing', async (t, lab) => {
  const full = await fullBacklog()
  try {
    const deployment = {
      endpoints: [`http://127.0.0.1:${full.port}`],
      ejection: { failures: 1 },
    }
    const proxy = await lab.proxy({ tenants: [tenant('acme', full, { deployment })] })
    for (let call = 1; call <= 3; call++) {
      const client = await lab.client(proxy)
      await client.send(get())
      await eventually(() => proxy.worker.openConnections === 1)
      client.reset()
      await eventually(() => proxy.rejected('client_closed') === call)
    }
    t.equal(proxy.rejected('client_closed'), 3)
    t.equal(ejectedBy(proxy), 0)
  } finally {
    await full.close()
  }
})

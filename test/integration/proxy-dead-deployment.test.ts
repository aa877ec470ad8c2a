/** Deployments that are away, slow or half dead: an answer at once or in time, and calls that go where somebody serves. */

import type { WorkerReport } from '../../src/proxy/ipc.ts'
import { fullBacklog } from '../support/full-backlog.ts'
import { answering } from '../support/manual-deployment.ts'
import {
  codeOf,
  eventually,
  fieldsOf,
  get,
  ok,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'

/** Draws the first of the endpoints, wherever it may be drawn. */
const FIRST = (): number => 0

await proxyTest(
  'a dead deployment is 503 with problem details and retry-after, at once and each time',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    await deployment.close()
    const client = await lab.client(proxy)
    for (let call = 0; call < 3; call++) {
      const started = performance.now()
      await client.send(get())
      const { status, head, body } = await readAnswer(client)
      t.equal(status, 503)
      t.ok(performance.now() - started < 1_000, 'at once')
      t.same(fieldsOf(head, 'content-type'), ['application/problem+json'])
      t.match(fieldsOf(head, 'retry-after')[0], /^\d+$/)
      t.same(JSON.parse(body), {
        type: 'about:amt/upstream_connect',
        title: 'the deployment cannot be reached',
        status: 503,
      })
      t.notMatch(body, String(deployment.port), 'nothing about topology')
    }
    t.equal(proxy.rejected('upstream_connect'), 3)
    t.equal(proxy.totals().calls, 0, 'what no deployment saw is no usage')
  },
)

await proxyTest('a deployment that is back serves again, without a pause', async (t, lab) => {
  const deployment = await lab.deployment()
  const { port } = deployment
  const proxy = await lab.forOne(deployment)
  await deployment.close()
  const client = await lab.client(proxy)
  await client.send(get())
  t.equal((await readAnswer(client)).status, 503)
  await lab.deployment({ port, serve: answering(ok('back')) })
  await client.send(get())
  t.equal((await readAnswer(client)).body, 'back')
})

await proxyTest(
  'a deployment that does not accept is 504 after the connect timeout',
  async (t, lab) => {
    const full = await fullBacklog()
    try {
      const proxy = await lab.proxy({
        tenants: [tenant('acme', full)],
        timeouts: { connect: '200ms' },
      })
      const client = await lab.client(proxy)
      await client.send(get())
      const { status, body } = await readAnswer(client)
      t.equal(status, 504)
      t.equal(codeOf(body), 'upstream_connect_timeout')
    } finally {
      await full.close()
    }
  },
)

await proxyTest(
  'a deployment that does not answer is 504 after the response timeout, and its connection is closed',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { timeouts: { response: '200ms' } })
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    const { status, body } = await readAnswer(client)
    t.equal(status, 504)
    t.equal(codeOf(body), 'upstream_timeout')
    await upstream.until(() => upstream.ended || upstream.closed, 'the close')
    await client.send(get())
    const next = await deployment.next()
    await next.readHead()
    await next.send(ok('now'))
    t.equal((await readAnswer(client)).body, 'now')
  },
)

await proxyTest('the response timeout ends with the head of the answer', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, { timeouts: { response: '150ms' } })
  const client = await lab.client(proxy)
  await client.send(get())
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n')
  await client.readHead()
  await new Promise(resolve => setTimeout(resolve, 400))
  await upstream.send('ok')
  t.equal(await client.readBytes(2), 'ok')
})

await proxyTest('an answer that stops for longer than the idle timeout is cut', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, { timeouts: { idle: '200ms' } })
  const client = await lab.client(proxy)
  await client.send(get())
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab')
  await client.until(() => client.ended || client.closed, 'the cut')
  t.match(client.text, /\r\n\r\nab$/)
})

await proxyTest('with one of two endpoints dead all calls succeed', async (t, lab) => {
  const dead = await lab.deployment()
  const alive = await lab.deployment({ serve: answering(ok('alive')) })
  await dead.close()
  const endpoints = [dead, alive].map(({ port }) => `http://127.0.0.1:${port}`)
  const proxy = await lab.proxy({ tenants: [tenant('acme', alive, { deployment: { endpoints } })] })
  for (let call = 0; call < 6; call++) {
    const client = await lab.client(proxy)
    await client.send(
      call % 2 === 0 ? get() : `POST / HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 0\r\n\r\n`,
    )
    t.equal((await readAnswer(client)).body, 'alive')
  }
  t.equal(proxy.totals().calls, 6)
})

await proxyTest(
  'an endpoint that failed rests for a second, and is then tried again',
  async (t, lab) => {
    const alive = await lab.deployment({ serve: answering(ok('alive')) })
    const dead = await lab.deployment()
    const { port } = dead
    await dead.close()
    const endpoints = [port, alive.port].map(each => `http://127.0.0.1:${each}`)
    const proxy = await lab.proxy(
      { tenants: [tenant('acme', alive, { deployment: { endpoints } })] },
      { random: FIRST },
    )
    const client = await lab.client(proxy)
    await client.send(get())
    t.equal((await readAnswer(client)).body, 'alive')
    const back = await lab.deployment({ port, serve: answering(ok('back!')) })
    for (let call = 0; call < 4; call++) {
      await client.send(get())
      t.equal((await readAnswer(client)).body, 'alive', 'ejected for now')
    }
    proxy.worker.reportNow()
    t.match(lastEndpoints(proxy.reports()), { healthy: 1, ejected: 1 })
    await new Promise(resolve => setTimeout(resolve, 1_050))
    await client.send(get())
    t.equal((await readAnswer(client)).body, 'back!')
    t.equal(back.peers.length, 1)
  },
)

function lastEndpoints(
  reports: readonly WorkerReport[],
): WorkerReport['endpoints'][number] | undefined {
  return reports.flatMap(report => report.endpoints).at(-1)
}

await proxyTest(
  'an endpoint that fails its health check gets no calls until it passes again',
  async (t, lab) => {
    let well = false
    const sick = await lab.deployment({
      serve: async peer => {
        for (;;) {
          await peer.until(
            () => peer.text.includes('\r\n\r\n') || peer.ended || peer.closed,
            'a call',
          )
          if (peer.ended || peer.closed) return
          const check = (await peer.readHead()).startsWith('GET /healthz ')
          await peer.send(
            check && !well ? 'HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n' : ok('sick?'),
          )
        }
      },
    })
    const fit = await lab.deployment({ serve: answering(ok('fit')) })
    const endpoints = [sick, fit].map(({ port }) => `http://127.0.0.1:${port}`)
    const health = { path: '/healthz', interval: '50ms', timeout: '2s' }
    const proxy = await lab.proxy(
      { tenants: [tenant('acme', fit, { deployment: { endpoints, health } })] },
      { random: FIRST },
    )
    const client = await lab.client(proxy)
    const call = async (): Promise<string> => {
      await client.send(get())
      return (await readAnswer(client)).body
    }
    await call()
    const ejected = (count: number) => (): boolean => {
      proxy.worker.reportNow()
      return lastEndpoints(proxy.reports())?.ejected === count
    }
    await eventually(ejected(1))
    for (let turn = 0; turn < 6; turn++) t.equal(await call(), 'fit')
    well = true
    await eventually(ejected(0))
    t.equal(await call(), 'sick?')
  },
)

const MALFORMED: Record<string, string> = {
  'no HTTP': 'SSH-2.0-x\r\n\r\n',
  'another version': 'HTTP/2.0 200 OK\r\n\r\n',
  'two lengths': 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab',
  'a length and chunks':
    'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  'a bare LF': 'HTTP/1.1 200 OK\r\nx: a\nb\r\n\r\n',
  'an endless head': `HTTP/1.1 200 OK\r\nx: ${'a'.repeat(200_000)}`,
}
for (const [name, answer] of Object.entries(MALFORMED)) {
  await proxyTest(`an answer with ${name} is 502, and nothing of it passes`, async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(answer)
    const { status, body } = await readAnswer(client)
    t.equal(status, 502)
    t.equal(codeOf(body), 'upstream_malformed')
    await upstream.until(() => upstream.ended || upstream.closed, 'the close')
  })
}

await proxyTest('an answer with a bad chunk is cut where it went wrong', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(get())
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n')
  await client.read('ab\r\n')
  await upstream.send('zz\r\n')
  await client.until(() => client.ended || client.closed, 'the cut')
  t.notMatch(client.text, '0\r\n\r\n')
})

const HINTS = 'HTTP/1.1 103 Early Hints\r\n\r\n'

await proxyTest(
  'interim answers pass, 32 of them at once; without an end they are 502',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    await upstream.send(HINTS.repeat(32) + ok())
    await client.read(HINTS.repeat(32))
    t.equal((await readAnswer(client)).status, 200)
    await client.send(get())
    await upstream.readHead()
    await upstream.send(HINTS.repeat(1_000))
    const passed = await client.read('HTTP/1.1 502 Bad Gateway\r\n')
    t.ok(passed.split(HINTS).length - 1 >= 32)
    t.ok(passed.split(HINTS).length - 1 < 100)
    await upstream.until(() => upstream.ended || upstream.closed, 'the close')
  },
)

/** Spans of calls, at a collector: whose parents they are, which calls have one, what stands in them, and what if it is away. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { t, test } from 'tap'
import { freePorts } from '../support/free-ports.ts'
import { valuesOf } from '../support/http2/call.ts'
import { http2Test, outcomeOf, request } from '../support/http2/http2-lab.ts'
import { as, mixTest, reportOf } from '../support/http2/mixes.ts'
import { answering } from '../support/manual-deployment.ts'
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.ts'
import {
  eventually,
  get,
  keyOf,
  ok,
  type ProxyLab,
  post,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

// There are many of them, on a machine that may be busy.
t.setTimeout(300_000)

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'
const SAMPLED = `00-${TRACE}-${PARENT}-01`
const UNSAMPLED = `00-${TRACE}-${PARENT}-00`

const shared = await OtlpReceiver.start(t)

let traces = 0
/** A trace id that no other call has. */
function nextTrace(): string {
  traces++
  return traces.toString(16).padStart(32, 'a')
}

await mixTest(
  'parent chain: the client, the proxy, the deployment',
  async (t, scene) => {
    const client = await scene.client()
    const trace = nextTrace()
    const report = reportOf(
      await client.call(
        as('acme', {
          path: '/report?secret=of-the-query',
          fields: { traceparent: `00-${trace}-${PARENT}-03`, tracestate: 'congo=t61, rojo=1' },
        }),
      ),
    )
    // A call without a trace begins one, with the span of the proxy as its root.
    const begun = reportOf(await client.call(as('acme', { path: '/report' })))
    const [, newTrace, newParent] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-03$/.exec(
      valuesOf(begun.fields, 'traceparent').join(),
    ) ?? ['', '', '']

    // What is not valid is replaced, and so is what belongs to it.
    for (const broken of ['00-nonsense-01', `ff-${TRACE}-${PARENT}-01`, [SAMPLED, SAMPLED]]) {
      const replaced = reportOf(
        await client.call(
          as('acme', { path: '/report', fields: { traceparent: broken, tracestate: 'congo=t61' } }),
        ),
      )
      const values = valuesOf(replaced.fields, 'traceparent')
      t.match(values, [/^00-[0-9a-f]{32}-[0-9a-f]{16}-03$/], `instead of ${String(broken)}`)
      t.equal(values.length, 1)
      t.notMatch(values[0], TRACE)
      t.same(valuesOf(replaced.fields, 'tracestate'), [])
    }

    // Whoever is trusted says that it is not wanted.
    const silent = reportOf(
      await client.call(as('acme', { path: '/report', fields: { traceparent: UNSAMPLED } })),
    )
    t.same(valuesOf(silent.fields, 'traceparent'), [UNSAMPLED], 'unsampled, it passes unchanged')

    // Spans leave once a second, or with the end of the worker.
    await scene.proxy.close()
    const [root] = shared.spans.filter(({ traceId }) => traceId === newTrace)
    t.match(root, { spanId: newParent, parentSpanId: '' })
    const [span] = shared.spans.filter(({ traceId }) => traceId === trace)
    t.equal(span?.parentSpanId, PARENT, 'the client is the parent of the proxy')
    t.match(span?.spanId, /^(?!b7ad6b7169203331)[0-9a-f]{16}$/)
    t.same(
      valuesOf(report.fields, 'traceparent'),
      [`00-${trace}-${span?.spanId}-03`],
      'and the proxy that of the deployment',
    )
    t.same(valuesOf(report.fields, 'tracestate'), ['congo=t61, rojo=1'])
    t.match(span, {
      name: 'GET other',
      kind: 2,
      status: 0,
      attributes: {
        'http.request.method': 'GET',
        'url.path': '/report',
        'url.scheme': scene.mix.secure ? 'https' : 'http',
        'http.response.status_code': 200,
        'network.protocol.version': scene.mix.downstream === 2 ? '2' : '1.1',
        'client.address': '127.0.0.1',
        'amt.tenant': 'acme',
        'amt.operation': 'other',
        'amt.routability': 'l7',
        'amt.flag': '-',
        'amt.request_id': valuesOf(report.fields, 'x-request-id')[0],
      },
      resource: { 'service.name': 'orders' },
    })
    t.equal(span?.attributes['server.address'], report.host.replace(/:\d+$/, ''))
    t.notMatch(shared.text, /of-the-query|amt_acme/)
  },
  {
    config: {
      service: { name: 'orders' },
      trustedProxies: ['127.0.0.1'],
      tracing: { otlp: shared.url, sampling: '100%' },
    },
  },
)

await mixTest(
  'unsampled calls pass unchanged, malformed ones too',
  async (t, scene) => {
    const client = await scene.client()
    for (const traceparent of [UNSAMPLED, SAMPLED, 'nonsense', undefined]) {
      const fields = traceparent === undefined ? {} : { traceparent, tracestate: 'congo=t61' }
      const report = reportOf(await client.call(as('acme', { path: '/report', fields })))
      t.same(valuesOf(report.fields, 'traceparent'), traceparent === undefined ? [] : [traceparent])
      t.same(valuesOf(report.fields, 'tracestate'), traceparent === undefined ? [] : ['congo=t61'])
    }
    t.equal(shared.spans.filter(({ traceId }) => traceId === TRACE).length, 0)
  },
  {
    config: { tracing: { otlp: shared.url, sampling: '0%', clientSampling: 'off' } },
    takes: ({ secure }) => !secure,
  },
)

await proxyTest('sampling: by chance where nobody says otherwise', async (t, lab) => {
  const collector = await OtlpReceiver.start(t)
  let chance = 0.99
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const proxy = await lab.proxy(
    {
      tenants: [tenant('acme', deployment)],
      tracing: {
        otlp: `${collector.url}/own/path`,
        sampling: '25%',
        headers: { 'x-key': 'opens' },
      },
    },
    { random: () => chance },
  )
  const client = await lab.client(proxy)
  const ask = async (path: string, lines = ''): Promise<void> => {
    await client.send(get(path, lines))
    await readAnswer(client)
  }
  await ask('/above')
  chance = 0.2499
  await ask('/below')
  await ask('/unsampled', `traceparent: ${UNSAMPLED}\r\n`)
  await ask('/broken', 'traceparent: nonsense\r\n')
  const spans = await collector.await(2)
  t.same(pathsOf(spans), ['/below', '/broken'])
  t.match(collector.requests[0], { path: '/own/path', headers: { 'x-key': 'opens' } })
})

await proxyTest('a stranger cannot force more spans than the rate allows', async (t, lab) => {
  const collector = await OtlpReceiver.start(t)
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const input = {
    tenants: [tenant('acme', deployment)],
    tracing: { otlp: collector.url, sampling: '0%', clientSampling: '3/h' },
  }
  const proxies = [
    await lab.proxy(input),
    await lab.proxy({ ...input, trustedProxies: ['127.0.0.1'] }),
  ] as const
  const stranger = await lab.client(proxies[0])
  for (let call = 0; call < 20; call++) {
    await stranger.send(get('/stranger', `traceparent: ${SAMPLED}\r\n`))
    await readAnswer(stranger)
  }
  const trusted = await lab.client(proxies[1])
  for (let call = 0; call < 20; call++) {
    await trusted.send(get('/trusted', `traceparent: ${SAMPLED}\r\n`))
    await readAnswer(trusted)
  }
  for (const proxy of proxies) await proxy.close()
  const paths = pathsOf(collector.spans)
  t.equal(paths.filter(path => path === '/trusted').length, 20)
  t.equal(paths.filter(path => path === '/stranger').length, 1, 'a burst is a second of the rate')
})

await proxyTest('what is refused has a span that says so, and no secret', async (t, lab) => {
  const collector = await OtlpReceiver.start(t)
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const proxy = await lab.forOne(deployment, {
    authentication: { apiKey: { query: 'key' } },
    tracing: { otlp: collector.url, sampling: '100%', headers: { authorization: 'Bearer mine' } },
  })
  const client = await lab.client(proxy)
  const secret = keyOf('acme')
  const foreign = keyOf('nobody')
  for (const head of [
    get(`/a/${secret}/b?key=${secret}`, `authorization: Basic ${btoa('me:hidden-word')}\r\n`),
    get('/x', `x-api-key: ${foreign}\r\nhost-of: x\r\nx-request-id: ${foreign}\r\n`),
    `GET / HTTP/1.1\r\nhost: ${foreign.replaceAll('_', '-')}.example\r\n\r\n`,
    `STRANGE / HTTP/1.1\r\nhost: acme.test\r\ncookie: session=hidden-word\r\n\r\n`,
  ]) {
    await client.send(head)
    await readAnswer(client)
  }
  await proxy.close()
  const { spans } = collector
  t.equal(spans.length, 4)
  t.match(spans[0]?.attributes, { 'url.path': '/a/[redacted]', 'amt.tenant': 'acme' })
  t.match(spans[1], {
    status: 0,
    attributes: { 'http.response.status_code': 401, 'amt.routability': 'unroutable' },
  })
  t.match(spans[1]?.attributes['amt.code'], /./)
  t.notOk('error.type' in (spans[1]?.attributes ?? {}), 'it is no failure of the proxy')
  t.notOk('amt.tenant' in (spans[1]?.attributes ?? {}))
  t.notOk('server.address' in (spans[2]?.attributes ?? {}), 'a stranger may say any host')
  t.match(spans[3], {
    name: '_OTHER other',
    attributes: { 'http.request.method': '_OTHER', 'http.request.method_original': 'STRANGE' },
  })
  for (const text of [secret, foreign, foreign.replaceAll('_', '-'), 'hidden-word', 'Bearer'])
    t.notMatch(collector.text, text)
})

await proxyTest('a deployment that fails makes the span an error', async (t, lab) => {
  const collector = await OtlpReceiver.start(t)
  const answers = ['HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n', '']
  const deployment = await lab.deployment({
    serve: async peer => {
      await peer.readHead()
      const answer = answers.shift() ?? ''
      if (answer === '') peer.reset()
      else await peer.send(answer.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
    },
  })
  const proxy = await lab.forOne(deployment, { tracing: { otlp: collector.url, sampling: '100%' } })
  const client = await lab.client(proxy)
  for (const head of [get('/busy'), post('/reset')]) {
    await client.send(head)
    await readAnswer(client)
  }
  await proxy.close()
  const { spans } = collector
  t.match(spans[0], {
    status: 2,
    attributes: { 'http.response.status_code': 503, 'error.type': '503', 'amt.flag': '-' },
  })
  t.match(spans[1], { status: 2, attributes: { 'http.response.status_code': 502 } })
  t.notMatch(spans[1]?.attributes['amt.flag'], '-')
  for (const { startedAt, endedAt } of spans)
    t.ok(endedAt >= startedAt && Math.abs(Date.now() - startedAt) < 60_000)
})

await http2Test('gRPC: its method, its status, and what is an error', async (t, lab, http2) => {
  const collector = await OtlpReceiver.start(t)
  const deployment = await http2.deployment(stream => {
    const failed = stream.sections[0]?.some(([, value]) => value.endsWith('/Fail'))
    const fields = [
      [':status', '200'],
      ['content-type', 'application/grpc'],
      ['grpc-status', failed === true ? '14' : '5'],
    ] as const
    stream.section(fields, { end: true })
  })
  const proxy = await lab.proxy({
    tenants: [tenant('acme', { port: 0 }, { deployment: { endpoints: [deployment.url] } })],
    service: { operations: [{ name: 'orders', match: 'grpc shop.Orders/*' }] },
    tracing: { otlp: collector.url, sampling: '100%' },
  })
  const client = await http2.client(proxy)
  for (const name of ['Fail', 'Find'])
    await outcomeOf(
      request(client, {
        method: 'POST',
        path: `/shop.Orders/${name}`,
        more: [['content-type', 'application/grpc']],
      }),
    )
  await proxy.close()
  const { spans } = collector
  t.match(spans[0], {
    name: 'shop.Orders/Fail',
    status: 2,
    attributes: {
      'rpc.system.name': 'grpc',
      'rpc.method': 'shop.Orders/Fail',
      'rpc.status_code': 'UNAVAILABLE',
      'error.type': 'UNAVAILABLE',
      'http.response.status_code': 200,
      'amt.operation': 'orders',
    },
  })
  t.match(spans[1], { status: 0, attributes: { 'rpc.status_code': 'NOT_FOUND' } })
  t.notOk('error.type' in (spans[1]?.attributes ?? {}), 'the client asked for what is not there')
})

for (const [name, status, fate] of [
  ['answers 500', 500, 'failed'],
  ['is overloaded (503)', 503, 'failed'],
  ['never answers', 'never', 'dropped'],
] as const)
  await proxyTest(`a collector that ${name} costs nothing but counted spans`, async (t, lab) => {
    const collector = await OtlpReceiver.start(t)
    collector.answer = status
    const deployment = await lab.deployment({ serve: answering(ok()) })
    const proxy = await lab.forOne(deployment, {
      tracing: { otlp: collector.url, sampling: '100%', timeout: '500ms', queue: 256 },
    })
    await answersAll(lab, proxy, 600)
    await eventually(() => figuresOf(proxy)[fate] > 0)
    const figures = figuresOf(proxy)
    t.ok(figures[fate] > 0, 'lost spans are counted')
    t.equal(figures.exported, 0)
    collector.answer = 200
    let calls = 600
    // Those that wait have to fail first, one batch after the other: a queue that is full takes no more.
    for (; figuresOf(proxy).exported === 0 && calls < 1_000; calls++) {
      await answersAll(lab, proxy, 1)
      await new Promise(resolve => setTimeout(resolve, 25))
    }
    await eventually(() => waitingOf(proxy, calls) === 0)
    t.ok(figuresOf(proxy).exported > 0, 'and it goes on when it is back')
    t.equal(waitingOf(proxy, calls), 0, 'each span is exported, failed or dropped')
  })

await proxyTest('a collector that is away costs nothing but counted spans', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const proxy = await lab.forOne(deployment, {
    tracing: {
      otlp: `http://127.0.0.1:${(await freePorts(1))[0]}`,
      sampling: '100%',
      timeout: '500ms',
      queue: 256,
    },
  })
  await answersAll(lab, proxy, 600)
  await proxy.close()
  t.equal(waitingOf(proxy, 600), 0)
  t.equal(figuresOf(proxy).exported, 0)
})

await proxyTest(
  'the end of a worker sends what waits, and does not wait for long',
  async (t, lab) => {
    const collector = await OtlpReceiver.start(t)
    const deployment = await lab.deployment({ serve: answering(ok()) })
    const tracing = { otlp: collector.url, sampling: '100%' }
    const quick = await lab.forOne(deployment, { tracing })
    await answersAll(lab, quick, 300)
    await quick.close()
    t.equal(collector.spans.length, 300, 'all of them are there')
    t.same(figuresOf(quick), { exported: 300, failed: 0, dropped: 0 })
    collector.answer = 'never'
    const slow = await lab.forOne(deployment, { tracing })
    await answersAll(lab, slow, 5)
    const begun = performance.now()
    await slow.close()
    t.ok(performance.now() - begun < 5_000, 'a collector that never answers holds nobody')
    t.same(figuresOf(slow), { exported: 0, failed: 0, dropped: 5 })
  },
)

await test('without spans nothing of OpenTelemetry is loaded', async t => {
  const worker = join(import.meta.dirname, '..', '..', 'src', 'proxy', 'worker', 'worker.ts')
  const program = `
    import { registerHooks } from 'node:module'
    registerHooks({
      resolve(name, context, next) {
        if (name.includes('opentelemetry')) console.log(name)
        return next(name, context)
      },
    })
    await import(${JSON.stringify(worker)})`
  const { NODE_OPTIONS: _, ...env } = process.env
  const run = promisify(execFile)
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program], { env })
  t.equal(stdout, '')
})

function pathsOf(spans: readonly ReceivedSpan[]): (string | number | undefined)[] {
  return spans.map(({ attributes }) => attributes['url.path'])
}

type Figures = { exported: number; failed: number; dropped: number }

function figuresOf(proxy: RunningProxy): Figures {
  proxy.worker.reportNow()
  const sum = { exported: 0, failed: 0, dropped: 0 }
  for (const { traces } of proxy.reports()) {
    sum.exported += traces.exported
    sum.failed += traces.failed
    sum.dropped += traces.dropped
  }
  return sum
}

/** Of so many spans. */
function waitingOf(proxy: RunningProxy, all: number): number {
  const { exported, failed, dropped } = figuresOf(proxy)
  return all - exported - failed - dropped
}

async function answersAll(lab: ProxyLab, proxy: RunningProxy, calls: number): Promise<void> {
  const client = await lab.client(proxy)
  for (let call = 0; call < calls; call++) {
    await client.send(get())
    const { status } = await readAnswer(client)
    if (status !== 200) throw new Error(`a call was answered with ${status}`)
  }
  client.end()
}

/** gRPC through the proxy, with `@grpc/grpc-js` on both ends: all kinds of calls, deadlines, cancellation, identity. */
import { once } from 'node:events'
import { status } from '@grpc/grpc-js'
import { type Test, test } from 'tap'
import { type CertificateFiles, TestAuthority } from '../support/certificates.ts'
import { allKinds } from '../support/grpc/all-kinds.ts'
import { GrpcClient, type GrpcClientOptions } from '../support/grpc/client.ts'
import { grpcStatusOf } from '../support/grpc/grpc-status.ts'
import { type GrpcDeployment, SERVICE, startGrpc } from '../support/grpc/service.ts'
import { type RunningDeployment, startDeployment } from '../support/http2/deployment.ts'
import { answerOf, closeOf, type Http2Answer, Http2Client } from '../support/http2/http2-client.ts'
import { reportOf } from '../support/http2/mixes.ts'
import { eventually, keyOf, ProxyLab, tenant } from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const key = (id: string): { 'x-api-key': string } => ({ 'x-api-key': keyOf(id) })

interface World {
  readonly lab: ProxyLab
  readonly proxy: RunningProxy
  readonly acme: GrpcDeployment
  readonly globex: GrpcDeployment
  readonly ca: TestAuthority
  readonly client: (options?: GrpcClientOptions) => GrpcClient
}

interface Plan {
  readonly secure?: boolean
  readonly acme?: Record<string, unknown>
  readonly config?: Record<string, unknown>
  readonly listenerTls?: (ca: TestAuthority) => Record<string, unknown>
}

function grpcTest(name: string, plan: Plan, body: (t: Test, world: World) => Promise<void>) {
  return test(name, async t => {
    const lab = new ProxyLab()
    const clients: GrpcClient[] = []
    lab.closing(async () => {
      for (const client of clients) client.close()
    })
    try {
      const { secure = false } = plan
      const ca = await TestAuthority.create(t)
      const certificate = await ca.server(['service.test', 'acme.test'], ['127.0.0.1'])
      const [acme, globex] = [
        await startGrpc(t, 'acme', secure ? certificate : undefined),
        await startGrpc(t, 'globex', secure ? certificate : undefined),
      ]
      const proxy = await startBetween(lab, plan, { ca, certificate, acme, globex })
      const client = (options: GrpcClientOptions = {}): GrpcClient => {
        const made = new GrpcClient(proxy.port('public'), {
          ca: secure ? ca.cert : undefined,
          ...options,
        })
        clients.push(made)
        return made
      }
      await body(t, { lab, proxy, acme, globex, ca, client })
    } finally {
      await lab.close(t)
    }
  })
}

interface Parts {
  readonly ca: TestAuthority
  readonly certificate: CertificateFiles
  readonly acme: GrpcDeployment
  readonly globex: GrpcDeployment
}

function startBetween(
  lab: ProxyLab,
  { secure = false, acme: more, config, listenerTls }: Plan,
  { ca, certificate, acme, globex }: Parts,
): Promise<RunningProxy> {
  const certificates = [{ cert: certificate.certPath, key: certificate.keyPath }]
  const at = ({ endpoint }: GrpcDeployment): Record<string, unknown> => ({
    deployment: { endpoints: [endpoint], ...(secure ? { tls: { ca: ca.certPath } } : {}) },
  })
  return lab.proxy({
    listeners: [
      {
        name: 'public',
        mode: 'shared',
        address: '127.0.0.1:0',
        ...(secure ? { tls: { certificates, ...listenerTls?.(ca) } } : {}),
      },
    ],
    service: {
      operations: [
        { name: 'unary', match: `grpc ${SERVICE}/Unary` },
        { name: 'chat', match: `grpc ${SERVICE}/Chat` },
      ],
    },
    tenants: [tenant('acme', acme, { ...at(acme), ...more }), tenant('globex', globex, at(globex))],
    ...config,
  })
}

for (const secure of [false, true]) {
  await grpcTest(
    `every kind of call, ${secure ? 'over TLS' : 'in cleartext'}`,
    { secure },
    async (t, { client, acme, globex, proxy }) => {
      const one = client()
      await allKinds(t, one, acme, key('acme'))
      await allKinds(t, one, globex, key('globex'))
      t.equal(acme.calls, globex.calls, 'each has had its own')
      const { calls } = proxy.totals(({ tenant }) => tenant === 'acme')
      t.equal(calls, acme.calls + 1, 'the method that there is not is a call, too')
    },
  )
}

await grpcTest('what the deployment learns of the call', {}, async (t, { client }) => {
  const { trailers } = await client().unary('hello', {
    ...key('acme'),
    'x-amt-tenant': 'globex',
    'x-request-id': 'of-the-client',
  })
  const saw = (name: string): string[] => trailers.get(`saw-${name}`).map(String)
  t.same(saw('x-amt-tenant'), ['acme'])
  t.same(saw('x-request-id'), ['of-the-client'])
  t.same(saw('x-forwarded-proto'), ['http'])
  t.same(saw('x-api-key'), [])
  t.match(saw('via').join(), /^2(\.0)? /)
})

await grpcTest(
  'calls of two tenants on one channel, mixed',
  {},
  async (t, { client, acme, globex, proxy }) => {
    const one = client()
    const ids = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? 'globex' : 'acme'))
    const outcomes = await Promise.all(ids.map(async id => one.unary(`of ${id}`, key(id))))
    t.same(
      outcomes.map(({ head, messages }) => `${head.get('x-from').join()} ${messages.join()}`),
      ids.map(id => `${id} of ${id}`),
    )
    t.same([acme.calls, globex.calls], [40, 20])
    const counted = (id: string): number =>
      proxy.totals(
        ({ tenant, code, operation }) =>
          tenant === id && code === 'grpc-0' && operation === 'unary',
      ).calls
    t.same([counted('acme'), counted('globex')], [40, 20])
  },
)

await grpcTest(
  'a client certificate says whose calls they are',
  {
    secure: true,
    acme: { credentials: [{ spiffe: 'spiffe://example.org/tenant/acme' }] },
    config: { authentication: { spiffe: { trustDomain: 'example.org' } } },
    listenerTls: ca => ({ clientCertificate: 'optional', clientCa: ca.certPath }),
  },
  async (t, { client, ca }) => {
    const one = client({ certificate: await ca.tenant('acme') })
    t.same((await one.unary('hello', {})).head.get('x-from'), ['acme'])
    t.equal((await one.unary('hello', key('globex'))).code, status.PERMISSION_DENIED)
  },
)

await grpcTest(
  'a deadline of the client ends the call everywhere',
  {},
  async (t, { client, acme }) => {
    const opened = acme.opened()
    const outcome = client().call('wait', 'x', key('acme'), { deadline: Date.now() + 500 })
    const { deadline, cancelled } = await opened
    const left = Number(deadline) - Date.now()
    t.ok(left > 0 && left <= 500, `${left} ms were left when it got there`)
    t.equal((await outcome).code, status.DEADLINE_EXCEEDED)
    await cancelled
  },
)

await grpcTest(
  'a client that cancels ends the call at the deployment',
  {},
  async (t, { client, acme, proxy }) => {
    const { stream, outcome } = client().chat(key('acme'))
    const opened = await acme.opened()
    stream.write(Buffer.from('one'))
    await once(stream, 'data')
    stream.cancel()
    await opened.cancelled
    t.equal((await outcome).code, status.CANCELLED)
    const cancelled = (): number => proxy.totals(({ code }) => code === 'grpc-1').calls
    await eventually(() => cancelled() === 1)
    t.equal(cancelled(), 1, 'and is counted as CANCELLED')
  },
)

await grpcTest(
  'a deployment that is cut off in a stream ends the call',
  {},
  async (t, { client, acme }) => {
    const { stream, outcome } = client().chat(key('acme'))
    await acme.opened()
    stream.write(Buffer.from('one'))
    await once(stream, 'data')
    acme.close()
    const { code } = await outcome
    t.ok(
      [status.UNAVAILABLE, status.CANCELLED, status.INTERNAL, status.UNKNOWN].includes(code),
      status[code],
    )
  },
)

await grpcTest(
  'a stream on which the client is silent is no slow upload',
  {
    config: {
      timeouts: { body: '200ms' },
      minimumRate: { request: '10KiB/s', window: '200ms' },
    },
  },
  async (t, { client, acme }) => {
    const { stream, outcome } = client().chat(key('acme'))
    await acme.opened()
    stream.write(Buffer.from('one'))
    await once(stream, 'data')
    // The wheel turns in ticks of 50 ms: five times what either limit allows.
    await new Promise(resolve => setTimeout(resolve, 1_000))
    stream.write(Buffer.from('two'))
    await once(stream, 'data')
    stream.end()
    t.equal((await outcome).code, status.OK)
  },
)

/** A deployment that does as it is told, and a client that shows each field: `grpc-js` has deadlines of its own on both ends. */
async function byHand(
  t: Test,
  lab: ProxyLab,
  more: Record<string, unknown> = {},
): Promise<{ deployment: RunningDeployment; client: Http2Client; proxy: RunningProxy }> {
  const deployment = await startDeployment(t, 'acme', { version: 2 })
  const endpoints = { deployment: { endpoints: [deployment.endpoint] } }
  const proxy = await lab.proxy({ tenants: [tenant('acme', deployment, endpoints)], ...more })
  const client = await Http2Client.connect(proxy.port('public'))
  lab.closing(async () => client.close())
  return { deployment, client, proxy }
}

const GRPC = { 'content-type': 'application/grpc+proto', te: 'trailers' }

await test('a client that goes away in the middle of a stream ends it at the deployment', async t => {
  const lab = new ProxyLab()
  const { deployment, client, proxy } = await byHand(t, lab)
  const opened = deployment.application.opened()
  client.open({ method: 'POST', path: '/open', fields: { ...GRPC, ...key('acme') } })
  const { gone } = await opened
  // With the end of its connection, and without a word on the stream.
  client.session.destroy()
  t.equal(await gone, 8, 'CANCEL')
  await eventually(() => proxy.totals(record => record.code === 'grpc-1').calls === 1)
  t.equal(proxy.totals(record => record.code === 'grpc-1').calls, 1)
  await lab.close(t)
})

await test('grpc-timeout: DEADLINE_EXCEEDED from the proxy itself, and the stream of the deployment is cancelled', async t => {
  for (const timeout of ['1S', '1000m', '1000000u']) {
    const lab = new ProxyLab()
    const { deployment, client, proxy } = await byHand(t, lab)
    const opened = deployment.application.opened()
    const began = performance.now()
    const stream = client.open({
      method: 'POST',
      path: '/open',
      fields: { ...GRPC, ...key('acme'), 'grpc-timeout': timeout },
    })
    const answer = answerOf(stream)
    const { gone, request } = await opened
    t.match(request.headers['grpc-timeout'], /^\d{1,8}[numSMH]$/, 'the deployment knows it')
    const { status: code, trailersOnly } = grpcStatusOf(await answer)
    t.same([code, trailersOnly], [status.DEADLINE_EXCEEDED, true], timeout)
    const took = performance.now() - began
    t.ok(took >= 990, `${took} ms`)
    t.equal(await gone, 8, 'CANCEL')
    await eventually(() => proxy.totals(record => record.code === 'grpc-4').calls === 1)
    t.equal(proxy.totals(record => record.code === 'grpc-4').calls, 1)
    await lab.close(t)
  }
})

await test('a deadline that passes in an answer that has begun ends the stream', async t => {
  const lab = new ProxyLab()
  const { deployment, client } = await byHand(t, lab)
  const opened = deployment.application.opened()
  const stream = client.open({
    method: 'POST',
    path: '/open',
    fields: { ...GRPC, ...key('acme'), 'grpc-timeout': '300m' },
  })
  const head = once(stream, 'response')
  const closed = closeOf(stream)
  const { response, gone } = await opened
  response.setHeader('content-type', 'application/grpc+proto')
  response.write(Buffer.of(0, 0, 0, 0, 0))
  await head
  stream.resume()
  let trailers: Record<string, unknown> = {}
  stream.on('trailers', (fields: Record<string, unknown>) => {
    trailers = fields
  })
  const code = await closed
  t.equal(await gone, 8, 'CANCEL')
  // Either is right for a client: trailers with the status, or a reset.
  t.ok(trailers['grpc-status'] === '4' || code !== 0)
  await lab.close(t)
})

await test('a timeout that is none is refused, and one beyond the end of time is a long one', async t => {
  const lab = new ProxyLab()
  const { client, deployment } = await byHand(t, lab)
  const ask = (timeout: string): Promise<Http2Answer> =>
    client.call({
      method: 'POST',
      path: '/report',
      fields: { ...GRPC, ...key('acme'), 'grpc-timeout': timeout },
    })
  for (const timeout of ['1', 'S', '-1S', '123456789S', '1x', '1 S']) {
    const refused = grpcStatusOf(await ask(timeout))
    t.same([refused.status, refused.trailersOnly], [status.INTERNAL, true], timeout)
  }
  t.equal(deployment.application.calls, 0)
  t.equal(reportOf(await ask('99999999H')).from, 'acme')
  await lab.close(t)
})

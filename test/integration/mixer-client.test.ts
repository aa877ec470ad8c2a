import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { UsageGrouping } from '../../src/contracts/usage-query.ts'
import type { UsageRecord } from '../../src/contracts/usage-report.ts'
import { createAuthority, issueServerCertificate } from '../../src/runtime/certificates/issue.ts'
import { createMixerClient, type MixerClient } from '../../src/runtime/mixer-client.ts'
import { MINUTE, NOON, record, report } from '../support/ledger/reports.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

function clientOf(
  t: Test,
  url: string,
  options: { token?: string; timeoutMs?: number; ca?: string } = {},
): MixerClient {
  const client = createMixerClient({ url, token: TOKEN, ...options })
  t.teardown(() => client.close())
  return client
}

async function startFake(t: Test, status: number, body: string): Promise<string> {
  const server: Server = createServer((request, response) => {
    request.resume()
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

await test('a mixer behind https is verified against the authority that is named', async t => {
  const authority = await createAuthority('test', Date.now())
  const names = { names: ['localhost'], addresses: ['127.0.0.1'] }
  const { cert, key } = await issueServerCertificate(authority, names, Date.now())
  const folder = t.testdir({ 'ca.crt': authority.cert, 'cert.crt': cert, 'cert.key': key })
  const { url } = await startMixer(t, {
    now: () => NOON,
    tls: { cert: join(folder, 'cert.crt'), key: join(folder, 'cert.key') },
    ledger: join(folder, 'ledger.db'),
  })
  t.match(url, /^https:/)
  const trusting = clientOf(t, url, { ca: join(folder, 'ca.crt') })
  t.match(await trusting.report(report(1)), { ok: true, durable: 1 })
  t.match(await clientOf(t, url).report(report(2)), {
    ok: false,
    reason: 'unreachable',
    detail: /certificate/,
  })
  t.throws(() => createMixerClient({ url, token: TOKEN, ca: join(folder, 'none.crt') }), {
    code: 'ENOENT',
  })
})

await test('a report that is aborted is unreachable', async t => {
  const server = createTcpServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const aborted = new AbortController()
  server.once('connection', socket => {
    socket.on('error', () => {})
    aborted.abort()
  })
  const result = await clientOf(t, `http://127.0.0.1:${port}`).report(report(1), aborted.signal)
  t.match(result, { ok: false, reason: 'unreachable' })
})

await test('a report is delivered and told to be durable', async t => {
  const { url } = await startMixer(t, { now: () => NOON })
  const client = clientOf(t, url)
  t.match(await client.report(report(1)), { ok: true, durable: 1 })
  t.match(await client.report(report(1)), { ok: true, durable: 1 })
  t.match(await client.usage({}), { ok: true, usage: { tenant: null, totals: { calls: 1 } } })
})

await test('a refusal comes with its code and what is wrong', async t => {
  const { url } = await startMixer(t, { now: () => NOON })
  const gap = await clientOf(t, url).report(report(7))
  t.match(gap, { ok: false, reason: 'refused', status: 409, code: 'report_gap', expected: 1 })
  const malformed = await clientOf(t, url).report(report(1, [record({ calls: -1 })]))
  t.match(malformed, {
    ok: false,
    reason: 'refused',
    code: 'malformed_message',
    problems: [/^columns\.calls\[0\]: /],
  })
  const unauthorized = await clientOf(t, url, { token: 'another-token-than-its' }).report(report(1))
  t.match(unauthorized, {
    ok: false,
    reason: 'refused',
    status: 401,
    code: 'unauthorized',
    problems: [],
  })
})

await test('a path in the URL is kept as a prefix', async t => {
  const { url } = await startMixer(t)
  t.match(await clientOf(t, `${url}/`).usage({}), { ok: true })
  t.match(await clientOf(t, `${url}/behind`).usage({}), {
    ok: false,
    reason: 'refused',
    code: 'not_found',
  })
})

await test('what is no answer of a mixer counts as unreachable', async t => {
  const problem = JSON.stringify({
    type: 'about:amt/ledger_unavailable',
    title: 'away',
    status: 503,
  })
  const cases: readonly { name: string; status: number; body: string; detail: RegExp }[] = [
    { name: 'HTML', status: 200, body: '<html>', detail: /answered 200, but not as a mixer does/ },
    { name: 'other JSON', status: 200, body: '{"durable":"1"}', detail: /not as a mixer does/ },
    {
      name: 'another producer',
      status: 200,
      body: '{"producer":"p2","durable":1}',
      detail: /not as a mixer does/,
    },
    {
      name: 'a plain 502',
      status: 502,
      body: 'bad gateway',
      detail: /answered 502, but not as a mixer does/,
    },
    { name: 'a plain 404', status: 404, body: '', detail: /answered 404, but not as a mixer does/ },
    {
      name: 'a ledger that is away',
      status: 503,
      body: problem,
      detail: /503 ledger_unavailable: away/,
    },
  ]
  for (const { name, status, body, detail } of cases) {
    const result = await clientOf(t, await startFake(t, status, body)).report(report(1))
    t.match(result, { ok: false, reason: 'unreachable', detail }, name)
  }
})

await test('a mixer that is not there, hangs or hangs up is an answer and no exception', async t => {
  const server = createTcpServer(socket => {
    socket.on('error', () => {})
    if (hangUp) socket.destroy()
    t.teardown(() => socket.destroy())
  })
  let hangUp = false
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const hung = await clientOf(t, url, { timeoutMs: 50 }).usage({})
  t.match(hung, {
    ok: false,
    reason: 'unreachable',
    detail: `127.0.0.1:${port}: no answer in time`,
  })
  hangUp = true
  t.match(await clientOf(t, url).usage({}), {
    ok: false,
    reason: 'unreachable',
    detail: /^127\.0\.0\.1:/,
  })

  const stopped = await startMixer(t)
  const client = clientOf(t, stopped.url)
  await client.usage({})
  await stopped.close()
  t.match(await client.usage({}), { ok: false, reason: 'unreachable' })
  const closed = clientOf(t, url)
  await closed.close()
  t.match(await closed.usage({}), { ok: false, reason: 'unreachable' })
})

const SPREAD: readonly UsageRecord[] = [
  record({ window: NOON, calls: 1 }),
  record({ window: NOON + MINUTE, calls: 2, operation: 'create-order' }),
  record({
    window: NOON + 60 * MINUTE,
    calls: 4,
    code: '5xx',
    tenant: 'globex',
    listener: 'private',
    routability: 'private',
  }),
  record({ window: NOON - 24 * 60 * MINUTE, calls: 8 }),
]

await test('usage is summed and grouped as asked', async t => {
  const { url } = await startMixer(t, { now: () => NOON })
  const client = clientOf(t, url)
  await client.report(report(1, [...SPREAD]))
  const cases: readonly { by: UsageGrouping[]; windows: readonly object[] }[] = [
    {
      by: ['tenant'],
      windows: [
        { tenant: 'acme', calls: 3 },
        { tenant: 'globex', calls: 4 },
      ],
    },
    {
      by: ['operation'],
      windows: [
        { operation: 'create-order', calls: 2 },
        { operation: 'read-order', calls: 5 },
      ],
    },
    {
      by: ['listener'],
      windows: [
        { listener: 'private', calls: 4 },
        { listener: 'public', calls: 3 },
      ],
    },
    {
      by: ['routability'],
      windows: [
        { routability: 'l7', calls: 3 },
        { routability: 'private', calls: 4 },
      ],
    },
    {
      by: ['code'],
      windows: [
        { code: '2xx', calls: 3 },
        { code: '5xx', calls: 4 },
      ],
    },
    {
      by: ['hour', 'tenant'],
      windows: [
        { window: '2026-11-22T12:00:00.000Z', tenant: 'acme', calls: 3 },
        { window: '2026-11-22T13:00:00.000Z', tenant: 'globex', calls: 4 },
      ],
    },
    { by: ['day'], windows: [{ window: '2026-11-22T00:00:00.000Z', calls: 7 }] },
  ]
  for (const { by, windows } of cases) {
    const result = await client.usage({ by })
    if (!result.ok) throw new Error(result.detail)
    t.equal(result.usage.windows.length, windows.length, by.join())
    t.match(result.usage, { by, totals: { calls: 7, egress: 6_000 }, windows }, by.join())
  }
})

await test('usage of one tenant, of a stretch of time, and of nothing', async t => {
  const { url } = await startMixer(t, { now: () => NOON })
  const client = clientOf(t, url)
  await client.report(report(1, [...SPREAD]))
  const acme = await client.usage({ tenant: 'acme', from: '2026-11-21' })
  t.match(acme, {
    usage: {
      tenant: 'acme',
      from: '2026-11-21T00:00:00.000Z',
      by: ['hour'],
      totals: { calls: 11 },
    },
  })
  const minute = await client.usage({ from: NOON + MINUTE, to: NOON + 2 * MINUTE })
  t.match(minute, {
    usage: {
      by: ['minute'],
      totals: { calls: 2 },
      windows: [{ window: '2026-11-22T12:01:00.000Z' }],
    },
  })
  const nothing = await client.usage({ tenant: 'initech' })
  t.match(nothing, { usage: { tenant: 'initech', totals: { calls: 0, egress: 0 }, windows: [] } })
  const wrong = await client.usage({ from: 'x', to: 'y' })
  t.match(wrong, { ok: false, code: 'malformed_message', problems: [/^to: /, /^from: /] })
})

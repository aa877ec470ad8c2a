/** The admin server as a client sees it: every endpoint, every refusal. */
import { connect } from 'node:net'
import { t as file, test } from 'tap'
import { type ProxyBooks, proxyBooksSchema } from '../../src/contracts/reconcile.ts'
import { type AdminCall, callAdmin as ask } from '../support/admin-call.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'
import { StartedPrimary, tenantEntry } from '../support/start-primary.ts'

/** Of those who change nothing, and see nothing but what every proxy has. */
const common = new StartedPrimary(file, {})

await test('every refusal is a problem of its own kind', async t => {
  const base = await common.adminUrl()
  const { port } = new URL(base)
  const cases: (AdminCall & {
    readonly name: string
    readonly status: number
    readonly code: string
  })[] = [
    { name: 'an unknown path', path: '/nothing', status: 404, code: 'not_found' },
    { name: 'the root', path: '/', status: 404, code: 'not_found' },
    { name: 'an unknown tenant', path: '/tenants/nobody', status: 404, code: 'not_found' },
    {
      name: 'a tenant with a broken escape',
      path: '/tenants/%zz',
      status: 404,
      code: 'not_found',
    },
    {
      name: 'PUT without a body',
      method: 'PUT',
      path: '/log-level',
      status: 400,
      code: 'malformed_message',
    },
    { name: 'a path below a tenant', path: '/tenants/acme/x', status: 404, code: 'not_found' },
    {
      name: 'GET where it must be POST',
      path: '/reload',
      status: 405,
      code: 'method_not_allowed',
    },
    { name: 'GET /drain', path: '/drain', status: 405, code: 'method_not_allowed' },
    {
      name: 'POST where it must be GET',
      method: 'POST',
      path: '/metrics',
      status: 405,
      code: 'method_not_allowed',
    },
    {
      name: 'DELETE',
      method: 'DELETE',
      path: '/tenants/acme',
      status: 405,
      code: 'method_not_allowed',
    },
    {
      name: 'OPTIONS, for there is no CORS',
      method: 'OPTIONS',
      path: '/config',
      status: 405,
      code: 'method_not_allowed',
    },
    { name: 'a limit of 0', path: '/tenants?limit=0', status: 400, code: 'malformed_message' },
    {
      name: 'a limit beyond the cap',
      path: '/tenants?limit=1001',
      status: 400,
      code: 'malformed_message',
    },
    {
      name: 'a limit that is no number',
      path: '/reconcile?limit=all',
      status: 400,
      code: 'malformed_message',
    },
    {
      name: 'a rebound name',
      path: '/config',
      headers: { host: `evil.example:${port}` },
      status: 403,
      code: 'host_not_allowed',
    },
    {
      name: 'a name that begins like ours',
      path: '/config',
      headers: { host: 'localhost.evil.example' },
      status: 403,
      code: 'host_not_allowed',
    },
    {
      name: 'a name that begins like an address',
      path: '/config',
      headers: { host: '127.0.0.1.evil.example' },
      status: 403,
      code: 'host_not_allowed',
    },
    {
      name: 'an address that is not ours',
      path: '/livez',
      headers: { host: '10.0.0.1' },
      status: 403,
      code: 'host_not_allowed',
    },
    {
      name: 'a form on a page',
      method: 'POST',
      path: '/drain',
      headers: { origin: 'https://evil.example' },
      status: 403,
      code: 'host_not_allowed',
    },
    {
      name: 'a page without an origin',
      method: 'POST',
      path: '/drain',
      headers: { origin: 'null' },
      status: 403,
      code: 'host_not_allowed',
    },
    {
      name: 'a script of a page',
      path: '/config',
      headers: { 'sec-fetch-site': 'cross-site' },
      status: 403,
      code: 'host_not_allowed',
    },
    {
      name: 'a target that is a URL',
      path: 'http://127.0.0.1/livez',
      status: 400,
      code: 'malformed_target',
    },
    {
      name: 'a body that nobody wants',
      method: 'POST',
      path: '/reload',
      body: 'x'.repeat(5_000),
      status: 413,
      code: 'payload_too_large',
    },
  ]
  for (const { name, status, code, ...question } of cases) {
    const answer = await ask(base, question)
    t.equal(answer.status, status, name)
    t.equal(answer.headers['content-type'], 'application/problem+json', name)
    t.match(JSON.parse(answer.body), { type: `about:amt/${code}`, status }, name)
    t.equal(answer.headers['access-control-allow-origin'], undefined, name)
  }
  const { headers } = await ask(base, { method: 'PUT', path: '/livez' })
  t.equal(headers.allow, 'GET, HEAD')
  t.equal((await ask(base, { path: '/readyz' })).status, 200, 'none of them has drained it')
})

await test('names of this machine are answered, and HEAD like GET without the body', async t => {
  const base = await common.adminUrl()
  const { port } = new URL(base)
  for (const host of [
    `127.0.0.1:${port}`,
    `localhost:${port}`,
    `LOCALHOST`,
    '127.8.8.8',
    '[::1]:1',
  ]) {
    t.equal((await ask(base, { path: '/livez', headers: { host } })).status, 200, host)
  }
  const own = { host: `localhost:${port}`, origin: `http://localhost:${port}` }
  t.equal((await ask(base, { path: '/livez', headers: own })).status, 200, 'its own page')
  const head = await ask(base, { method: 'HEAD', path: '/livez' })
  t.match(head, { status: 200, body: '' })
})

await test('the configuration shows defaults and no secret', async t => {
  const { status, body } = await common.get('/config')
  t.equal(status, 200)
  t.match(JSON.parse(body), { timeouts: { detect: 500 }, mixer: { token: '[redacted]' } })
  t.notOk(body.includes(TOKEN))
})

await test('tenants are listed page by page', async t => {
  const ids = ['d', 'a', 'c', 'b', 'e']
  const primary = new StartedPrimary(t, { config: { tenants: ids.map(tenantEntry) } })
  const client = await primary.client()
  await client.ask('use c:3')
  t.match(await primary.json('/tenants?limit=2'), {
    total: 5,
    tenants: [{ id: 'a' }, { id: 'b' }],
    next: 'b',
  })
  const page = await primary.json('/tenants?limit=2&after=b')
  t.match(page, { tenants: [{ id: 'c', calls: 3, disabled: false }, { id: 'd' }], next: 'd' })
  t.match(await primary.json('/tenants?limit=2&after=d'), { tenants: [{ id: 'e' }], next: null })
  t.match(await primary.json('/tenants?after=zzz'), { tenants: [], next: null })
})

await test('one tenant is shown with its limits and what it uses', async t => {
  const acme = { ...tenantEntry('acme'), limits: { requests: '5/s' } }
  const primary = new StartedPrimary(t, { config: { tenants: [acme] } })
  const client = await primary.client()
  await client.ask('use acme:3')
  await client.ask('open acme')
  t.match(await primary.json('/tenants/acme'), {
    id: 'acme',
    deployment: { endpoints: ['http://127.0.0.1:9'], healthy: null, ejected: null },
    connections: { active: 1 },
    usage: { calls: 3, ingress: 30, egress: 300 },
    limits: { requests: 5, concurrency: 1_000 },
    limited: {},
  })
})

await test('reconcile says what is counted, pending and acknowledged', async t => {
  const mixer = await startMixer(t)
  const primary = new StartedPrimary(t, { mixerUrl: mixer.url })
  const client = await primary.client()
  await client.ask('use acme:3')
  const ask = async (): Promise<ProxyBooks> =>
    proxyBooksSchema.parse(await primary.json('/reconcile'))
  t.match(await primary.booked(3), {
    next: null,
    lagSeconds: 0,
    totals: { counted: { calls: 3 } },
    tenants: [
      {
        tenant: 'acme',
        counted: { calls: 3 },
        journaled: { calls: 3 },
        acknowledged: { calls: 3, egress: 300 },
        setAside: { calls: 0 },
        pending: { calls: 0, egress: 0 },
      },
    ],
    journals: [{ state: 'live', first: 1, durable: 1, acknowledged: { calls: 3 } }],
  })
  await mixer.close()
  await client.ask('use acme:4')
  t.match(await ask(), {
    totals: { counted: { calls: 7 }, journaled: { calls: 7 } },
    tenants: [
      {
        counted: { calls: 7 },
        journaled: { calls: 7 },
        acknowledged: { calls: 3 },
        pending: { calls: 4 },
      },
    ],
  })
})

await test('metrics come as text and, where asked for, as OpenMetrics', async t => {
  const base = await common.adminUrl()
  const text = await ask(base, { path: '/metrics' })
  t.match(text.headers['content-type'], /^text\/plain; version=0\.0\.4/)
  const accept = 'application/openmetrics-text; version=1.0.0, text/plain;q=0.5'
  const open = await ask(base, { path: '/metrics', headers: { accept } })
  t.match(open.headers['content-type'], /^application\/openmetrics-text; version=1\.0\.0/)
  t.ok(open.body.endsWith('# EOF\n'))
})

await test('garbage and vanishing clients leave it answering', async t => {
  const base = await common.adminUrl()
  const { port } = new URL(base)
  for (const bytes of [
    '\0\0\0',
    'GET',
    'POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx',
  ]) {
    const socket = connect(Number(port), '127.0.0.1')
    await new Promise<void>(resolve => socket.write(bytes, () => resolve()))
    socket.destroy()
  }
  t.equal((await ask(base, { path: '/livez' })).status, 200)
})

await test('a journal that cannot be written is a detail of /readyz', async t => {
  const primary = new StartedPrimary(t, {})
  const client = await primary.client()
  t.match(await primary.json('/readyz'), { status: 'ready', journal: { status: 'written' } })
  await client.ask(`journal ${Date.UTC(2026, 0, 1)}`)
  const failing = {
    status: 'failing',
    workers: 1,
    since: '2026-01-01T00:00:00.000Z',
    recordsInMemory: 3,
  }
  let answer = await primary.get('/readyz')
  while (!answer.body.includes('failing')) answer = await primary.get('/readyz')
  t.match(answer, { status: 200 })
  t.match(JSON.parse(answer.body), { status: 'ready', journal: failing })
  await client.ask('journal')
  while (answer.body.includes('failing')) answer = await primary.get('/readyz')
  t.match(JSON.parse(answer.body), { journal: { status: 'written' } })
})

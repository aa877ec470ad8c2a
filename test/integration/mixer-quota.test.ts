/** `/v1/quota/allocate` and `/v1/charges` as proxies, operators and deployments meet them. */
import { createServer, type Server } from 'node:net'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import { registration, tenant } from '../support/registry/registrations.ts'
import { type StartedMixer, startMixer, TOKEN } from '../support/start-mixer.ts'

const CALLS = { name: 'calls', of: 'calls', amount: 10, per: 'month' } as const

interface Reply {
  readonly status: number
  readonly body: Record<string, unknown>
}

class Lab {
  readonly mixer: StartedMixer

  constructor(mixer: StartedMixer) {
    this.mixer = mixer
  }

  async post(path: string, body: unknown, token: string | undefined = TOKEN): Promise<Reply> {
    const response = await fetch(this.mixer.url + path, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(body),
    })
    return { status: response.status, body: (await response.json()) as Reply['body'] }
  }

  async get(path: string): Promise<Reply> {
    const headers = { authorization: `Bearer ${TOKEN}` }
    const response = await fetch(this.mixer.url + path, { headers })
    return { status: response.status, body: (await response.json()) as Reply['body'] }
  }
}

/** A mixer that knows acme, whose deployment is this process, and globex with the same quotas. */
async function lab(t: Test): Promise<Lab> {
  const started = new Lab(await startMixer(t))
  const server: Server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const tenants = [
    tenant('acme', { endpoints: [`http://127.0.0.1:${port}`], quotas: [CALLS] }),
    tenant('globex', { endpoints: ['http://10.9.9.9:80'], quotas: [CALLS] }),
  ]
  const registered = await started.post('/v1/registration', registration(1, [tenants]))
  t.equal(registered.status, 200)
  return started
}

const codeOf = ({ body }: Reply): string => String(body['type']).replace('about:amt/', '')

await test('a proxy allocates of any tenant, and the same id once', async t => {
  const mixer = await lab(t)
  const ask = { id: 'p.1', tenant: 'acme', quota: 'calls', amount: 4, mode: 'bestEffort' }
  const first = await mixer.post('/v1/quota/allocate', ask)
  t.match(first, { status: 200, body: { granted: 4, remaining: 6 } })
  t.ok(Date.parse(String(first.body['resetAt'])) > Date.now())
  t.ok(Number(first.body['resetInMs']) > 0)
  t.match(await mixer.post('/v1/quota/allocate', ask), { body: { granted: 4, remaining: 6 } })
  const conflict = await mixer.post('/v1/quota/allocate', { ...ask, amount: 5 })
  t.same([conflict.status, codeOf(conflict)], [409, 'id_conflict'])
  const unknown = await mixer.post('/v1/quota/allocate', { ...ask, quota: 'none' })
  t.same([unknown.status, codeOf(unknown)], [404, 'quota_unknown'])
  const nobody = await mixer.post('/v1/quota/allocate', { ...ask, tenant: 'nobody' })
  t.same([nobody.status, codeOf(nobody)], [404, 'quota_unknown'])
})

await test('a batch is granted one by one', async t => {
  const mixer = await lab(t)
  const ask = { tenant: 'acme', quota: 'calls', mode: 'bestEffort' }
  const reply = await mixer.post('/v1/quota/allocate', {
    allocations: [
      { ...ask, id: 'a', amount: 8 },
      { ...ask, id: 'b', amount: 8, quota: 'none' },
      { ...ask, id: 'c', amount: 8, tenant: 'globex' },
      { ...ask, id: 'a', amount: 8 },
    ],
  })
  t.match(reply, {
    status: 200,
    body: {
      allocations: [
        { granted: 8, remaining: 2 },
        { refused: 'quota_unknown' },
        { granted: 8, remaining: 2 },
        { granted: 8, remaining: 2 },
      ],
    },
  })
})

await test('what cannot be read allocates nothing', async t => {
  const mixer = await lab(t)
  const ask = { id: 'a', tenant: 'acme', quota: 'calls', amount: 4 }
  const bad: unknown[] = [
    null,
    [],
    {},
    { ...ask, amount: 0 },
    { ...ask, amount: -1 },
    { ...ask, amount: 1.5 },
    { ...ask, amount: '4' },
    { ...ask, amount: 2 ** 53 },
    { ...ask, mode: 'all' },
    { ...ask, id: '' },
    { ...ask, id: 'x'.repeat(129) },
    { ...ask, quota: '../calls' },
    { ...ask, limit: 1_000 },
    { ...ask, tenant: undefined },
    { allocations: [] },
    { allocations: [{ ...ask, tenant: undefined }] },
    { allocations: Array.from({ length: 201 }, (_, index) => ({ ...ask, id: `i${index}` })) },
    { allocations: [ask], amount: 1 },
  ]
  for (const body of bad) {
    const reply = await mixer.post('/v1/quota/allocate', body)
    t.same([reply.status, codeOf(reply)], [400, 'malformed_message'], JSON.stringify(body))
  }
  const large = await mixer.post('/v1/quota/allocate', { ...ask, id: 'x'.repeat(200_000) })
  t.equal(large.status, 413)
  const left = await mixer.post('/v1/quota/allocate', { ...ask, mode: 'checkOnly' })
  t.match(left.body, { granted: 4, remaining: 10 })
})

await test('a deployment is who it is, whatever it says', async t => {
  const mixer = await lab(t)
  const ask = { id: 'd.1', quota: 'calls', amount: 4, tenant: 'globex' }
  const reply = await mixer.post('/v1/quota/allocate', ask, '')
  t.match(reply, { status: 200, body: { granted: 4, remaining: 6 } })
  const check = { ...ask, id: 'x', mode: 'checkOnly' }
  t.match((await mixer.post('/v1/quota/allocate', check)).body, { remaining: 10 }, 'globex')
  const own = { ...check, tenant: 'acme' }
  t.match((await mixer.post('/v1/quota/allocate', own)).body, { remaining: 6 }, 'acme')
  const batch = await mixer.post('/v1/quota/allocate', { allocations: [ask] }, '')
  t.equal(batch.status, 400, 'batches are for the proxy')
  const wrong = await mixer.post('/v1/quota/allocate', ask, 'not-the-token')
  t.same([wrong.status, codeOf(wrong)], [401, 'unauthorized'], 'who claims a token must have it')

  const charge = { id: 'c', event: 'page', quantity: 3, tenant: 'globex' }
  const charged = await mixer.post('/v1/charges', charge, '')
  t.match(charged, { status: 200, body: { id: 'c', tenant: 'acme', quantity: '3' } })
})

await test('charges by an operator: once, exact, and refused where they differ', async t => {
  const mixer = await lab(t)
  const charge = { id: 'c1', tenant: 'acme', event: 'page', quantity: '0.10' }
  const first = await mixer.post('/v1/charges', charge)
  t.match(first, { status: 200, body: { tenant: 'acme', event: 'page', quantity: '0.1' } })
  t.same(await mixer.post('/v1/charges', charge), first)
  const conflict = await mixer.post('/v1/charges', { ...charge, quantity: '0.2' })
  t.same([conflict.status, codeOf(conflict)], [409, 'id_conflict'])
  await mixer.post('/v1/charges', { ...charge, id: 'c2', quantity: 9_007_199_254_740_991 })
  await mixer.post('/v1/charges', { ...charge, id: 'c3', event: 'other', attributes: { a: 1 } })
  t.match(await mixer.get('/v1/charges?tenant=acme'), {
    body: {
      by: 'none',
      next: null,
      windows: [
        { tenant: 'acme', event: 'other', charges: 1, quantity: '0.1' },
        { tenant: 'acme', event: 'page', charges: 2, quantity: '9007199254740991.1' },
      ],
    },
  })
  const page = await mixer.get('/v1/charges?by=minute&limit=1')
  t.equal((page.body['windows'] as unknown[]).length, 1)
  const rest = await mixer.get(`/v1/charges?by=minute&after=${String(page.body['next'])}`)
  t.match(rest.body, { windows: [{ event: 'page' }], next: null })
})

await test('charges and queries that cannot be read change nothing', async t => {
  const mixer = await lab(t)
  const charge = { id: 'a', tenant: 'acme', event: 'page', quantity: 1 }
  for (const body of [
    null,
    {},
    { ...charge, quantity: 0.1 },
    { ...charge, quantity: -1 },
    { ...charge, quantity: '1e3' },
    { ...charge, quantity: '0.1234567' },
    { ...charge, event: '' },
    { ...charge, event: 'a b' },
    { ...charge, tenant: undefined },
    { ...charge, at: 1 },
    { ...charge, attributes: { a: [] } },
    { ...charge, attributes: 'x' },
  ]) {
    const reply = await mixer.post('/v1/charges', body)
    t.same([reply.status, codeOf(reply)], [400, 'malformed_message'], JSON.stringify(body))
  }
  t.equal((await mixer.post('/v1/charges', { ...charge, id: 'x'.repeat(70_000) })).status, 413)
  for (const query of [
    'tenant=A',
    'event=a%20b',
    'by=week',
    'limit=0',
    'after=x',
    'x=1',
    'from=x',
  ]) {
    const reply = await mixer.get(`/v1/charges?${query}`)
    t.same([reply.status, codeOf(reply)], [400, 'malformed_message'], query)
  }
  t.match((await mixer.get('/v1/charges')).body, { windows: [] })
})

await test('whatever comes is answered, and never with a failure', async t => {
  const mixer = await lab(t)
  const known = fc.constantFrom('id', 'quota', 'amount', 'mode', 'tenant', 'event', 'quantity', 'a')
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom(
      'calls',
      'acme',
      'normal',
      '1.5',
      1,
      -1,
      2 ** 60,
      '\u0000',
      '\ud800',
      '__proto__',
    ),
  )
  const body = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.dictionary(known, value))
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('/v1/quota/allocate', '/v1/charges'),
      body,
      async (path, given) => {
        const { status } = await mixer.post(path, given)
        return [200, 400, 404, 409].includes(status)
      },
    ),
    { numRuns: 300 },
  )
  t.pass()
})

await test('who is no deployment and has no token gets nothing', async t => {
  const mixer = new Lab(await startMixer(t))
  for (const [path, body] of [
    ['/v1/quota/allocate', { id: 'a', quota: 'calls', amount: 1 }],
    ['/v1/charges', { id: 'a', event: 'page', quantity: 1 }],
  ] as const) {
    const reply = await mixer.post(path, body, '')
    t.same([reply.status, codeOf(reply)], [403, 'unidentified_source'])
  }
  const sums = await fetch(`${mixer.mixer.url}/v1/charges`)
  t.equal(sums.status, 401, 'no deployment reads sums')
})

/** `GET /connections` and `POST /tenants/ID/drain`, with workers that serve. */
import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { type Test, t, test } from 'tap'
import type { BoundAddress } from '../../src/proxy/ipc.ts'
import { callAdmin } from '../support/admin-call.ts'
import { readUntil } from '../support/running-amt.ts'
import { StartedPrimary, tenantEntry } from '../support/start-primary.ts'

// Real workers are started, on a machine that may be busy.
t.setTimeout(120_000)

interface Shown {
  readonly connections: readonly Record<string, unknown>[]
  readonly more: boolean
  readonly silentWorkers: readonly number[]
}

/** A proxy with two workers in front of one deployment for the tenants `acme` and `other`. */
async function startServing(t: Test): Promise<StartedPrimary> {
  const deployment = createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1')
  await once(deployment, 'listening')
  t.teardown(() => deployment.close())
  const { port } = deployment.address() as AddressInfo
  const tenants = ['acme', 'other'].map(id => ({
    id,
    hosts: [`${id}.test`],
    deployment: { endpoints: [`http://127.0.0.1:${port}`] },
  }))
  return new StartedPrimary(t, {
    realWorkers: true,
    workers: 2,
    config: { tenants, log: { level: 'error', access: 'off' } },
  })
}

/** What was answered first. */
const answers = new WeakMap<Socket, string>()

async function open(t: Test, primary: StartedPrimary, host: string): Promise<Socket> {
  const { bound } = await primary.log.first('ready')
  const { address } = (bound as BoundAddress[])[0] as BoundAddress
  const socket = connect(Number(address.split(':')[1]), '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  answers.set(socket, answer.toString())
  return socket
}

await test('GET /connections counts by tenant, and lists those of one tenant, bounded', async t => {
  const primary = await startServing(t)
  for (let count = 0; count < 3; count += 1) await open(t, primary, 'acme.test')
  await open(t, primary, 'other.test')
  const counted = await readUntil(
    () => primary.json<{ total: number }>('/connections'),
    ({ total }) => total === 4,
  )
  t.same(counted, {
    total: 4,
    tenants: [
      { tenant: 'acme', connections: 3, listeners: { public: { private: 3 } } },
      { tenant: 'other', connections: 1, listeners: { public: { private: 1 } } },
    ],
    next: null,
  })
  t.match(await primary.json('/connections?limit=1'), { total: 4, next: 'acme' })
  t.match(await primary.json('/connections?limit=1&after=acme'), { tenants: [{ tenant: 'other' }] })

  const listed = await primary.json<Shown>('/connections?tenant=acme')
  t.match(listed, { tenant: 'acme', more: false, silentWorkers: [] })
  t.equal(listed.connections.length, 3)
  for (const connection of listed.connections)
    t.match(connection, {
      worker: Number,
      listener: 'public',
      peer: '127.0.0.1',
      protocol: 'http/1.1',
      tls: false,
      ageMs: Number,
      calls: 0,
    })
  const bounded = await primary.json<Shown>('/connections?tenant=acme&limit=2')
  t.equal(bounded.connections.length, 2)
  t.equal(bounded.more, true)
  t.match(await primary.json('/connections?tenant=nobody'), { connections: [], more: false })
  for (const query of ['?limit=0', '?tenant=acme&limit=1001', '?tenant=acme&limit=x'])
    t.equal((await primary.get(`/connections${query}`)).status, 400, query)
})

await test('POST /tenants/ID/drain ends what the tenant has and refuses the rest, until DELETE', async t => {
  const primary = await startServing(t)
  const base = await primary.adminUrl()
  const [own, others] = [await open(t, primary, 'acme.test'), await open(t, primary, 'other.test')]
  t.match(await primary.json('/tenants/acme'), { drain: null })
  const path = '/tenants/acme/drain'
  const drained = await callAdmin(base, { method: 'POST', path: `${path}?within=10s` })
  t.equal(drained.status, 202)
  t.match(JSON.parse(drained.body), { tenant: 'acme', drain: { since: String, until: String } })
  await once(own, 'close')
  const state = await readUntil(
    () => primary.json<{ drain: { status: string } }>('/tenants/acme'),
    ({ drain }) => drain.status === 'drained',
  )
  t.match(state, { drain: { status: 'drained', connections: 0 } })
  t.match(await primary.json('/tenants'), {
    tenants: [
      { id: 'acme', draining: true },
      { id: 'other', draining: false },
    ],
  })
  t.match((await primary.get('/metrics')).body, /^amt_tenants_draining 1$/m)
  const refused = await open(t, primary, 'acme.test')
  t.match(answers.get(refused), /^HTTP\/1\.1 503 .*tenant_draining/s)
  others.write('GET / HTTP/1.1\r\nhost: other.test\r\n\r\n')
  const [answer] = (await once(others, 'data')) as [Buffer]
  t.match(answer.toString(), /^HTTP\/1\.1 200 /, 'the other tenant goes on')

  await readUntil(
    () => primary.get('/metrics'),
    ({ body }) =>
      /^amt_rejected_total\{reason="tenant_draining",listener="public"\} 1$/m.test(body),
  )

  // Both workers are others then, and know of it all the same; one after the other, so that the port stays theirs.
  for (const worker of Object.values(cluster.workers ?? {})) {
    const restarts = primary.log.all('worker died and is replaced').length
    worker?.process.kill('SIGKILL')
    await readUntil(
      () => primary.json<{ workers: { ready: number } }>('/readyz'),
      ({ workers }) =>
        workers.ready === 2 && primary.log.all('worker died and is replaced').length > restarts,
      30_000,
    )
  }
  for (let count = 0; count < 8; count += 1) {
    const refused = await open(t, primary, 'acme.test')
    t.match(answers.get(refused), /^HTTP\/1\.1 503 .*tenant_draining/s)
  }
  t.equal((await callAdmin(base, { method: 'DELETE', path })).status, 200)
  const again = await open(t, primary, 'acme.test')
  t.match(answers.get(again), /^HTTP\/1\.1 200 /)
  t.match(await primary.json('/tenants/acme'), { drain: null })
})

await test('a drain that is malformed, or of nobody, changes nothing', async t => {
  const primary = new StartedPrimary(t, { config: { tenants: [tenantEntry('acme')] } })
  const base = await primary.adminUrl()
  const post = async (path: string): Promise<number> =>
    (await callAdmin(base, { method: 'POST', path })).status
  t.equal(await post('/tenants/nobody/drain'), 404)
  t.equal(await post('/tenants//drain'), 404)
  t.equal(await post('/tenants/acme/drain/more'), 404)
  t.equal(await post('/tenants/acme/drain?within=soon'), 400)
  t.equal(await post('/tenants/acme/drain?within=25h'), 400)
  t.equal((await callAdmin(base, { method: 'DELETE', path: '/tenants/nobody/drain' })).status, 404)
  t.equal((await callAdmin(base, { path: '/tenants/acme/drain' })).status, 405)
  t.match(await primary.json('/tenants/acme'), { drain: null })
})

await test('a tenant that is removed while it is drained is served when it comes back', async t => {
  const primary = new StartedPrimary(t, { config: { tenants: [tenantEntry('acme')] } })
  t.equal((await primary.post('/tenants/acme/drain')).status, 202)
  primary.writeConfig({ tenants: [tenantEntry('globex')] })
  t.match(await primary.post('/reload'), { status: 200, json: { changed: true } })
  t.match((await primary.get('/metrics')).body, /^amt_tenants_draining 0$/m)
  primary.writeConfig({})
  await primary.post('/reload')
  t.match(await primary.json('/tenants/acme'), { drain: null })
})

await test('a worker that does not answer is shown as silent, and nobody waits for it', async t => {
  const primary = new StartedPrimary(t, { workers: 2 })
  const client = await primary.client()
  await client.ask('hang')
  const started = performance.now()
  const shown = await primary.json<Shown>('/connections?tenant=acme')
  t.equal(shown.silentWorkers.length, 1)
  t.ok(performance.now() - started < 5_000)
})

/** A proxy and a mixer as processes: what a tenant with a quota gets, and what becomes of it when the mixer is stopped. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, t } from 'tap'
import { request } from 'undici'
import type { BoundAddress } from '../../src/proxy/ipc.ts'
import { amtCommand } from '../support/amt.ts'
import { freePorts } from '../support/free-ports.ts'
import { Program } from '../support/program.ts'
import { readUntil } from '../support/running-amt.ts'
import { TOKEN } from '../support/start-mixer.ts'

t.setTimeout(180_000)

interface Running {
  readonly admin: string
  /** Of the primary. */
  readonly pid: number
  readonly proxy: Program
  readonly call: (tenant: string) => Promise<Answer>
}

interface Place extends Running {
  readonly mixer: Program
  /** Another proxy with the same configuration. */
  readonly startProxy: () => Promise<Running>
}

interface Answer {
  readonly status: number
  readonly retryAfter: number
  readonly body: string
}

interface Options {
  readonly workers: number
  readonly quotas: readonly Record<string, unknown>[]
  readonly failure?: 'open' | 'closed'
}

/** acme has `quotas`, globex none. */
async function place(t: Test, { workers, quotas, failure = 'open' }: Options): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'amt-quota-'))
  t.teardown(async () => rm(folder, { recursive: true, force: true }))
  const deployment = createServer((_request, response) => response.end('ok'))
  deployment.listen(0, '127.0.0.1')
  await once(deployment, 'listening')
  t.teardown(() => {
    deployment.close()
    deployment.closeAllConnections()
  })
  const { port } = deployment.address() as { port: number }
  const endpoints = [`http://127.0.0.1:${port}`]
  // A worker that is replaced must come back at the same port.
  const [free] = await freePorts(1)
  const settings = {
    listeners: [{ name: 'public', mode: 'shared', address: `127.0.0.1:${free}`, protocol: 'http' }],
    tenants: [
      { id: 'acme', hosts: ['acme.localhost'], deployment: { endpoints }, quotas },
      { id: 'globex', hosts: ['globex.localhost'], deployment: { endpoints } },
    ],
    admin: { address: '127.0.0.1:0' },
    timeouts: { drain: '1s' },
    ledger: 'sqlite:ledger.db',
    log: { access: 'off' },
    workers,
  }
  const common = { token: TOKEN, journal: 'journal', quotaFailure: failure }
  const start = async (name: string, mixer: object): Promise<Program> => {
    const file = join(folder, `${name}.yaml`)
    await writeFile(file, JSON.stringify({ ...settings, mixer: { ...common, ...mixer } }))
    return new Program(t, amtCommand([name, '--config', file]))
  }
  const mixer = await start('mixer', { listen: '127.0.0.1:0' })
  const { port: at } = JSON.parse(await mixer.line(/"msg":"(mixer is )?ready"/)) as { port: number }
  const startProxy = async (): Promise<Running> => {
    const proxy = await start('proxy', { url: `http://127.0.0.1:${at}` })
    const line = await proxy.line(/"msg":"ready"/)
    const { bound, admin, pid } = JSON.parse(line) as {
      bound: BoundAddress[]
      admin: string
      pid: number
    }
    const url = `http://${bound[0]?.address}/`
    return { proxy, pid, admin: `http://${admin}`, call: async tenant => call(url, tenant) }
  }
  const running = await startProxy()
  // Registered: from here on the mixer knows the quotas.
  const known = await readUntil(
    async () => allocate(`http://127.0.0.1:${at}`),
    status => status !== 404,
  )
  t.equal(known, 200)
  return { ...running, mixer, startProxy }
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter(Boolean)
    .map(Number)
}

async function allocate(mixer: string): Promise<number> {
  const response = await fetch(`${mixer}/v1/quota/allocate`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      id: 'look',
      tenant: 'acme',
      quota: 'calls',
      amount: 1,
      mode: 'checkOnly',
    }),
  })
  await response.arrayBuffer()
  return response.status
}

/** `fetch` decides on `host` by itself. */
async function call(url: string, tenant: string): Promise<Answer> {
  const { statusCode, headers, body } = await request(url, {
    headers: { host: `${tenant}.localhost` },
  })
  const retryAfter = Number(headers['retry-after'] ?? 0)
  return { status: statusCode, retryAfter, body: await body.text() }
}

async function statuses(place: Running, tenant: string, count: number): Promise<number[]> {
  const all: number[] = []
  for (let index = 0; index < count; index += 1) all.push((await place.call(tenant)).status)
  return all
}

const countOf = (all: readonly number[], status: number): number =>
  all.filter(each => each === status).length

const DAILY = { name: 'calls', of: 'calls', amount: 10, per: 'day' }

await t.test('ten calls are ten, and another tenant notices nothing', async t => {
  const amt = await place(t, { workers: 1, quotas: [DAILY] })
  const all = await statuses(amt, 'acme', 15)
  t.same(all, [...Array.from({ length: 10 }, () => 200), ...Array.from({ length: 5 }, () => 429)])
  const refused = await amt.call('acme')
  const problem = JSON.parse(refused.body) as { type: string; resetAt: string }
  t.equal(problem.type, 'about:amt/quota_exhausted')
  t.equal(new Date(problem.resetAt).toISOString().slice(11), '00:00:00.000Z')
  const wait = refused.retryAfter * 1_000
  t.ok(Math.abs(Date.parse(problem.resetAt) - Date.now() - wait) < 5_000, `${wait} ms`)
  t.same(new Set(await statuses(amt, 'globex', 20)), new Set([200]))

  const metrics = await readUntil(
    async () => (await fetch(`${amt.admin}/metrics`)).text(),
    text => text.includes('amt_rejected_total{reason="quota_exhausted"'),
  )
  t.match(metrics, /amt_rejected_total\{reason="quota_exhausted",listener="public"\} 6\n/)
  t.match(metrics, /amt_quota_allocations_total\{result="granted"\} [1-9]/)
  const shown = (await (await fetch(`${amt.admin}/tenants/acme`)).json()) as { quotas: unknown }
  t.match(shown.quotas, [{ ...DAILY, remaining: 0, resetAt: problem.resetAt }])
})

await t.test('a proxy that starts again after kill -9 gets no second ten', async t => {
  const amt = await place(t, { workers: 1, quotas: [DAILY] })
  t.same(
    await statuses(amt, 'acme', 10),
    Array.from({ length: 10 }, () => 200),
  )
  t.equal((await amt.call('acme')).status, 429)
  await amt.proxy.stop('SIGKILL')
  const again = await amt.startProxy()
  // Before the first answer the new worker knows no better.
  const last = await readUntil(
    async () => (await again.call('acme')).status,
    status => status !== 200,
  )
  t.equal(last, 429)
  t.same(new Set(await statuses(again, 'acme', 5)), new Set([429]))
})

await t.test('a worker that dies takes no more than its part with it', async t => {
  const amt = await place(t, { workers: 1, quotas: [{ ...DAILY, amount: 40 }] })
  const before = await statuses(amt, 'acme', 20)
  t.same(new Set(before), new Set([200]))
  await readUntil(
    async () => (await fetch(`${amt.admin}/metrics`)).text(),
    text => /amt_quota_allocations_total\{result="granted"\} [2-9]/.test(text),
  )
  const [worker] = childrenOf(amt.pid)
  if (worker === undefined) throw new Error('the proxy has no worker')
  process.kill(worker, 'SIGKILL')
  let passed = 0
  const last = await readUntil(
    async () => {
      // Nobody answers until there is another worker.
      const { status } = await amt.call('acme').catch(() => ({ status: 0 }))
      if (status === 200) passed += 1
      return status
    },
    status => status === 429,
  )
  t.equal(last, 429)
  t.ok(passed >= 5 && passed <= 30, `${passed} after it, of 20 that were left`)
  t.same(new Set(await statuses(amt, 'acme', 5)), new Set([429]))
})

await t.test('two workers let ten through, give or take what the documentation says', async t => {
  const amt = await place(t, { workers: 2, quotas: [{ ...DAILY, amount: 100 }] })
  const lists = await Promise.all(Array.from({ length: 8 }, async () => statuses(amt, 'acme', 30)))
  const passed = countOf(lists.flat(), 200)
  t.ok(passed >= 90 && passed <= 200, `${passed} of 240 passed`)
  t.equal(passed + countOf(lists.flat(), 429), 240)
  t.equal(countOf(await statuses(amt, 'acme', 10), 429) >= 8, true, 'and then no more')
})

await t.test('open: calls pass while the mixer is stopped, and are counted', async t => {
  const amt = await place(t, { workers: 1, quotas: [DAILY] })
  await amt.mixer.stop()
  t.same(new Set(await statuses(amt, 'acme', 30)), new Set([200]))
  const metrics = await readUntil(
    async () => (await fetch(`${amt.admin}/metrics`)).text(),
    text => /amt_quota_open_total [1-9]/.test(text),
  )
  t.match(metrics, /amt_quota_open_total [1-9]/)
  t.match(metrics, /amt_quota_allocations_total\{result="away"\} [1-9]/)
})

await t.test(
  'closed: calls are refused while the mixer is stopped, those of others not',
  async t => {
    const amt = await place(t, { workers: 1, quotas: [DAILY], failure: 'closed' })
    await amt.mixer.stop()
    const last = await readUntil(
      async () => (await amt.call('acme')).status,
      status => status !== 200,
    )
    t.equal(last, 503)
    t.same(new Set(await statuses(amt, 'globex', 5)), new Set([200]))
  },
)

/** More and fewer workers while the proxy runs: by a reload that changes `workers`. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t as root, test } from 'tap'
import { callsByTenant } from '../support/ledger-calls.ts'
import { readUntil } from '../support/running-amt.ts'
import { startMixer } from '../support/start-mixer.ts'
import { type FakeClient, StartedPrimary, tenantEntry } from '../support/start-primary.ts'

const ENDED = 'worker has ended'

/** Each test starts several processes, and the machine may be busy. */
root.setTimeout(240_000)

await test('more workers: a reload starts them, and connections of the others live on', async t => {
  const primary = new StartedPrimary(t, { workers: 1 })
  const client = await primary.client()
  const { pid } = client
  primary.writeConfig({ workers: 3, tenants: [tenantEntry('acme'), tenantEntry('globex')] })
  t.same(await primary.post('/reload'), { status: 200, json: { generation: 2, changed: true } })
  t.match(await primary.json('/readyz'), { workers: { ready: 3, count: 3 } })
  t.match((await primary.get('/metrics')).body, /^amt_workers\{state="serving"\} 3$/m)
  for (const each of await clientsOf(primary, 3)) {
    t.equal(each.tenants, 'acme,globex', 'they begin with what was reloaded')
    await each.ask('serving')
    t.equal(each.tenants, '3', 'the limits are divided among all')
  }
  await client.ask('hello')
  t.equal(client.pid, pid)
})

await test('fewer workers: they end as in a drain, and connections of the others live on', async t => {
  const mixer = await startMixer(t)
  const primary = new StartedPrimary(t, { mixerUrl: mixer.url, workers: 3 })
  const clients = await clientsOf(primary, 3)
  primary.writeConfig({ workers: 1 })
  t.match(await primary.post('/reload'), { status: 200 })
  t.match(await primary.json('/readyz'), { status: 'ready', workers: { ready: 1, count: 1 } })
  t.match((await primary.get('/metrics')).body, /^amt_workers\{state="ending"\} 2$/m)
  for (const client of clients) await client.ask('use acme:1')
  const told = clients.map(async client => {
    await client.ask('serving')
    return client.tenants
  })
  t.same((await Promise.all(told)).toSorted(), ['1', '3', '3'], 'who stays has all of the limits')
  const fresh = await primary.client()
  const staying = clients.filter(({ pid }) => pid === fresh.pid)
  t.equal(staying.length, 1)
  for (const client of clients) if (client.pid !== fresh.pid) client.socket.end()
  await ended(primary, 2)
  const { body } = await primary.get('/metrics')
  t.match(body, /^amt_workers\{state="ending"\} 0$/m)
  t.match(body, /^amt_worker_restarts_total 0$/m, 'nobody takes their place')
  await staying[0]?.ask('hello')
  for (const client of [...staying, fresh]) client.socket.end()
  primary.signals.stop('SIGTERM')
  t.same(await primary.ended, { exitCode: 0 })
  t.same(await callsByTenant(mixer.url), { acme: 3, last: 3 }, 'what they did is billed')
})

await test('a worker that does not end when it is told to is killed, and the others go on', async t => {
  const primary = new StartedPrimary(t, {
    workers: 2,
    config: { timeouts: { drain: '50ms' } },
  })
  const clients = await clientsOf(primary, 2)
  for (const client of clients) await client.ask('stubborn')
  primary.writeConfig({ workers: 1 })
  t.match(await primary.post('/reload'), { status: 200 })
  await ended(primary, 1)
  t.match(await primary.log.first('worker did not end in time and is killed'), { worker: 2 })
  const { pid } = await primary.client()
  const [staying, ...others] = clients.toSorted(
    (a, b) => Number(b.pid === pid) - Number(a.pid === pid),
  )
  await others[0]?.closed
  await staying?.ask('hello')
  t.equal(staying?.pid, pid)
})

await test('a worker that is to end has the time of tunnels where that is longer', async t => {
  const [timeouts, drain] = [{ drain: '50ms' }, { tunnels: '60s' }]
  const primary = new StartedPrimary(t, { workers: 2, config: { timeouts, drain } })
  const clients = await clientsOf(primary, 2)
  for (const client of clients) await client.ask('stubborn')
  primary.writeConfig({ workers: 1 })
  t.match(await primary.post('/reload'), { status: 200 })
  // As long as it would live by `timeouts.drain` alone, and longer: nothing tells that it is not killed.
  await new Promise(resolve => setTimeout(resolve, 2_500))
  for (const client of clients) await client.ask('hello')
  for (const client of clients) process.kill(client.pid, 'SIGKILL')
})

await test('new workers that cannot start refuse the reload, and all stays as it was', async t => {
  const primary = new StartedPrimary(t, { workers: 1 })
  const client = await primary.client()
  const broken = join(primary.folder, 'journal.broken')
  writeFileSync(broken, '')
  primary.writeConfig({ workers: 3, tenants: [tenantEntry('globex')] })
  const { status, json } = await primary.post('/reload')
  t.equal(status, 422)
  t.same(json.problems, ['it is broken'])
  t.match(await primary.json('/readyz'), { workers: { ready: 1, count: 1 } })
  await client.ask('hello')
  t.equal(client.tenants, 'acme')
  await ended(primary, 2)
  rmSync(broken)
  t.match(await primary.post('/reload'), { status: 200 })
  t.match(await primary.json('/readyz'), { workers: { ready: 3, count: 3 } })
})

await test('more workers while former ones still end: these end, and others come', async t => {
  const primary = new StartedPrimary(t, { workers: 2 })
  const clients = await clientsOf(primary, 2)
  primary.writeConfig({ workers: 1 })
  await primary.post('/reload')
  primary.writeConfig({ workers: 2 })
  await primary.post('/reload')
  t.match(await primary.json('/readyz'), { workers: { ready: 2, count: 2 } })
  const now = await clientsOf(primary, 2)
  const stayed = now.filter(({ pid }) => clients.some(client => client.pid === pid))
  t.equal(stayed.length, 1, 'one of them is new')
  for (const client of clients) client.socket.end()
  await ended(primary, 1)
  t.match(await primary.json('/readyz'), { workers: { ready: 2, count: 2 } })
})

await test('what the command line says of workers holds against a reload', async t => {
  const primary = new StartedPrimary(t, { workers: 1, commandLineWorkers: 2 })
  await primary.log.first('ready')
  primary.writeConfig({ workers: 3 })
  t.match(await primary.post('/reload'), { status: 200 })
  t.match(await primary.json('/readyz'), { workers: { ready: 2, count: 2 } })
})

await test('a drain of the whole proxy waits for workers that end already', async t => {
  const primary = new StartedPrimary(t, { workers: 2 })
  const clients = await clientsOf(primary, 2)
  primary.writeConfig({ workers: 1 })
  await primary.post('/reload')
  primary.signals.stop('SIGTERM')
  for (const client of clients) await client.ask('hello')
  for (const client of clients) client.socket.end()
  t.same(await primary.ended, { exitCode: 0 })
})

/** One of each worker. */
async function clientsOf(primary: StartedPrimary, workers: number): Promise<FakeClient[]> {
  const byWorker = new Map<number, FakeClient>()
  while (byWorker.size < workers) {
    const client = await primary.client()
    if (byWorker.has(client.pid)) client.socket.destroy()
    else byWorker.set(client.pid, client)
  }
  return [...byWorker.values()]
}

/** So many workers have ended since the start. */
async function ended(primary: StartedPrimary, count: number): Promise<void> {
  await readUntil(
    async () => Promise.resolve(primary.log.all(ENDED).length),
    seen => seen >= count,
  )
}

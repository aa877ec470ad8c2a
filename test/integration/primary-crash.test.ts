/** Workers that die: replaced at once, then more slowly; nothing of the others is touched, nothing that was said is lost. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { callsByTenant } from '../support/ledger-calls.ts'
import { startMixer } from '../support/start-mixer.ts'
import { type FakeClient, StartedPrimary } from '../support/start-primary.ts'

const DIED = 'worker died and is replaced'
const CRASH_LOOP = 'crash loop: workers die soon after their start, and the next one waits'
const NO_PROCESS = 'the process of a worker cannot be started; tried again'

await test('a worker that dies is replaced, and connections of the other live on', async t => {
  const mixer = await startMixer(t)
  const primary = new StartedPrimary(t, { mixerUrl: mixer.url, workers: 2 })
  const [staying, dying] = await clientsOfTwoWorkers(primary)
  await dying.ask('use acme:2')
  dying.socket.write('use acme:3\ncrash\n')
  await dying.closed
  t.match(await primary.log.first(DIED), { code: 7, workerPid: dying.pid, delayMs: 0 })
  await until(async () => (await primary.json('/readyz')).workers, { ready: 2, count: 2 })
  const before = staying.pid
  await staying.ask('use acme:4')
  t.equal(staying.pid, before, 'the same worker, the same connection')
  t.match((await primary.get('/metrics')).body, /^amt_worker_restarts_total 1$/m)
  staying.socket.end()
  primary.signals.stop('SIGTERM')
  t.same(await primary.ended, { exitCode: 0 })
  // What the dead worker said in its last moment counts, too.
  t.same(await callsByTenant(mixer.url), { acme: 9, last: 2 })
})

await test('all workers of a proxy, also those that come later, know it by the same name', async t => {
  const primary = new StartedPrimary(t, { workers: 2 })
  const [staying, dying] = await clientsOfTwoWorkers(primary)
  await staying.ask('instance')
  await dying.ask('instance')
  t.match(staying.tenants, /^[0-9a-f]{12}$/)
  t.equal(dying.tenants, staying.tenants)
  dying.socket.write('crash\n')
  await dying.closed
  await until(async () => (await primary.json('/readyz')).workers, { ready: 2, count: 2 })
  for (const client of await clientsOfTwoWorkers(primary)) {
    await client.ask('instance')
    t.equal(client.tenants, staying.tenants)
  }
})

await test('limits are divided among the workers that serve: one that is gone leaves its share', async t => {
  const primary = new StartedPrimary(t, { workers: 2 })
  const [staying, dying] = await clientsOfTwoWorkers(primary)
  for (const client of [staying, dying]) {
    await client.ask('serving')
    t.equal(client.tenants, '2')
  }
  const told = async (): Promise<string> => {
    await staying.ask('serving')
    return staying.tenants
  }
  const slow = join(primary.folder, 'journal.slow')
  writeFileSync(slow, '')
  dying.socket.write('crash\n')
  await dying.closed
  await until(told, '1')
  rmSync(slow)
  await until(async () => (await primary.json('/readyz')).workers, { ready: 2, count: 2 })
  await until(told, '2')
  for (const client of await clientsOfTwoWorkers(primary)) {
    await client.ask('serving')
    t.equal(client.tenants, '2', 'also the new one')
  }
})

await test('a worker that is killed from outside is named with its signal', async t => {
  const primary = new StartedPrimary(t, {})
  const client = await primary.client()
  process.kill(client.pid, 'SIGKILL')
  t.match(await primary.log.first(DIED), { signal: 'SIGKILL', code: null })
})

await test('crash loop: from the third death in a row on the next worker waits, and log and metrics say so', async t => {
  const primary = new StartedPrimary(t, {
    mixerUrl: (await startMixer(t)).url,
    workers: 1,
    config: { listeners: [fixedPort(await freePort())] },
  })
  const delays: unknown[] = []
  for (let death = 0; death < 3; death += 1) {
    await until(async () => (await primary.json('/readyz')).workers, { ready: 1, count: 1 })
    const died = primary.log.next(DIED)
    ;(await primary.client()).socket.write('crash\n')
    delays.push((await died).delayMs)
  }
  t.same(delays, [0, 0, 250])
  t.match(await primary.log.first(CRASH_LOOP), { worker: 1, deaths: 3, delayMs: 250 })
  t.match(await primary.json('/readyz'), { status: 'no worker' })
  const { body } = await primary.get('/metrics')
  t.match(body, /^amt_worker_restarts_total 3$/m)
  t.match(body, /^amt_workers\{state="serving"\} 0$/m)
  t.match(body, /^amt_workers\{state="waiting"\} 1$/m)
  primary.signals.stop('SIGTERM')
  t.same(await primary.ended, { exitCode: 0 }, 'a drain does not wait for the next worker')
})

await test('a process that cannot be started is tried again, and serves when it can be', async t => {
  const primary = new StartedPrimary(t, { workers: 2 })
  const [staying, dying] = await clientsOfTwoWorkers(primary)
  const { execPath } = process
  process.execPath = '/nowhere/node'
  t.teardown(() => {
    process.execPath = execPath
  })
  dying.socket.write('crash\n')
  await dying.closed
  t.match(await primary.log.first(NO_PROCESS), { worker: Number, delayMs: 250 })
  t.match((await primary.get('/metrics')).body, /^amt_workers\{state="waiting"\} 1$/m)
  await staying.ask('hello')
  process.execPath = execPath
  await until(async () => (await primary.json('/readyz')).workers, { ready: 2, count: 2 })
})

await test('what a dead worker had open is no longer counted as open', async t => {
  const primary = new StartedPrimary(t, { config: { listeners: [fixedPort(await freePort())] } })
  const client = await primary.client()
  await client.ask('open acme')
  const series = 'amt_connections_active{tenant="acme",routability="l7",listener="public"}'
  t.ok((await primary.get('/metrics')).body.includes(`${series} 1\n`))
  // Said in its last moment: it must not come to life after the worker is forgotten.
  client.socket.write('open acme\ncrash\n')
  await primary.log.first(DIED)
  const { body } = await primary.get('/metrics')
  t.ok(body.includes(`${series} 0\n`))
  t.match(body, /^amt_connections_total\{tenant="acme",.*\} 2$/m, 'a counter never goes down')
})

function fixedPort(port: number): Record<string, unknown> {
  return { name: 'public', mode: 'shared', address: `127.0.0.1:${port}`, protocol: 'http' }
}

/** One worker alone gives a port 0 back when it dies; the test needs one that stays. */
async function freePort(): Promise<number> {
  const { createServer } = await import('node:net')
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

async function clientsOfTwoWorkers(primary: StartedPrimary): Promise<[FakeClient, FakeClient]> {
  const first = await primary.client()
  for (;;) {
    const other = await primary.client()
    if (other.pid !== first.pid) return [first, other]
    other.socket.destroy()
  }
}

/** Asks until the answer is there; the time limit of the test is the limit. */
async function until(ask: () => Promise<unknown>, wanted: unknown): Promise<void> {
  while (JSON.stringify(await ask()) !== JSON.stringify(wanted)) {
    await new Promise(resolve => setImmediate(resolve))
  }
}

await test('a connection that comes while the only worker is dead waits for the next one', async t => {
  const primary = new StartedPrimary(t, { workers: 1 })
  const client = await primary.client()
  const slow = join(primary.folder, 'journal.slow')
  writeFileSync(slow, '')
  client.socket.write('crash\n')
  await client.closed
  await primary.log.first(DIED)
  const early = primary.client()
  // It is connected by the kernel; nobody has taken it yet.
  t.equal(await Promise.race([early.then(() => 'served'), soon()]), 'waits')
  rmSync(slow)
  t.not((await early).pid, client.pid)
})

/** By the clock: that nobody answers shows no event. */
async function soon(): Promise<string> {
  await new Promise(resolve => setTimeout(resolve, 200))
  return 'waits'
}

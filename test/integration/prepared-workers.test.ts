/** Workers that were forked before the configuration was read. */
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { encodeTenant } from '../../src/config/tenant-text.ts'
import { PreparedWorkers } from '../../src/proxy/primary/prepared-workers.ts'
import {
  FAKE_WORKER,
  type FakeClient,
  StartedPrimary,
  tenantEntry,
} from '../support/start-primary.ts'
import { tenantConfig } from '../support/token-issuer.ts'

/** Of some 300 bytes: more than a piece of a megabyte. */
const MANY = 5_000
const SOURCES = { tenantSources: [{ file: 'tenants.jsonl' }] }

function hostsOf(index: number): string[] {
  return [`${'long-name.'.repeat(20)}tenant-${index}.test`]
}

/** A folder with the sources of a configuration, which is there as well. */
function newTenants(t: Test): string {
  const folder = t.testdir()
  const lines = Array.from({ length: MANY }, (_, index) =>
    JSON.stringify({ ...tenantEntry(`tenant-${index}`), hosts: hostsOf(index) }),
  )
  writeFileSync(join(folder, 'tenants.jsonl'), `${lines.join('\n')}\n`)
  return folder
}

/** A connection to another process. */
async function otherThan(pid: number, primary: StartedPrimary): Promise<FakeClient> {
  for (;;) {
    const client = await primary.client()
    await client.ask('count')
    if (client.pid !== pid) return client
    client.socket.destroy()
  }
}

function forked(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter(worker => worker !== undefined)
}

/** Each has said hello, and nobody heard it. */
async function prepared(count: number): Promise<{ workers: PreparedWorkers; processes: Worker[] }> {
  const workers = new PreparedWorkers(count, FAKE_WORKER)
  const processes = forked()
  await Promise.all(processes.map(async worker => once(worker, 'message')))
  return { workers, processes }
}

await test('workers that are there already are taken, also those that have said hello', async t => {
  const { workers, processes } = await prepared(2)
  const primary = new StartedPrimary(t, { workers: 2, prepared: workers })
  await primary.log.first('ready')
  t.same(forked(), processes, 'no others were forked')
  const client = await primary.client()
  t.ok(processes.some(({ process }) => process.pid === client.pid))
})

await test('one that has died in the meantime is replaced, and those that nobody takes end', async t => {
  const { workers, processes } = await prepared(3)
  const [first, , third] = processes
  first?.process.kill('SIGKILL')
  await once(first as Worker, 'exit')
  const unused = once(third as Worker, 'exit')
  const primary = new StartedPrimary(t, { workers: 1, prepared: workers })
  await primary.log.first('ready')
  t.match(await primary.json('/readyz'), { workers: { ready: 1, count: 1 } })
  await unused
  t.pass('the third has ended')
})

await test('tenants that came while they were read are not sent again, and whoever comes later gets them', async t => {
  const folder = newTenants(t)
  const workers = new PreparedWorkers(2, FAKE_WORKER)
  const primary = new StartedPrimary(t, { workers: 2, prepared: workers, folder, config: SOURCES })
  const client = await primary.client()
  await client.ask('count')
  const all = String(MANY + 1)
  t.equal(client.tenants, `${all}/${all}`)
  client.socket.write('crash\n')
  await client.closed
  await primary.log.first('worker died and is replaced')
  const next = await otherThan(client.pid, primary)
  t.equal(next.tenants, `${all}/${all}`, 'the other one')
  next.socket.write('crash\n')
  await next.closed
  const later = await primary.client()
  await later.ask('count')
  t.equal(later.tenants, `0/${all}`)
})

await test('tenants that came ahead and are not those in force are forgotten', async t => {
  const folder = newTenants(t)
  const workers = new PreparedWorkers(1, FAKE_WORKER)
  for (let index = 0; index < MANY; index += 1)
    workers.add(encodeTenant(tenantConfig(`other-${index}`)))
  const primary = new StartedPrimary(t, { prepared: workers, folder, config: SOURCES })
  const client = await primary.client()
  await client.ask('count')
  t.equal(client.tenants, `0/${MANY + 1}`)
})

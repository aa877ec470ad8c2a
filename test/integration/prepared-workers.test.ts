/** Workers that were forked before the configuration was read. */
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { test } from 'tap'
import { PreparedWorkers } from '../../src/proxy/primary/prepared-workers.ts'
import { FAKE_WORKER, StartedPrimary } from '../support/start-primary.ts'

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

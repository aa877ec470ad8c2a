/** A worker and its journal: what is on disk when, and what becomes of traffic while the disk fails. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { UsageRecord } from '../../src/contracts/usage-report.ts'
import { FailingDisk } from '../support/failing-disk.ts'
import { journaledIn } from '../support/journal-files.ts'
import { LogLines } from '../support/log-lines.ts'
import type { ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  fieldsOf,
  get,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const UPGRADE = 'connection: Upgrade\r\nupgrade: websocket\r\n'
const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n'

/** A deployment that answers each head. */
async function answering(lab: ProxyLab): Promise<ManualDeployment> {
  return lab.deployment({
    serve: async peer => {
      while (!peer.closed) {
        const head = await peer.readHead().catch(() => '')
        if (head !== '') await peer.send(head.includes('upgrade: websocket') ? SWITCH : ok())
      }
    },
  })
}

interface Failing {
  readonly disk: FailingDisk
  readonly proxy: RunningProxy
  readonly client: Peer
}

async function withFailingDisk(lab: ProxyLab, mixer: Record<string, unknown>): Promise<Failing> {
  const disk = new FailingDisk()
  const deployment = await answering(lab)
  const proxy = await lab.proxy(
    {
      listeners: [
        { name: 'public', mode: 'shared', address: '127.0.0.1:0' },
        { name: 'private', mode: 'private', port: 0, protocol: 'tcp' },
      ],
      tenants: [tenant('acme', deployment, { address: '127.0.0.1' })],
      mixer,
    },
    { disk, logger: new LogLines('worker').logger },
  )
  return { disk, proxy, client: await lab.client(proxy) }
}

async function call(t: Test, client: Peer, code = '200'): Promise<string> {
  await client.send(get())
  const answer = await readAnswer(client)
  t.equal(answer.head.split(' ')[1], code)
  return answer.head
}

const calls = (records: readonly UsageRecord[]): number =>
  records.reduce((sum, record) => sum + record.calls, 0)

await proxyTest(
  'while the disk fails traffic goes on, and all of it is written later',
  async (t, lab) => {
    const { disk, proxy, client } = await withFailingDisk(lab, {})
    await call(t, client)
    t.equal(calls(proxy.journaled()), 1)
    disk.room = 0
    for (let time = 0; time < 3; time++) await call(t, client)
    t.equal(calls(proxy.journaled()), 1)
    t.equal(calls(proxy.usage()), 4, 'metrics know them')
    const failing = proxy.reports().at(-1)?.journal
    t.match(failing, { lost: 0, sequence: 2 })
    t.ok((failing?.unwritten ?? 0) > 0)
    t.ok(Date.now() - (failing?.failingSince ?? 0) < 60_000)
    disk.room = Number.POSITIVE_INFINITY
    await eventually(() => calls(proxy.journaled()) === 4)
    t.equal(calls(proxy.journaled()), 4)
    proxy.usage()
    t.match(proxy.reports().at(-1)?.journal, { failingSince: null, unwritten: 0 })
  },
)

await proxyTest(
  'with `journalFailure: refuse` new calls and tunnels are refused meanwhile',
  async (t, lab) => {
    const { disk, proxy, client } = await withFailingDisk(lab, { journalFailure: 'refuse' })
    const upgraded = await lab.client(proxy)
    await upgraded.send(get('/ws', UPGRADE))
    await upgraded.readHead()
    await call(t, client)
    disk.room = 0
    await call(t, client)
    t.equal(proxy.worker.openConnections, 2)
    await client.send(get())
    const refused = await readAnswer(client)
    t.equal(codeOf(refused.body), 'journal_unavailable')
    t.same(fieldsOf(refused.head, 'retry-after'), ['1'])
    const tunnel = await lab.client(proxy, 'private')
    await eventually(() => tunnel.ended)
    t.ok(tunnel.ended)
    t.equal(proxy.rejected('journal_unavailable'), 2)
    t.notOk(upgraded.closed, 'what is under way goes on')
    t.equal(calls(proxy.usage()), 3, 'the upgrade, and both that were served')
    disk.room = Number.POSITIVE_INFINITY
    await eventually(() => calls(proxy.journaled()) === 3)
    await call(t, client)
    t.equal(calls(proxy.journaled()), 4)
  },
)

await proxyTest('the time of an idle connection is journaled without traffic', async (t, lab) => {
  const { proxy, client } = await withFailingDisk(lab, {})
  await call(t, client)
  const openMs = (): number =>
    proxy.journaled().reduce((sum, { connectionMs }) => sum + connectionMs, 0)
  const before = openMs()
  // Nobody asks; the worker does it by itself.
  await eventually(() => openMs() > before + 500)
  t.ok(openMs() > before + 500)
})

await proxyTest('the time of a long answer is journaled as it goes', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(get())
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc')
  await client.readHead()
  await sleep(50)
  await upstream.send('d')
  await client.readBytes(4)
  const [record] = proxy.journaled().filter(({ operation }) => operation === 'other')
  t.ok(proxy.journaled().some(({ callMs }) => callMs >= 40))
  t.equal(calls(proxy.journaled()), 0, 'the call is not over')
  t.match(record, { tenant: 'acme', code: '2xx' })
  await upstream.send('ef')
  await client.readBytes(2)
  t.equal(calls(proxy.journaled()), 1)
})

await proxyTest('at the end of a worker all is in the journal, and synced', async (t, lab) => {
  const folder = mkdtempSync(join(tmpdir(), 'amt-journal-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const { disk, proxy, client } = await withFailingDisk(lab, { journal: folder, fsync: '1h' })
  await call(t, client)
  await client.send(get('/ws', UPGRADE))
  await client.readHead()
  disk.calls.length = 0
  await proxy.worker.close()
  t.ok(disk.calls.includes('syncNow'))
  const records = journaledIn(folder)
  t.equal(calls(records), 2)
  const told = proxy.reports().flatMap(({ usage }) => usage)
  for (const counter of ['calls', 'ingress', 'egress', 'connections', 'connectionMs'] as const) {
    const sum = (all: readonly UsageRecord[]): number =>
      all.reduce((total, record) => total + record[counter], 0)
    t.equal(sum(records), sum(told), counter)
  }
})

await proxyTest(
  'a worker whose primary is gone saves what it has counted up to then',
  async (t, lab) => {
    const { proxy, client } = await withFailingDisk(lab, {})
    await call(t, client)
    const openMs = (): number =>
      proxy.journaled().reduce((sum, { connectionMs }) => sum + connectionMs, 0)
    await sleep(100)
    const before = openMs()
    proxy.worker.saveUsage()
    t.ok(openMs() > before, 'the time of what is open, too')
  },
)

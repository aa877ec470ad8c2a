/** Real workers of a real proxy: one that crashes, and more and fewer of them under load. */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { t as root, type Test, test } from 'tap'
import { childrenOf } from '../../bench/harness/process-stat.ts'
import { newApiKey } from '../../src/cli/commands/key.ts'
import type { BoundAddress } from '../../src/proxy/ipc.ts'
import { type Program, runCommand, skipWithout } from '../support/program.ts'
import {
  FIT_FOR_TESTS,
  launchPart,
  MIXER,
  readUntil,
  readUsage,
  readyLine,
} from '../support/running-amt.ts'
import { callOnce, EchoTunnel, SteadyLoad } from '../support/steady-load.ts'

root.setTimeout(400_000)

const KEY = newApiKey('acme')
const TENANT_ADDRESS = '127.0.0.1'
/** A new worker, on a machine that may be busy. */
const PATIENCE_MS = 60_000

await test('a crashed worker is replaced at once, and its journal is taken over', async t => {
  const amt = await start(t, { workers: 2 })
  const workers = childrenOf(amt.pid)
  t.equal(workers.length, 2)
  // No report of a worker comes in between, once a second: what it has counted stands in its journal alone.
  for (let call = 0; call < 40; call += 1) t.equal(await amt.call(), 200)
  const [victim = 0] = workers
  const killed = performance.now()
  process.kill(victim, 'SIGKILL')
  await amt.proxy.line(/"msg":"worker died and is replaced"/, PATIENCE_MS)
  await readUntil(
    async () => (await amt.admin('/readyz')).body,
    body => body.includes('"workers":{"ready":2,"count":2}'),
    PATIENCE_MS,
  )
  t.comment(`two workers again after ${Math.round(performance.now() - killed)} ms`)
  t.match((await amt.admin('/metrics')).body, /^amt_worker_restarts_total 1$/m)
  t.equal(await amt.call(), 200)
  const calls = async (): Promise<number> =>
    (await readUsage(amt.mixerUrl, ['tenant'])).reduce((sum, row) => sum + Number(row.calls), 0)
  t.equal(await readUntil(calls, count => count === 41), 41)
})

await test('a worker that hangs is ended and replaced, and its journal is taken over', async t => {
  const amt = await start(t, { workers: 2, silence: '5s' })
  for (let call = 0; call < 40; call += 1) t.equal(await amt.call(), 200)
  const [victim = 0, other = 0] = childrenOf(amt.pid)
  process.kill(victim, 'SIGSTOP')
  t.match(
    await amt.proxy.line(/"msg":"worker hangs and is ended"/, PATIENCE_MS),
    new RegExp(`"workerPid":${victim},.*"state":"stopped"`),
  )
  await amt.proxy.line(
    new RegExp(`"workerPid":${victim},.*"SIGKILL".*"worker died and is replaced"`),
    PATIENCE_MS,
  )
  await readUntil(
    async () => (await amt.admin('/readyz')).body,
    body => body.includes('"workers":{"ready":2,"count":2}'),
    PATIENCE_MS,
  )
  const { body } = await amt.admin('/metrics')
  t.match(body, /^amt_worker_hangs_total 1$/m)
  t.match(body, /^amt_worker_restarts_total 1$/m)
  t.ok(childrenOf(amt.pid).includes(other), 'the other one speaks, and lives on')
  t.equal(await amt.call(), 200)
  const calls = async (): Promise<number> =>
    (await readUsage(amt.mixerUrl, ['tenant'])).reduce((sum, row) => sum + Number(row.calls), 0)
  t.equal(await readUntil(calls, count => count === 41), 41)
})

await test('a worker that stands still while a profile of it is taken is left alone', async t => {
  const amt = await start(t, { workers: 1, silence: '5s' })
  const [worker = 0] = childrenOf(amt.pid)
  const profile = amt.admin('/profile/cpu?worker=1&seconds=1', 'POST')
  process.kill(worker, 'SIGSTOP')
  // Longer than silence may be: that nothing happens shows no event.
  await new Promise(resolve => setTimeout(resolve, 8_000))
  process.kill(worker, 'SIGCONT')
  t.equal((await profile).status, 200)
  t.match((await amt.admin('/metrics')).body, /^amt_worker_hangs_total 0$/m)
  t.same(childrenOf(amt.pid), [worker])
})

await test('a primary without a free descriptor goes on, and replaces a worker as soon as it has one', {
  skip: skipWithout({ prlimit: 'util-linux' }),
}, async t => {
  const amt = await start(t, { workers: 2 })
  const limit = async (files: number): Promise<void> => {
    const { stderr } = await runCommand([
      'prlimit',
      ['--pid', String(amt.pid), `--nofile=${files}:4096`],
    ])
    t.equal(stderr, '')
  }
  // Numbers below this are free only where somebody has closed a file since.
  await limit(8)
  const [victim = 0] = childrenOf(amt.pid)
  process.kill(victim, 'SIGKILL')
  await amt.proxy.line(
    /"msg":"the process of a worker cannot be started; tried again"/,
    PATIENCE_MS,
  )
  t.equal(await amt.call(), 200, 'the other worker serves')
  await limit(4_096)
  await readUntil(
    async () => (await amt.admin('/readyz')).body,
    body => body.includes('"workers":{"ready":2,"count":2}'),
    PATIENCE_MS,
  )
  t.match((await amt.admin('/metrics')).body, /^amt_workers\{state="serving"\} 2$/m)
})

await test('more and fewer workers under load: no call fails, and tunnels of those that end go on', async t => {
  const amt = await start(t, { workers: 2 })
  const load = new SteadyLoad({ port: amt.port, key: KEY.key })
  const tunnels = await Promise.all(
    Array.from({ length: 8 }, async () => EchoTunnel.open(amt.tcpPort)),
  )
  for (const workers of [4, 1, 3, 1]) {
    await amt.scale(workers)
    t.match((await amt.admin('/readyz')).body, new RegExp(`"ready":${workers},"count":${workers}`))
    for (const tunnel of tunnels) t.equal(await tunnel.echo(), true)
    await load.more()
  }
  t.same(await load.end(), [], `${load.calls} calls`)
  if (!t.passing()) t.comment(await amt.explain())
  t.ok(load.calls > 100)
  for (const tunnel of tunnels) tunnel.socket.destroy()
  const ending = async (): Promise<string> => (await amt.admin('/metrics')).body
  const metrics = await readUntil(ending, body => body.includes('state="ending"} 0'), PATIENCE_MS)
  t.match(metrics, /^amt_workers\{state="ending"\} 0$/m, 'all that were too many have ended')
  t.match(metrics, /^amt_worker_restarts_total 0$/m)
  t.equal(await amt.proxy.stop(), 0)
  const calls = async (): Promise<number> =>
    (await readUsage(amt.mixerUrl, ['routability'])).reduce(
      (sum, row) => sum + (row.routability === 'l7' ? Number(row.calls) : 0),
      0,
    )
  t.equal(await readUntil(calls, count => count === load.calls), load.calls, 'each is billed once')
})

interface Started {
  readonly proxy: Program
  readonly pid: number
  readonly mixerUrl: string
  readonly port: number
  readonly tcpPort: number
  readonly call: () => Promise<number>
  readonly admin: (path: string, method?: string) => Promise<{ status: number; body: string }>
  /** What the proxy has refused, and said. */
  readonly explain: () => Promise<string>
  readonly scale: (workers: number) => Promise<void>
}

interface Wanted {
  readonly workers: number
  /** How long one may give no sign of life. */
  readonly silence?: string
}

async function start(t: Test, { workers, silence = '60s' }: Wanted): Promise<Started> {
  const http = await listening(
    t,
    createServer((_, response) => response.end('ok')),
  )
  const tcp = await listening(
    t,
    createTcpServer(socket => {
      socket.on('error', () => {})
      socket.pipe(socket)
    }),
  )
  const folder = t.testdir()
  const settings = {
    ...FIT_FOR_TESTS,
    timeouts: { drain: '60s', detect: '10s', worker: silence },
    // On a busy machine a client may speak late, and all of them come from one address.
    drain: { idle: '30s' },
    sources: { connections: 'off', newConnections: 'off' },
    listeners: [
      { name: 'public', mode: 'shared', address: '127.0.0.1:0' },
      { name: 'private', mode: 'private', port: 0, bind: 'each', protocol: 'tcp' },
    ],
    tenants: [
      tenant('acme', http, { credentials: [{ apiKey: KEY.digest }] }),
      tenant('globex', tcp, { address: TENANT_ADDRESS }),
    ],
    log: { level: 'info', access: 'off' },
  }
  const mixer = await launchPart(t, 'mixer', folder, {
    ...settings,
    mixer: { ...MIXER, listen: '127.0.0.1:0' },
  })
  const mixerUrl = `http://127.0.0.1:${String((await readyLine(mixer, PATIENCE_MS)).port)}`
  const ofProxy = { ...settings, mixer: { ...MIXER, url: mixerUrl } }
  const proxy = await launchPart(t, 'proxy', folder, { ...ofProxy, workers })
  const ready = await readyLine(proxy, PATIENCE_MS)
  const portOf = (name: string): number =>
    Number(
      (ready.bound as readonly BoundAddress[])
        .find(({ listener }) => listener === name)
        ?.address.split(':')[1],
    )
  const admin: Started['admin'] = async (path, method = 'GET') => {
    const response = await fetch(`http://${String(ready.admin)}${path}`, { method })
    return { status: response.status, body: await response.text() }
  }
  const port = portOf('public')
  return {
    proxy,
    pid: proxy.pid ?? 0,
    mixerUrl,
    port,
    tcpPort: portOf('private'),
    call: async () => callOnce({ port, key: KEY.key }),
    admin,
    explain: async () => {
      // Workers report once a second.
      await new Promise(resolve => setTimeout(resolve, 1_500))
      const told = (await admin('/metrics')).body
        .split('\n')
        .filter(line => /^amt_(rejected|limited|shed|overload_steps?)_total.* [1-9]/.test(line))
      return [...told, ...proxy.lines].join('\n')
    },
    scale: async count => {
      await writeFile(join(folder, 'proxy.yaml'), JSON.stringify({ ...ofProxy, workers: count }))
      const { status, body } = await admin('/reload', 'POST')
      if (status !== 200) throw new Error(body)
    },
  }
}

function tenant(id: string, port: number, more: object): object {
  const scheme = id === 'acme' ? 'http' : 'tcp'
  return { id, deployment: { endpoints: [`${scheme}://127.0.0.1:${port}`] }, ...more }
}

async function listening(
  t: Test,
  server: ReturnType<typeof createTcpServer> | ReturnType<typeof createServer>,
): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** The worker of a running proxy with more to do than it can, by real load of other processes. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { BoundAddress } from '../../src/proxy/ipc.ts'
import { amtCommand } from '../support/amt.ts'
import { type FloodOrder, type FloodOutcome, promptServer } from '../support/flood.ts'
import { FramePeer } from '../support/http2/frame-peer.ts'
import { request } from '../support/http2/http2-lab.ts'
import { Program } from '../support/program.ts'
import { FIT_FOR_TESTS, MIXER, readUntil, readyLine, startAmt } from '../support/running-amt.ts'

const FLOOD = join(import.meta.dirname, '../support/flood.ts')
const FLOOD_MS = 4_000
/** Connections that fill a worker's memory many times over. */
const MOST_PEERS = 1_000
/** Open files of a worker. */
const FILES = 400

async function startFlood(t: Test): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(FLOOD, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return { child, port }
}

async function startDeployment(t: Test): Promise<number> {
  const server = promptServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as net.AddressInfo).port
}

interface Quiet {
  readonly statuses: readonly string[]
  /** In ms. */
  readonly latencies: readonly number[]
}

/** A call each 10 ms for `ms`, whatever became of those before, on connections that are kept. */
async function quietly(port: number, ms: number): Promise<Quiet> {
  const statuses: string[] = []
  const latencies: number[] = []
  const free: net.Socket[] = []
  const calls: Promise<void>[] = []
  const call = async (): Promise<void> => {
    const socket = free.pop() ?? net.connect({ port, host: '127.0.0.1', noDelay: true })
    const begun = performance.now()
    socket.write('GET / HTTP/1.1\r\nhost: quiet.test\r\n\r\n')
    try {
      const [answer] = (await once(socket, 'data')) as [Buffer]
      statuses.push(answer.toString('latin1', 9, 12))
      latencies.push(performance.now() - begun)
      free.push(socket)
    } catch (error) {
      statuses.push(String(error))
    }
  }
  const end = performance.now() + ms
  while (performance.now() < end) {
    calls.push(call())
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  await Promise.all(calls)
  for (const socket of free) socket.destroy()
  return { statuses, latencies: latencies.toSorted((a, b) => a - b) }
}

await test('a flooding tenant and a quiet one on a saturated worker: the quiet one is served, and does not wait as the other does', async t => {
  const { child, port: noisy } = await startFlood(t)
  const quiet = await startDeployment(t)
  const amt = await startAmt(t, t.testdir({}), {
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    tenants: Object.entries({ noisy, quiet }).map(([id, port]) => ({
      id,
      hosts: [`${id}.test`],
      deployment: { endpoints: [`http://127.0.0.1:${port}`] },
    })),
    workers: 1,
  })
  const { port } = amt.address('public')
  const over = once(child, 'message') as Promise<[FloodOutcome]>
  child.send({ port, connections: 400, ahead: 4, ms: FLOOD_MS } satisfies FloodOrder)
  // The worker has to notice first.
  await quietly(port, 500)
  const { statuses, latencies } = await quietly(port, FLOOD_MS - 1_500)
  const [flood] = await over
  t.ok(statuses.length > 50)
  t.same(
    statuses.filter(status => status !== '200'),
    [],
    'no call of the quiet tenant fails',
  )
  t.ok(flood.served > 1_000)
  const median = latencies[latencies.length >> 1] ?? 0
  const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? 0
  t.comment(JSON.stringify({ flood, median, p99, calls: latencies.length }))
  t.ok(median < flood.median / 2, `${median} ms against ${flood.median} ms`)
  t.equal((await amt.rejected()).overloaded ?? 0, flood.shed)
})

/** A call of the quiet tenant: the status of its answer, or that there is none. */
async function ask(socket: net.Socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  socket.once('data', (answer: Buffer) => resolve(answer.toString('latin1', 9, 12)))
  socket.once('close', () => resolve('closed'))
  socket.on('error', () => {})
  socket.write('GET / HTTP/1.1\r\nhost: quiet.test\r\n\r\n')
  return promise
}

/** The same on a connection of its own. */
async function askOnce(port: number): Promise<string> {
  const socket = net.connect({ port, host: '127.0.0.1' })
  const status = await ask(socket)
  socket.destroy()
  return status
}

/** Streams with bodies that nobody takes, on more and more connections of HTTP/2 until some were `refused`, `MOST_PEERS` at most. */
async function fill(port: number, refused: () => Promise<boolean>): Promise<FramePeer[]> {
  const body = Buffer.alloc(60_000, 'x')
  const peers: FramePeer[] = []
  while (peers.length < MOST_PEERS && !(peers.length % 50 === 0 && (await refused()))) {
    const peer = await FramePeer.connect({ host: '127.0.0.1', port })
    peers.push(peer)
    for (let call = 0; call < 16; call += 1)
      request(peer, { method: 'POST', authority: 'noisy.test', end: false }).write(body)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  return peers
}

await test('a worker never dies of memory before it refuses, serves others meanwhile, and recovers', async t => {
  const silent = net.createServer(socket => socket.pause())
  silent.listen({ port: 0, host: '127.0.0.1' })
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const noisy = (silent.address() as net.AddressInfo).port
  const quiet = await startDeployment(t)
  const amt = await startAmt(t, t.testdir({}), {
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    tenants: Object.entries({ noisy, quiet }).map(([id, port]) => ({
      id,
      hosts: [`${id}.test`],
      deployment: {
        endpoints: [`http://127.0.0.1:${port}`],
        maxConnections: 1,
        queue: { calls: 1_000_000, timeout: '5m' },
      },
      limits: { concurrency: 1_000_000, connections: 1_000_000 },
    })),
    overload: { memory: '160MiB', lag: 'off', cpu: 'off' },
    workers: 1,
  })
  const { port } = amt.address('public')
  const kept = net.connect({ port, host: '127.0.0.1' })
  t.teardown(() => kept.destroy())
  t.equal(await ask(kept), '200')
  const refusals = async (): Promise<number> => (await amt.rejected()).overloaded ?? 0
  const peers = await fill(port, async () => (await refusals()) > 0)
  t.equal(await ask(kept), '200', 'a connection that is there')
  // The worker may be behind with what it was sent, and tells what it refused each second.
  const overloaded = await readUntil(refusals, count => count > 0)
  t.comment(JSON.stringify({ overloaded, refused: peers.filter(peer => peer.over).length }))
  t.ok(overloaded > 0)
  for (const peer of peers) peer.abort('reset')
  const begun = performance.now()
  const served = await readUntil(
    async () => askOnce(port),
    status => status === '200',
    25_000,
  )
  t.comment(`served again after ${performance.now() - begun} ms`)
  t.equal(served, '200')
  t.equal(await ask(kept), '200', 'the worker is still the same')
})

await test('short of open files a worker refuses connections before it runs out of them, and recovers', {
  skip: process.platform !== 'linux' && 'open files are counted on Linux alone',
}, async t => {
  const quiet = await startDeployment(t)
  const folder = t.testdir({})
  const file = join(folder, 'proxy.yaml')
  await writeFile(
    file,
    JSON.stringify({
      ...FIT_FOR_TESTS,
      listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
      tenants: [
        {
          id: 'quiet',
          hosts: ['quiet.test'],
          deployment: { endpoints: [`http://127.0.0.1:${quiet}`] },
        },
      ],
      mixer: { ...MIXER, url: 'http://127.0.0.1:1' },
      overload: { lag: 'off', cpu: 'off' },
      workers: 1,
    }),
  )
  const [name, args] = amtCommand(['proxy', '--config', file])
  const limited = ['-c', `ulimit -n ${FILES} && exec "$@"`, 'sh', name, ...args]
  const ready = await readyLine(new Program(t, ['sh', limited]))
  const [{ address }] = ready.bound as [BoundAddress]
  const port = Number(address.slice(address.lastIndexOf(':') + 1))
  const kept = net.connect({ port, host: '127.0.0.1' })
  t.teardown(() => kept.destroy())
  t.equal(await ask(kept), '200')
  const idle: net.Socket[] = []
  const refused = new Set<net.Socket>()
  while (idle.length < 2 * FILES && refused.size < 20) {
    const socket = net.connect({ port, host: '127.0.0.1' })
    idle.push(socket)
    socket.on('error', () => {})
    socket.on('close', () => refused.add(socket))
    await once(socket, 'connect')
    await new Promise(resolve => setTimeout(resolve, 2))
  }
  t.ok(refused.size >= 20, `${refused.size} of ${idle.length}`)
  t.ok(idle.length > FILES / 2)
  t.equal(await ask(kept), '200', 'a connection that is there')
  for (const socket of idle) socket.destroy()
  const served = await readUntil(
    async () => askOnce(port),
    status => status === '200',
  )
  t.equal(served, '200')
})

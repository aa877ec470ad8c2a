/** The access log of a real proxy: a reader that does not read, files that are moved away, by others and by size. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Test, t, test } from 'tap'
import { Agent, request } from 'undici'
import { amtCommand } from '../support/amt.ts'
import { freePorts } from '../support/free-ports.ts'
import type { Program } from '../support/program.ts'
import { FIT_FOR_TESTS, launchPart, readUntil, readyLine } from '../support/running-amt.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

t.setTimeout(120_000)

interface Line {
  readonly kind?: string
  readonly path?: string
}

interface Running {
  readonly admin: string
  readonly pid: number
  call(path: string): Promise<number>
}

async function deploymentOf(t: Test): Promise<string> {
  const server = createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** With a mixer: a proxy that has one does not wait at its end for the ledger to take its usage. */
async function settings(t: Test, log: object): Promise<Record<string, unknown>> {
  const deployment = await deploymentOf(t)
  const mixer = await startMixer(t)
  return {
    ...FIT_FOR_TESTS,
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    tenants: [{ id: 'acme', hosts: ['acme.test'], deployment: { endpoints: [deployment] } }],
    mixer: { token: TOKEN, journal: 'journal', url: mixer.url },
    log: { level: 'info', ...log },
  }
}

function reach(t: Test, ready: Readonly<Record<string, unknown>>): Running {
  const { address } = (ready.bound as [{ address: string }])[0]
  const agent = new Agent({ connections: 16 })
  t.teardown(async () => agent.destroy())
  return {
    pid: Number(ready.pid),
    admin: `http://${String(ready.admin)}`,
    call: async path => {
      const headers = { host: 'acme.test' }
      const { statusCode, body } = await request(`http://${address}${path}`, {
        headers,
        dispatcher: agent,
      })
      await body.dump()
      return statusCode
    },
  }
}

async function start(t: Test, folder: string, log: object): Promise<[Program, Running]> {
  const proxy = await launchPart(t, 'proxy', folder, await settings(t, log))
  return [proxy, reach(t, await readyLine(proxy))]
}

async function calls(running: Running, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += 16)
    await Promise.all(
      Array.from({ length: Math.min(16, to - at) }, async (_, n) => running.call(`/${at + n}`)),
    )
}

const metric = async ({ admin }: Running, name: string): Promise<number> => {
  const text = await (await fetch(`${admin}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1])
}

/** Paths of the calls in all files of the log, sorted by number. */
function logged(folder: string): number[] {
  return readdirSync(folder)
    .filter(name => name.startsWith('access.log'))
    .flatMap(name => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1))
    .map(line => JSON.parse(line) as Line)
    .filter(({ kind }) => kind === 'call')
    .map(({ path = '' }) => Number(path.slice(1)))
    .toSorted((a, b) => a - b)
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

await test('a reader of stdout that does not read slows nobody: lines are dropped and counted', async t => {
  const folder = t.testdir()
  const [port, admin] = await freePorts(2)
  const pipe = join(folder, 'output')
  execFileSync('mkfifo', [pipe])
  // Also for reading: it is somebody who has the pipe open, and never reads.
  const output = openSync(pipe, 'r+')
  const file = join(folder, 'proxy.yaml')
  const log = { access: 'stdout', accessBuffer: '64KiB' }
  const config = {
    ...(await settings(t, log)),
    listeners: [{ name: 'public', mode: 'shared', address: `127.0.0.1:${port}` }],
    admin: { address: `127.0.0.1:${admin}` },
  }
  writeFileSync(file, JSON.stringify(config))
  const [program, args] = amtCommand(['proxy', '--config', file])
  const child = spawn(program, args, { stdio: ['ignore', output, 'inherit'] })
  t.teardown(() => {
    child.kill('SIGKILL')
    closeSync(output)
  })
  const ended = once(child, 'exit')
  const running = reach(t, {
    admin: `127.0.0.1:${admin}`,
    bound: [{ address: `127.0.0.1:${port}` }],
  })
  const isReady = async (): Promise<boolean> => {
    try {
      return (await fetch(`${running.admin}/readyz`)).ok
    } catch {
      return false
    }
  }
  t.ok(await readUntil(isReady, Boolean, 60_000))
  const began = performance.now()
  await calls(running, 0, 4_000)
  const took = performance.now() - began
  t.ok(took < 30_000, `4000 calls took ${Math.round(took)} ms`)
  const dropped = await readUntil(
    async () => metric(running, 'amt_access_log_dropped_total'),
    value => value > 0,
  )
  t.ok(dropped > 0, `${dropped} lines were dropped`)
  // The warning of a worker that says so would have stopped it, written at once.
  t.equal(await running.call('/after'), 200)
  child.kill('SIGTERM')
  const [code] = (await ended) as [number]
  t.equal(code, 0, 'it ends in good order, although nobody reads its last lines')
})

await test('SIGUSR1: the file is begun anew, and no line is lost or written twice', async t => {
  const folder = t.testdir()
  const [proxy, running] = await start(t, folder, { access: 'access.log' })
  const path = join(folder, 'access.log')
  for (const round of [0, 1, 2]) {
    await calls(running, round * 300, round * 300 + 150)
    await readUntil(async () => Promise.resolve(existsSync(path)), Boolean)
    renameSync(path, `${path}-${round}`)
    const moving = calls(running, round * 300 + 150, round * 300 + 300)
    process.kill(running.pid, 'SIGUSR1')
    await moving
    await readUntil(async () => Promise.resolve(existsSync(path)), Boolean)
  }
  t.equal(await proxy.stop(), 0)
  t.same(logged(folder), numbers(900))
  t.equal(readdirSync(folder).filter(name => name.startsWith('access.log')).length, 4)
})

for (const keep of [100, 2])
  await test(`by size: old files are numbered, ${keep} stay, and no line is torn or written twice`, async t => {
    const folder = t.testdir()
    const accessRotation = { size: '64KiB', keep }
    const [proxy, running] = await start(t, folder, { access: 'access.log', accessRotation })
    let sent = 0
    const rotations = await readUntil(
      async () => {
        await calls(running, sent, sent + 320)
        sent += 320
        return metric(running, 'amt_access_log_rotations_total')
      },
      count => count >= 3,
      60_000,
    )
    t.equal(await proxy.stop(), 0)
    const files = readdirSync(folder).filter(name => name.startsWith('access.log'))
    t.ok(rotations >= 3)
    const left = logged(folder)
    t.equal(new Set(left).size, left.length)
    if (keep === 2) t.same(files.toSorted(), ['access.log', 'access.log.1', 'access.log.2'])
    else t.same(left, numbers(sent), 'none is lost')
  })

await test('a file that somebody deletes is made anew', async t => {
  const folder = t.testdir()
  const [proxy, running] = await start(t, folder, { access: 'logs/access.log' })
  const path = join(folder, 'logs', 'access.log')
  await running.call('/0')
  await readUntil(async () => Promise.resolve(existsSync(path)), Boolean)
  // The primary looks once a second, and misses only what it has seen.
  await new Promise(resolve => setTimeout(resolve, 1_500))
  rmSync(join(folder, 'logs'), { recursive: true })
  await readUntil(async () => Promise.resolve(existsSync(path)), Boolean)
  await running.call('/1')
  t.equal(await proxy.stop(), 0)
  t.match(readFileSync(path, 'utf8'), '"path":"/1"')
})

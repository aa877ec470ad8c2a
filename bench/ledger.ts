/**
 * `npm run bench:ledger`: usage records a second into the ledger, over HTTP, as proxies report them. Several producers post
 * gzipped reports one after the other to one mixer; all run on the same CPUs. Bodies are made beforehand. Afterwards the
 * sums that the mixer answers are compared with those of what was sent: a wrong one makes it fail.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { gzipSync } from 'node:zlib'
import { Command, InvalidArgumentError } from 'commander'
import { Agent } from 'undici'
import type { Announcement } from '../src/contracts/producer-announcement.ts'
import { mixerBooksSchema } from '../src/contracts/reconcile.ts'
import { usageAnswerSchema, usageSumsOf } from '../src/contracts/usage-query.ts'
import {
  columnReport,
  noExactUsage,
  USAGE_COUNTERS,
  type UsageCounter,
  type UsageRecord,
} from '../src/contracts/usage-report.ts'
import { describeMachine } from './harness/machine.ts'
import { cpuSeconds } from './harness/process-stat.ts'

const ROOT = join(import.meta.dirname, '..')
const TOKEN = 'a-token-for-the-benchmark'
const OPERATIONS = ['read-order', 'create-order', 'other']
/** Reports of as many minutes come in: proxies are not all at the same second. */
const MINUTES = 3
const MINUTE_MS = 60_000

interface Options {
  readonly ledger: readonly string[]
  readonly producers: number
  readonly tenants: number
  readonly records: number
  readonly reports: number
}

await new Command('bench:ledger')
  .description('measures how many usage records a second the mixer takes into its ledger')
  .option('--ledger <name...>', 'sqlite, postgres (a server of its own), or a URL', [
    'sqlite',
    'postgres',
  ])
  .option('--producers <number>', 'that report at the same time', positive, 8)
  .option('--tenants <number>', 'that have usage', positive, 10_000)
  .option('--records <number>', 'of a report', positive, 2_500)
  .option('--reports <number>', 'of all producers together', positive, 400)
  .action(run)
  .parseAsync()

async function run(options: Options): Promise<void> {
  process.stdout.write(
    `${JSON.stringify(describeMachine())}\n${options.producers} producers, ${options.reports} reports of ${options.records} records, ${options.tenants} tenants\n\n`,
  )
  const load = makeLoad(options)
  process.stdout.write('ledger      records/s  reports/s  slowest ms  mixer CPU µs/record\n')
  for (const name of options.ledger) {
    const folder = mkdtempSync(join(tmpdir(), 'amt-bench-'))
    try {
      await measure(name, load, folder)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

interface Load {
  /** The bodies of each producer, in their order. */
  readonly producers: readonly (readonly Buffer[])[]
  readonly records: number
  readonly sums: Readonly<Record<UsageCounter, bigint>>
}

function makeLoad({ producers, tenants, records, reports }: Options): Load {
  const sums = noExactUsage()
  const bodies: Buffer[][] = Array.from({ length: producers }, () => [])
  const start = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - MINUTES * MINUTE_MS
  for (let report = 0; report < reports; report += 1) {
    const own = bodies[report % producers] ?? []
    const list = Array.from({ length: records }, (_, index): UsageRecord => {
      const number = report * records + index
      return {
        tenant: `tenant-${number % tenants}`,
        listener: 'public',
        routability: 'l7',
        operation: OPERATIONS[number % OPERATIONS.length] ?? '',
        code: number % 97 === 0 ? '5xx' : '2xx',
        window: start + Math.floor((report * MINUTES) / reports) * MINUTE_MS,
        calls: 1 + (number % 50),
        ingress: 300 + (number % 1_000),
        egress: 4_000 + (number % 100_000),
        connections: number % 2,
        connectionMs: number % 60_000,
        callMs: number % 900,
        requestMessages: 0,
        responseMessages: 0,
      }
    })
    for (const counter of USAGE_COUNTERS)
      sums[counter] += BigInt(list.reduce((sum, one) => sum + one[counter], 0))
    const body = columnReport({
      producer: `producer-${report % producers}`,
      sequence: own.length + 1,
      records: list,
    })
    own.push(gzipSync(JSON.stringify(body)))
  }
  return { producers: bodies, records: reports * records, sums }
}

async function measure(name: string, load: Load, folder: string): Promise<void> {
  const server = name === 'postgres' ? await startPostgres() : undefined
  const ledger = server?.url ?? (name === 'sqlite' ? `sqlite:${join(folder, 'ledger.db')}` : name)
  const mixer = await startMixer(ledger, folder)
  const agent = new Agent({ connections: load.producers.length })
  try {
    await announce(agent, mixer.url, load)
    const before = cpuSeconds([mixer.pid])
    const started = performance.now()
    const slowest = await Promise.all(
      load.producers.map(bodies => deliver(agent, mixer.url, bodies)),
    )
    const seconds = (performance.now() - started) / 1_000
    const cpu = cpuSeconds([mixer.pid]) - before
    const row = [
      name.replace(/:.*/, '').padEnd(10),
      figure(load.records / seconds, 10),
      figure(load.producers.flat().length / seconds, 10),
      figure(Math.max(...slowest), 11),
      figure((cpu * 1e6) / load.records, 20),
    ]
    process.stdout.write(`${row.join(' ')}\n`)
    await check(agent, mixer.url, load)
  } finally {
    await agent.destroy()
    await stop(mixer.child, 'SIGTERM')
    if (server !== undefined) {
      await stop(server.child, 'SIGINT')
      rmSync(server.folder, { recursive: true, force: true })
    }
  }
}

async function announce(agent: Agent, origin: string, { producers }: Load): Promise<void> {
  const response = await agent.request({
    origin,
    path: '/v1/producers',
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      proxy: 'bench',
      producers: producers.map((_, index) => `producer-${index}`),
    } satisfies Announcement),
  })
  if (response.statusCode !== 200) throw new Error(await response.body.text())
}

/** Posts one after the other; the longest that one took, in milliseconds. */
async function deliver(agent: Agent, origin: string, bodies: readonly Buffer[]): Promise<number> {
  let slowest = 0
  for (const body of bodies) {
    const started = performance.now()
    const response = await agent.request({
      origin,
      path: '/v1/report',
      method: 'POST',
      headers: {
        authorization: `Bearer ${TOKEN}`,
        'content-type': 'application/json',
        'content-encoding': 'gzip',
      },
      body,
    })
    const answer = await response.body.text()
    if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${answer}`)
    slowest = Math.max(slowest, performance.now() - started)
  }
  return slowest
}

/** Throws where the ledger says anything else than what was sent. */
async function check(agent: Agent, origin: string, load: Load): Promise<void> {
  const read = async (path: string): Promise<unknown> => {
    const headers = { authorization: `Bearer ${TOKEN}` }
    return (await agent.request({ origin, path, method: 'GET', headers })).body.json()
  }
  const expected = JSON.stringify(usageSumsOf(load.sums))
  const usage = usageAnswerSchema.parse(await read('/v1/usage?from=0&by=code'))
  const books = mixerBooksSchema.parse(await read('/v1/reconcile'))
  for (const sums of [usage.totals, books.reported, books.ledger])
    if (JSON.stringify(sums) !== expected)
      throw new Error(`the ledger has ${JSON.stringify(sums)}, sent were ${expected}`)
  process.stdout.write(`           sums are right: ${expected}\n`)
}

interface Running {
  readonly child: ChildProcess
  readonly url: string
  readonly pid: number
}

async function startMixer(ledger: string, folder: string): Promise<Running> {
  const config = join(folder, 'amt.yaml')
  writeFileSync(
    config,
    `listeners: [ { name: public, mode: shared, address: "127.0.0.1:0" } ]
mixer: { listen: "127.0.0.1:0", token: ${TOKEN} }
ledger: ${JSON.stringify(ledger)}
`,
  )
  const main = join(ROOT, 'src', 'cli', 'main.ts')
  const child = start(process.execPath, [main, 'mixer', '--config', config])
  const line = await lineOf(child, /mixer is ready/)
  const { port } = JSON.parse(line) as { port: number }
  return { child, url: `http://127.0.0.1:${port}`, pid: child.pid ?? 0 }
}

/** In a folder of its own, into which the user that it runs as can get. */
async function startPostgres(): Promise<{
  readonly child: ChildProcess
  readonly url: string
  readonly folder: string
}> {
  const folder = mkdtempSync(join(tmpdir(), 'amt-pg-'))
  const child = start(join(ROOT, 'scripts', 'postgres'), [folder])
  await lineOf(child, /ready to accept connections/)
  return { child, folder, url: `postgres:///postgres?host=${folder}&user=amt` }
}

function start(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  process.once('exit', () => child.kill())
  return child
}

/** The first line that matches; what comes behind it is read and forgotten. */
async function lineOf(child: ChildProcess, pattern: RegExp): Promise<string> {
  if (child.stdout === null) throw new Error('the child has no output')
  const lines = createInterface({ input: child.stdout })
  return new Promise((resolve, reject) => {
    lines.on('line', line => {
      if (pattern.test(line)) resolve(line)
    })
    child.once('exit', code => reject(new Error(`ended with ${code}`)))
    child.once('error', reject)
  })
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}

function figure(value: number, width: number): string {
  return (value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(1)).padStart(width)
}

function positive(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError('It must be a number from 1 on.')
  return value
}

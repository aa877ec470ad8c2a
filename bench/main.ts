/** `npm run bench`: AMT beside other proxies on the same work. README.md beside this file says how to read it. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { cpuProfileSchema, selfTimeLines, selfTimes } from './harness/cpu-profile.ts'
import { describeMachine } from './harness/machine.ts'
import { pinSelf, requireProgram } from './harness/program.ts'
import type { BenchResult, LaneResult } from './harness/result.ts'
import { runLane } from './harness/run-lane.ts'
import { notesOf, tableOf } from './harness/table.ts'
import { LANES } from './lanes/all.ts'
import type { Lane } from './lanes/lane.ts'
import { PEERS } from './peers/all.ts'
import { amt, otherAmt } from './peers/amt.ts'
import type { Peer } from './peers/peer.ts'

interface Options {
  readonly lane: readonly string[]
  readonly peer: readonly string[]
  readonly against?: string
  readonly seconds: number
  readonly rounds: number
  readonly json?: string
  readonly profile?: boolean
  readonly list?: boolean
}

/** Functions that `--profile` prints. */
const PROFILE_LINES = 30
const RESULTS = join(import.meta.dirname, 'results')

await new Command('bench')
  .description('measures AMT beside other proxies: CPU a call, calls a second, latency')
  .option('--lane <name...>', 'only these lanes', [])
  .option('--peer <name...>', 'only these peers; AMT is always among them', [])
  .option('--against <checkout>', 'also the AMT of another checkout, as the peer amt-other')
  .option('--seconds <number>', 'length of a round', upTo(600), 5)
  .option('--rounds <number>', 'rounds, in each of which every peer has its turn', upTo(100), 5)
  .option('--json <file>', 'where to write the result (default: a new file in bench/results)')
  .option('--profile', 'profile the worker of AMT, and print where its time went')
  .option('--list', 'print lanes and peers, and which of them are here')
  .addHelpText(
    'after',
    '\nExample:\n  npm run bench -- --lane http1-jwt --peer haproxy --rounds 3\n',
  )
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main)
  .parseAsync()
  .catch((error: unknown) => {
    console.error(`bench: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  })

async function main(options: Options): Promise<void> {
  const lanes = chosen(LANES, options.lane, 'lane')
  const named = chosen(PEERS, options.peer.length > 0 ? [amt.name, ...options.peer] : [], 'peer')
  const peers = options.against === undefined ? named : [...named, otherAmt(options.against)]
  if (options.list) {
    for (const line of listing()) console.log(line)
    return
  }
  if (availableParallelism() < 2)
    throw new Error('two CPUs are needed: one for load, one for the proxy')
  requireProgram('wrk')
  requireProgram('nginx', 'nginx-light')
  const started = new Date().toISOString()
  const machine = describeMachine()
  pinSelf()
  mkdirSync(RESULTS, { recursive: true })
  const stem = join(RESULTS, started.replaceAll(/[:.]/g, '-'))
  const results = await runAll({ lanes, peers, stem }, options)
  const { seconds, rounds } = options
  const result: BenchResult = { started, machine, seconds, rounds, lanes: results }
  console.log(tableOf(result))
  for (const note of notesOf(result)) console.error(`note: ${note}`)
  const file = options.json ?? `${stem}.json`
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(result, undefined, 2)}\n`)
  console.error(`written to ${file}`)
  if (results.some(({ peers }) => peers.some(({ kind }) => kind === 'failed'))) process.exitCode = 1
}

interface Plan {
  readonly lanes: readonly Lane[]
  readonly peers: readonly Peer[]
  /** Path of the results, without the ending. */
  readonly stem: string
}

async function runAll(
  { lanes, peers, stem }: Plan,
  { seconds, rounds, ...options }: Options,
): Promise<LaneResult[]> {
  const folder = mkdtempSync(join(tmpdir(), 'amt-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  // An exit runs what ends the programs; a signal by itself would not.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const results: LaneResult[] = []
  for (const lane of lanes) {
    const own = join(folder, lane.name)
    mkdirSync(own)
    const progress = (line: string): void => console.error(line)
    const profile = options.profile ? `${stem}-${lane.name}.cpuprofile` : undefined
    const result = await runLane(lane, { peers, seconds, rounds, folder: own, profile, progress })
    results.push(result)
    if (profile !== undefined) for (const line of profileLines(profile, result)) progress(line)
  }
  return results
}

/** Where the time of AMT went in a lane, most of it first. The figure is that of a process that was watched: too high. */
function* profileLines(file: string, { figure, peers }: LaneResult): Generator<string> {
  const own = peers.find(({ peer }) => peer === amt.name)
  if (own?.kind !== 'measured') return
  const profile = cpuProfileSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  const times = selfTimes(profile, dirname(import.meta.dirname))
  yield* selfTimeLines(times, PROFILE_LINES, { ...figure, median: own.figure.median })
  yield `written to ${file}`
}

function* listing(): Generator<string> {
  yield 'lanes:'
  for (const { name, title } of LANES) yield `  ${name.padEnd(21)} ${title}`
  yield 'peers:'
  for (const peer of PEERS) {
    const here = LANES.some(lane => peer.absence(lane) === undefined)
    yield `  ${peer.name.padEnd(21)} ${here ? peer.version() : 'absent'}`
    for (const lane of LANES) {
      const absence = peer.absence(lane)
      if (absence !== undefined) yield `  ${''.padEnd(21)} not in ${lane.name}: ${absence}`
    }
  }
}

/** Those with these names, or all; in their own order. Ends the program with exit code 2 where there is no such name. */
function chosen<T extends { readonly name: string }>(
  all: readonly T[],
  names: readonly string[],
  kind: string,
): readonly T[] {
  const unknown = names.filter(name => !all.some(entry => entry.name === name))
  if (unknown.length > 0) {
    const known = all.map(({ name }) => name).join(', ')
    console.error(`no ${kind} ${unknown.join(', ')}; there is ${known}`)
    process.exit(2)
  }
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
}

function upTo(limit: number): (text: string) => number {
  return text => {
    const number = /^\d+$/.test(text) ? Number(text) : 0
    if (number < 1 || number > limit)
      throw new InvalidArgumentError(`It must be a number from 1 to ${limit}.`)
    return number
  }
}

/** `npm run bench:isolation`: what a quiet tenant notices of a noisy one. docs/isolation.md says how to read it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { describeMachine } from './harness/machine.ts'
import { pinSelf } from './harness/program.ts'
import { writeDocument, writeSoak } from './isolation/document.ts'
import { type IsolationResult, verdictOf } from './isolation/figures.ts'
import { PEERS } from './isolation/peers/all.ts'
import { amt } from './isolation/peers/amt.ts'
import type { IsolationPeer } from './isolation/peers/peer.ts'
import { runIsolation } from './isolation/run.ts'
import { ALONE, SCENARIOS, type Scenario } from './isolation/scenarios.ts'
import { runSoak } from './isolation/soak.ts'
import { growthOf, soakFaults, soakTable } from './isolation/soak-figures.ts'
import { QUIET_RATE } from './isolation/stage.ts'
import { isolationNotes, isolationTable, noiseText } from './isolation/table.ts'

interface Options {
  readonly scenario: readonly string[]
  readonly peer: readonly string[]
  readonly seconds: number
  readonly rounds: number
  readonly json?: string
  readonly write?: boolean
  readonly soak?: number
  readonly list?: boolean
}

const SHORTEST_SOAK_SECONDS = 6

/** How it was called, for who reads the figures. */
const COMMAND = ['npm run bench:isolation --', ...process.argv.slice(2)].join(' ')

await new Command('bench:isolation')
  .description('measures what a quiet tenant notices of a noisy one, in AMT and in other proxies')
  .option('--scenario <name...>', 'only these scenarios; alone is always among them', [])
  .option('--peer <name...>', 'only these peers; AMT is always among them', [])
  .option('--seconds <number>', 'of quiet calls, in each scenario of a round', upTo(600), 10)
  .option(
    '--rounds <number>',
    'rounds in which every proxy has its turn, behind one that is not counted',
    upTo(100),
    3,
  )
  .option('--json <file>', 'also writes the figures there')
  .option('--write', 'also writes table and picture into docs/isolation.md and .svg')
  .option(
    '--soak <time>',
    'all noise at once on AMT alone for so long, such as 30m, and its memory',
    duration,
  )
  .option('--list', 'print scenarios and peers, and which of them are here')
  .addHelpText(
    'after',
    '\nExample:\n  npm run bench:isolation -- --scenario flood hung --peer haproxy\n',
  )
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main)
  .parseAsync()
  .catch((error: unknown) => {
    console.error(`bench:isolation: ${error instanceof Error ? error.message : String(error)}`)
    process.exit(1) // also where something that it started still runs: an exit ends that
  })

async function main(options: Options): Promise<void> {
  const scenarios = chosen(SCENARIOS, ALONE, options.scenario)
  const peers = chosen(PEERS, amt.name, options.peer)
  if (options.list) {
    for (const { name, title } of SCENARIOS) console.log(`${name.padEnd(12)} ${title}`)
    for (const peer of PEERS)
      console.log(`${peer.name.padEnd(12)} ${peer.absence() ?? peer.version()}`)
    return
  }
  if (availableParallelism() < 2)
    throw new Error('two CPUs are needed: one for load, one for the proxy')
  if (options.soak === undefined) await compare(options, { scenarios, peers })
  else await soak(options.soak, options)
}

interface Plan {
  readonly scenarios: readonly Scenario[]
  readonly peers: readonly IsolationPeer[]
}

async function compare(options: Options, { scenarios, peers }: Plan): Promise<void> {
  const { seconds, rounds } = options
  const started = new Date().toISOString()
  const machine = describeMachine()
  const folder = prepare()
  const run = await runIsolation({ scenarios, peers, seconds, rounds, folder, progress })
  const here = peers.filter(peer => peer.absence() === undefined)
  const versions = Object.fromEntries(here.map(peer => [peer.name, peer.version()]))
  const result: IsolationResult = {
    started,
    machine,
    seconds,
    rounds,
    rate: QUIET_RATE,
    versions,
    ...run,
  }
  console.log(isolationTable(result))
  for (const note of isolationNotes(result)) console.error(`note: ${note}`)
  if (options.json !== undefined)
    writeFileSync(options.json, `${JSON.stringify(result, undefined, 2)}\n`)
  if (options.write)
    for (const file of writeDocument(result, COMMAND)) console.error(`written to ${file}`)
  const own = run.figures.filter(({ peer }) => peer === amt.name)
  if (own.length === 0 || own.some(row => verdictOf(row, run.figures)?.holds === false))
    process.exitCode = 1
}

async function soak(seconds: number, { json, write }: Options): Promise<void> {
  const started = new Date().toISOString()
  const machine = describeMachine()
  const { steps, noise } = await runSoak({ seconds, folder: prepare(), progress })
  const faults = soakFaults(steps)
  const notes = [
    ...Object.entries(noise).map(([name, counts]) => `${name} got ${noiseText(counts)}`),
    ...(faults.length === 0 ? ['it holds'] : ['it does NOT hold', ...faults]),
  ].map(note => `- ${note}`)
  const lines = [soakTable(steps), notes.join('\n')]
  console.log(lines.join('\n\n'))
  const result = { started, machine, seconds, growth: growthOf(steps), faults, noise, steps }
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(result)}\n`)
  if (write)
    for (const file of writeSoak(result, lines, COMMAND)) console.error(`written to ${file}`)
  if (faults.length > 0) process.exitCode = 1
}

/** A folder for this run alone, which goes with it, as does all that it starts. */
function prepare(): string {
  pinSelf()
  const folder = mkdtempSync(join(tmpdir(), 'amt-isolation-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  // An exit runs what ends the programs; a signal by itself would not.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  return folder
}

function progress(line: string): void {
  console.error(line)
}

/** Those with these names and `always`, or all; in their own order. Ends the program with exit code 2 where there is no such name. */
function chosen<T extends { readonly name: string }>(
  all: readonly T[],
  always: string,
  names: readonly string[],
): readonly T[] {
  const unknown = names.filter(name => !all.some(entry => entry.name === name))
  if (unknown.length > 0) {
    console.error(
      `there is no ${unknown.join(', ')}, but ${all.map(({ name }) => name).join(', ')}`,
    )
    process.exit(2)
  }
  return names.length === 0
    ? all
    : all.filter(({ name }) => name === always || names.includes(name))
}

function duration(text: string): number {
  const [, number, unit = ''] = /^(\d+)([smh])$/.exec(text) ?? []
  const seconds = Number(number) * ({ s: 1, m: 60, h: 3_600 }[unit] ?? 0)
  if (!(seconds >= SHORTEST_SOAK_SECONDS))
    throw new InvalidArgumentError(`It must be a time from ${SHORTEST_SOAK_SECONDS}s, such as 30m.`)
  return seconds
}

function upTo(limit: number): (text: string) => number {
  return text => {
    const number = /^\d+$/.test(text) ? Number(text) : 0
    if (number < 1 || number > limit)
      throw new InvalidArgumentError(`It must be a number from 1 to ${limit}.`)
    return number
  }
}

/** `npm run bench:isolation`: what a quiet tenant notices of a noisy one. README.md beside this file says how. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { describeMachine } from './harness/machine.ts'
import { pinSelf } from './harness/program.ts'
import { type IsolationResult, verdictOf } from './isolation/figures.ts'
import { PEERS } from './isolation/peers/all.ts'
import { amt } from './isolation/peers/amt.ts'
import { QUIET_RATE, runIsolation } from './isolation/run.ts'
import { ALONE, SCENARIOS } from './isolation/scenarios.ts'
import { isolationNotes, isolationTable } from './isolation/table.ts'

interface Options {
  readonly scenario: readonly string[]
  readonly peer: readonly string[]
  readonly seconds: number
  readonly rounds: number
  readonly json?: string
  readonly list?: boolean
}

await new Command('bench:isolation')
  .description('measures what a quiet tenant notices of a noisy one, in AMT and in other proxies')
  .option('--scenario <name...>', 'only these scenarios; alone is always among them', [])
  .option('--peer <name...>', 'only these peers; AMT is always among them', [])
  .option('--seconds <number>', 'of quiet calls, in each scenario of a round', upTo(600), 10)
  .option('--rounds <number>', 'rounds, in each of which every proxy has its turn', upTo(100), 3)
  .option('--json <file>', 'also writes the figures there')
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
  const { seconds, rounds } = options
  const started = new Date().toISOString()
  const machine = describeMachine()
  pinSelf()
  const folder = mkdtempSync(join(tmpdir(), 'amt-isolation-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  // An exit runs what ends the programs; a signal by itself would not.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const progress = (line: string): void => console.error(line)
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
  const own = run.figures.filter(({ peer }) => peer === amt.name)
  if (own.length === 0 || own.some(row => verdictOf(row, run.figures)?.holds === false))
    process.exitCode = 1
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

function upTo(limit: number): (text: string) => number {
  return text => {
    const number = /^\d+$/.test(text) ? Number(text) : 0
    if (number < 1 || number > limit)
      throw new InvalidArgumentError(`It must be a number from 1 to ${limit}.`)
    return number
  }
}

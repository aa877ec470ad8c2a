/** `npm run bench:micro`: nanoseconds of single functions of the hot path. For changes to one of them; lanes decide. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import type { Spread } from '../harness/statistics.ts'
import { type MicroBench, measure } from './measure.ts'

interface Options {
  readonly json?: boolean
  readonly list?: boolean
}

await new Command('bench:micro')
  .description(
    'measures single functions of the hot path, in nanoseconds: the least, and the median, of many batches',
  )
  .argument('[text...]', 'only those whose name has one of these in it')
  .option('--json', 'print JSON')
  .option('--list', 'print the names')
  .addHelpText('after', '\nExample:\n  npm run bench:micro -- request --json\n')
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main)
  .parseAsync()

async function main(texts: readonly string[], { json, list }: Options): Promise<void> {
  const all = await load()
  const chosen = all.filter(
    ({ name }) => texts.length === 0 || texts.some(text => name.includes(text)),
  )
  if (chosen.length === 0) {
    console.error(`no name has ${texts.join(' or ')} in it; there is`)
    for (const { name } of all) console.error(`  ${name}`)
    process.exit(2)
  }
  if (list) {
    for (const { name } of chosen) console.log(name)
    return
  }
  const results: { name: string; ns: Spread }[] = []
  for (const { name, prepare } of chosen) {
    const ns = measure(await prepare())
    results.push({ name, ns })
    if (!json) console.log(lineOf(name, ns))
  }
  if (json) console.log(JSON.stringify(results, undefined, 2))
}

async function load(): Promise<MicroBench[]> {
  const files = readdirSync(import.meta.dirname).filter(name => name.endsWith('.bench.ts'))
  const modules = await Promise.all(
    files
      .toSorted()
      .map(
        async file =>
          (await import(join(import.meta.dirname, file))) as { benches: readonly MicroBench[] },
      ),
  )
  return modules.flatMap(({ benches }) => benches)
}

function lineOf(name: string, { median, min }: Spread): string {
  return `${name.padEnd(28)} ${min.toFixed(1).padStart(9)} ns  median ${median.toFixed(1)}`
}

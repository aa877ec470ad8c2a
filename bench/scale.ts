/**
 * `npm run bench:scale`: what the number of tenants costs. For each number it starts `amt proxy` over so many tenants and
 * prints how long the start and a change of one tenant take, what a tenant takes of each worker's memory, and what a call
 * costs beside the same load on ten tenants. A wrong answer makes it fail.
 */
import { writeFileSync } from 'node:fs'
import { Command, InvalidArgumentError } from 'commander'
import { describeMachine } from './harness/machine.ts'
import { scaleTable } from './scale/figures.ts'
import { measureScale, type ScaleOptions } from './scale/measure.ts'

await new Command('bench:scale')
  .description('measures what the number of tenants costs')
  .option('--tenants <numbers>', 'separated by commas', positives, [10, 1_000, 10_000, 100_000])
  .option('--changes <number>', 'of one tenant, in each source', positive, 20)
  .option('--pairs <number>', 'of processes, one of them with ten tenants', positive, 3)
  .option('--rounds <number>', 'of load on each pair, on one right after the other', positive, 10)
  .option('--seconds <number>', 'of a round', positive, 1)
  .option('--calls <number>', 'that a client makes on its connection', positive, 100)
  .option('--json <file>', 'also writes the figures there')
  .action(async (options: Omit<ScaleOptions, 'progress'> & { json?: string }) => {
    const machine = describeMachine()
    process.stdout.write(`${JSON.stringify(machine)}\n`)
    const started = performance.now()
    const progress = (line: string): void => {
      const seconds = ((performance.now() - started) / 1_000).toFixed(0)
      process.stderr.write(`${seconds.padStart(4)} s  ${line}\n`)
    }
    const figures = await measureScale({ ...options, progress })
    process.stdout.write(`\n${scaleTable(figures)}\n`)
    const result = { machine, options, figures }
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(result)}\n`)
  })
  .parseAsync()

function positive(text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError('must be from 1')
  return number
}

function positives(text: string): number[] {
  return text.split(',').map(positive)
}

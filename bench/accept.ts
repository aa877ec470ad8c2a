/**
 * `npm run bench:accept`: the ways in which workers can share an address, measured beside each other: new connections a
 * second and their cost, how evenly they spread, and what is lost when a worker ends. The figures of ADR 4.
 */
import { writeFileSync } from 'node:fs'
import { Command, InvalidArgumentError } from 'commander'
import { type AcceptOptions, measureAccept } from './accept/measure.ts'
import { acceptTable } from './accept/table.ts'
import { MEANING, WAYS } from './accept/ways.ts'
import { describeMachine } from './harness/machine.ts'

await new Command('bench:accept')
  .description('measures the ways in which workers can share an address')
  .option('--workers <number>', 'worker processes', positive, 4)
  .option('--rounds <number>', 'in which the ways take turns', positive, 3)
  .option('--seconds <number>', 'of each load', positive, 4)
  .option(
    '--ends <number>',
    'workers that are drained, and as many that are killed, in a round',
    positive,
    12,
  )
  .option('--json <file>', 'also writes the figures there')
  .action(async (options: Omit<AcceptOptions, 'progress'> & { json?: string }) => {
    const machine = describeMachine()
    process.stdout.write(`${JSON.stringify(machine)}\n`)
    for (const way of WAYS) process.stdout.write(`${way}: ${MEANING[way]}\n`)
    const progress = (line: string): void => void process.stderr.write(`${line}\n`)
    const figures = await measureAccept({ ...options, progress })
    process.stdout.write(`\n${acceptTable(figures)}\n`)
    if (options.json !== undefined)
      writeFileSync(options.json, `${JSON.stringify({ machine, options, figures })}\n`)
  })
  .parseAsync()

function positive(text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError('must be from 1')
  return number
}

/** `amt check FILE` */
import { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { formatProblem } from '../../config/problem.ts'
import type { Config } from '../../config/schema.ts'

const EXIT_INVALID = 2

/** Validates a configuration: all problems to stderr and exit code 2, or one line to stdout and exit code 0. */
export function checkCommand(): Command {
  return new Command('check')
    .description('validate a configuration; every problem at once, with file, line and column')
    .argument('<file>', 'the configuration file')
    .addHelpText(
      'after',
      '\nExample:\n  $ amt check config.example.yaml\n\nExit code: 0 if the file is valid, else 2.',
    )
    .action(check)
}

function check(file: string): void {
  const result = loadConfig(file, { env: process.env })
  if ('problems' in result) {
    process.stderr.write(result.problems.map(problem => `${formatProblem(problem)}\n`).join(''))
    process.exitCode = EXIT_INVALID
    return
  }
  process.stderr.write(result.warnings.map(warning => `warning: ${warning}\n`).join(''))
  process.stdout.write(`${file} is valid: ${summary(result.config)}\n`)
}

function summary(config: Config): string {
  const { listeners, tenants, service } = config
  return [
    plural(listeners.length, 'listener'),
    plural(tenants.length, 'tenant'),
    plural(service.operations.length, 'operation'),
  ].join(', ')
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`
}

import { Command, InvalidArgumentError, Option } from 'commander'
import { EXPORT_STATES, MAX_EXPORT_ITEMS } from '../../contracts/export-status.ts'
import {
  createMixerClient,
  type ExportsQuery,
  type MixerClient,
  type MixerFailure,
} from '../../runtime/mixer-client.ts'
import { exportsTable } from '../exports/table.ts'
import { tenantOption } from '../options.ts'
import { findMixer } from '../usage/mixer-access.ts'

const EXIT_FAILED = 1
const EXIT_WRONG_USAGE = 2

interface ExportsOptions extends ExportsQuery {
  readonly id?: string[]
  readonly retry?: true
  readonly acknowledge?: true
  readonly json?: true
  readonly config?: string
}

/** `amt exports`: how far exports are and what of them waits; and an operator's decision about that. */
export function exportsCommand(): Command {
  return new Command('exports')
    .description('show how far exports are and which items wait for a decision, or decide')
    .option('--export <name>', 'items of this export')
    .addOption(
      new Option('--state <state>', 'items in this state instead').choices([...EXPORT_STATES]),
    )
    .addOption(tenantOption())
    .option('--limit <number>', `most items to show, up to ${MAX_EXPORT_ITEMS}`, parseLimit)
    .option('--retry', 'send again what waits: all of --export, or the items named by --id')
    .option('--acknowledge', 'the sink has the items named by --id: never send them again')
    .option('--id <id>', 'one item; may be given again', collect)
    .option('--json', 'print the answer of the mixer as JSON')
    .option(
      '--config <file>',
      'configuration that names the mixer, instead of AMT_MIXER_URL and AMT_MIXER_TOKEN',
    )
    .addHelpText('after', '\nExample:\n  amt exports --export stripe --retry\n')
    .action(runExports)
}

async function runExports(options: ExportsOptions): Promise<void> {
  const wrong = wrongUsage(options)
  if (wrong !== undefined) return complain(wrong, EXIT_WRONG_USAGE)
  const access = findMixer(options.config, process.env, 'exports')
  if (access === undefined) return
  const mixer = createMixerClient(access)
  try {
    await (options.retry || options.acknowledge ? decide(mixer, options) : show(mixer, options))
  } finally {
    await mixer.close()
  }
}

function wrongUsage({ retry, acknowledge, id, export: name }: ExportsOptions): string | undefined {
  if (retry && acknowledge) return 'only one of --retry and --acknowledge'
  if ((retry || acknowledge) && name === undefined) return 'name the export with --export'
  if (acknowledge && id === undefined) return 'name the items with --id'
  if (id !== undefined && !retry && !acknowledge) return '--id goes with --retry or --acknowledge'
  return undefined
}

async function decide(mixer: MixerClient, options: ExportsOptions): Promise<void> {
  const result = await mixer.decideExports({
    export: options.export ?? '',
    ...(options.id === undefined ? {} : { ids: options.id }),
    as: options.retry ? 'pending' : 'acknowledged',
  })
  if (!result.ok) return fail(result)
  const done = options.retry ? 'will be sent again' : 'are acknowledged'
  process.stdout.write(`${result.changed} items ${done}\n`)
}

async function show(mixer: MixerClient, options: ExportsOptions): Promise<void> {
  const { export: name, state, tenant, limit, json } = options
  const result = await mixer.exports({
    ...(name === undefined ? {} : { export: name }),
    ...(state === undefined ? {} : { state }),
    ...(tenant === undefined ? {} : { tenant }),
    ...(limit === undefined ? {} : { limit }),
  })
  if (!result.ok) return fail(result)
  const { answer } = result
  process.stdout.write(json ? `${JSON.stringify(answer, undefined, 2)}\n` : exportsTable(answer))
}

function fail(failure: MixerFailure): void {
  if (failure.reason === 'unreachable')
    return complain(`the mixer cannot be reached at ${failure.detail}`, EXIT_FAILED)
  if (failure.code === 'malformed_message') return complain(failure.detail, EXIT_WRONG_USAGE)
  return complain(`the mixer refused: ${failure.detail}`, EXIT_FAILED)
}

function complain(line: string, exitCode: number): void {
  process.stderr.write(`amt exports: ${line}\n`)
  process.exitCode = exitCode
}

function collect(id: string, ids: string[] = []): string[] {
  return [...ids, id]
}

function parseLimit(text: string): number {
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > MAX_EXPORT_ITEMS)
    throw new InvalidArgumentError(`It must be a number from 1 to ${MAX_EXPORT_ITEMS}.`)
  return limit
}

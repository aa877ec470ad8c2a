import { Command, InvalidArgumentError, Option } from 'commander'
import {
  USAGE_GROUPINGS,
  type UsageGrouping,
  type UsageQuery,
} from '../../contracts/usage-query.ts'
import { systemClock } from '../../runtime/clock.ts'
import {
  createMixerClient,
  type MixerClient,
  type MixerFailure,
} from '../../runtime/mixer-client.ts'
import { tenantOption } from '../options.ts'
import { csvHead, csvRows } from '../usage/csv.ts'
import { findMixer } from '../usage/mixer-access.ts'
import { usagePages, wholeUsage } from '../usage/pages.ts'
import { usageTable } from '../usage/table.ts'
import { parseUsageTime, TIME_HINT } from '../usage/time.ts'

const EXIT_FAILED = 1
const EXIT_WRONG_USAGE = 2

interface UsageOptions {
  readonly tenant?: string
  readonly from?: number | string
  readonly to?: number | string
  readonly by?: UsageGrouping[]
  readonly json?: true
  readonly csv?: true
  readonly config?: string
}

/** `amt usage`: what is in the ledger, read through the mixer. */
export function usageCommand(): Command {
  return new Command('usage')
    .description('show usage out of the ledger: of today, by tenant, unless asked otherwise')
    .addOption(tenantOption())
    .option(
      '--from <time>',
      'from when on: today, yesterday, -1h, -7d or an ISO 8601 time; UTC',
      parseTime,
    )
    .option('--to <time>', 'until when', parseTime)
    .option('--by <groupings>', `comma list of ${USAGE_GROUPINGS.join(', ')}`, parseGroupings)
    .option('--json', 'print the answer of the mixer as JSON')
    .addOption(new Option('--csv', 'print CSV, for spreadsheets and programs').conflicts('json'))
    .option(
      '--config <file>',
      'configuration that names the mixer, instead of AMT_MIXER_URL and AMT_MIXER_TOKEN',
    )
    .addHelpText('after', '\nExample:\n  amt usage --tenant acme --from -24h --by hour,operation\n')
    .action(showUsage)
}

async function showUsage({ json, csv, config, by = [], ...range }: UsageOptions): Promise<void> {
  const access = findMixer(config, process.env)
  if (access === undefined) return
  const mixer = createMixerClient(access)
  try {
    const query = queryOf(range, by)
    if (csv) return await printCsv(mixer, query)
    const result = await wholeUsage(mixer, query)
    if (!result.ok) return fail(result)
    process.stdout.write(
      json ? `${JSON.stringify(result.usage, undefined, 2)}\n` : usageTable(result.usage),
    )
  } finally {
    await mixer.close()
  }
}

/** Page by page, so that its length does not matter. */
async function printCsv(mixer: MixerClient, query: UsageQuery): Promise<void> {
  let first = true
  for await (const result of usagePages(mixer, query)) {
    if (!result.ok) return fail(result)
    process.stdout.write(`${first ? csvHead(result.usage.by) : ''}${csvRows(result.usage)}`)
    first = false
  }
}

/** A row always says whose it is. */
function queryOf(range: Omit<UsageQuery, 'by'>, by: readonly UsageGrouping[]): UsageQuery {
  return { ...range, by: by.includes('tenant') ? by : ['tenant', ...by] }
}

function fail(failure: MixerFailure): void {
  if (failure.reason === 'unreachable') {
    process.stderr.write(`amt usage: the mixer cannot be reached at ${failure.detail}\n`)
    process.exitCode = EXIT_FAILED
    return
  }
  const wrongQuery = failure.code === 'malformed_message'
  const lines = wrongQuery && failure.problems.length > 0 ? failure.problems : [failure.detail]
  for (const line of lines)
    process.stderr.write(`amt usage: ${wrongQuery ? '' : 'the mixer refused: '}${line}\n`)
  process.exitCode = wrongQuery ? EXIT_WRONG_USAGE : EXIT_FAILED
}

function parseTime(text: string): number | string {
  const time = parseUsageTime(text, systemClock.now())
  if (time === undefined) throw new InvalidArgumentError(`It must be ${TIME_HINT}.`)
  return time
}

function parseGroupings(text: string): UsageGrouping[] {
  return text.split(',').map(name => {
    const grouping = USAGE_GROUPINGS.find(known => known === name)
    if (grouping === undefined)
      throw new InvalidArgumentError(`It must be of ${USAGE_GROUPINGS.join(', ')}.`)
    return grouping
  })
}

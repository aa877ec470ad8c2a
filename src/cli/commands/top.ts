import { Command, InvalidArgumentError, Option } from 'commander'
import {
  MAX_TOP_FILTER,
  MAX_TOP_TENANTS,
  TOP_KEYS,
  type Top,
  type TopKey,
} from '../../contracts/top.ts'
import { parseDuration } from '../../core/units.ts'
import { type AdminAccess, findAdmin } from '../admin-access.ts'
import { adminOption } from '../options.ts'
import { readTop, type TopQuestion, type TopResult } from '../top/read-top.ts'
import { topSummary } from '../top/summary.ts'
import { topTable } from '../top/table.ts'
import { firstView } from '../top/view.ts'

const EXIT_FAILED = 1
const DEFAULT_LINES = 50
const [SHORTEST_MS, LONGEST_MS] = [200, 3_600_000]
/** For a file or a program: no name is shortened. */
const UNBOUNDED_COLUMNS = 200

interface TopOptions {
  readonly config?: string
  readonly admin?: string
  readonly by: TopKey
  readonly filter: string
  readonly interval: number
  readonly once?: true
  readonly json?: true
  readonly lines: number
}

/** `amt top`: what the tenants of a proxy are doing at this moment. */
export function topCommand(): Command {
  return new Command('top')
    .description('show which tenants do most at this moment, and go on doing so')
    .option('--config <file>', 'configuration that names the admin server')
    .addOption(adminOption())
    .addOption(new Option('--by <figure>', 'what comes first').choices(TOP_KEYS).default('calls'))
    .option('--filter <text>', 'only tenants whose id contains it', parseFilter, '')
    .option('--interval <duration>', 'between two looks', parseInterval, 2_000)
    .option('--once', 'print it once, for programs; so does an output that is no terminal')
    .option('--json', 'the same as JSON')
    .option('--lines <number>', 'how many tenants to print once', parseLines, DEFAULT_LINES)
    .addHelpText(
      'after',
      '\nAt a terminal: c calls, e errors, l limits, b bytes, n connections sort; / filters; h shows all keys; q quits.' +
        '\n\nExample:\n  amt top --by errors\n  amt top --once --by bytes --lines 10\n',
    )
    .action(showTop)
}

async function showTop({ config, admin: place, ...options }: TopOptions): Promise<void> {
  const admin = findAdmin(place, config, process.env)
  const { by, filter, lines } = options
  const first = await readTop(admin, { by, filter, limit: lines })
  if ('problem' in first) {
    process.stderr.write(`amt top: the proxy cannot be asked at ${first.problem}\n`)
    process.exitCode = EXIT_FAILED
    return
  }
  if (options.json) process.stdout.write(`${JSON.stringify(first.top, undefined, 2)}\n`)
  else if (options.once || !isScreen()) process.stdout.write(printed(first.top))
  else await follow(admin, options, first.top)
}

/** A terminal that can do more than print one line below the other, with somebody at its keys. */
function isScreen(): boolean {
  return process.stdout.isTTY && process.stdin.isTTY && process.env.TERM !== 'dumb'
}

function printed(top: Top): string {
  const width = process.stdout.isTTY ? process.stdout.columns : UNBOUNDED_COLUMNS
  const { head, rows } = topTable(top.top, width)
  const lines = [...topSummary(top), '', head, ...rows]
  return lines.map(line => `${line.trimEnd()}\n`).join('')
}

async function follow(
  admin: AdminAccess,
  { by, filter, interval }: Pick<TopOptions, 'by' | 'filter' | 'interval'>,
  top: Top,
): Promise<void> {
  const { TopSession } = await import('../top/session.ts')
  // Nobody waits for the answer to a last question.
  const quit = new AbortController()
  const session = new TopSession({
    ask: async (question: TopQuestion): Promise<TopResult> => readTop(admin, question, quit.signal),
    input: process.stdin,
    output: process.stdout,
    intervalMs: interval,
    view: firstView(by, filter),
    top,
  })
  await session.run()
  quit.abort()
}

function parseFilter(text: string): string {
  if (text.length > MAX_TOP_FILTER || !/^[a-z0-9-]*$/.test(text))
    throw new InvalidArgumentError(`It must be at most ${MAX_TOP_FILTER} of a-z, 0-9 and "-".`)
  return text
}

function parseInterval(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined || ms < SHORTEST_MS || ms > LONGEST_MS)
    throw new InvalidArgumentError('It must be a duration from 200ms to 1h, such as 2s.')
  return ms
}

function parseLines(text: string): number {
  const lines = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (lines < 1 || lines > MAX_TOP_TENANTS)
    throw new InvalidArgumentError(`It must be a number from 1 to ${MAX_TOP_TENANTS}.`)
  return lines
}

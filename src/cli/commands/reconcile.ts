import { Command } from 'commander'
import { MAX_PRODUCERS_PER_PAGE, type MixerBooks } from '../../contracts/reconcile.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createMixerClient, type MixerClient } from '../../runtime/mixer-client.ts'
import { type AdminAccess, findAdmin } from '../admin-access.ts'
import { adminOption } from '../options.ts'
import { imbalances, type Sample } from '../reconcile/balance.ts'
import { booksTable } from '../reconcile/books-table.ts'
import { readProxyBooks } from '../reconcile/proxy-books.ts'
import { findMixer } from '../usage/mixer-access.ts'

const EXIT_FAILED = 1
/** What is under way settles within this. */
const SETTLE_MS = 3_000
const BETWEEN_MS = 250

interface ReconcileOptions {
  readonly config?: string
  readonly admin?: string
  readonly json?: true
}

/** `amt reconcile`: whether what a proxy has counted is what the ledger has. */
export function reconcileCommand(): Command {
  return new Command('reconcile')
    .description('compare the books of a proxy with the ledger; exit 1 where they do not balance')
    .option('--config <file>', 'configuration that names the admin server and the mixer')
    .addOption(adminOption())
    .option('--json', 'print the books of both sides and what does not balance as JSON')
    .addHelpText('after', '\nExample:\n  amt reconcile --config amt.yaml\n')
    .action(reconcile)
}

async function reconcile({ config, admin, json }: ReconcileOptions): Promise<void> {
  const access = findMixer(config, process.env, 'reconcile')
  if (access === undefined) return
  const proxy = findAdmin(admin, config, process.env)
  const mixer = createMixerClient(access)
  try {
    const outcome = await settle(proxy, mixer)
    if ('problem' in outcome) return fail([outcome.problem])
    const { sample, problems } = outcome
    process.stdout.write(
      json
        ? `${JSON.stringify({ balanced: problems.length === 0, problems, ...sample }, undefined, 2)}\n`
        : booksTable(sample),
    )
    if (problems.length > 0) fail(problems)
    else if (!json) process.stdout.write('the books balance\n')
  } finally {
    await mixer.close()
  }
}

type Outcome =
  | { readonly sample: Sample; readonly problems: readonly string[] }
  | { readonly problem: string }

/** Asks both sides until they agree, or for as long as what is under way may take. */
async function settle(proxy: AdminAccess, mixer: MixerClient): Promise<Outcome> {
  const samples: Sample[] = []
  const deadline = systemClock.monotonic() + SETTLE_MS
  for (;;) {
    const sample = await takeSample(proxy, mixer)
    if ('problem' in sample) return sample
    samples.push(sample)
    const problems = imbalances(samples)
    if (problems.length === 0 || systemClock.monotonic() >= deadline) return { sample, problems }
    await new Promise(resolve => setTimeout(resolve, BETWEEN_MS))
  }
}

async function takeSample(
  proxy: AdminAccess,
  mixer: MixerClient,
): Promise<Sample | { readonly problem: string }> {
  const at = systemClock.monotonic()
  const read = await readProxyBooks(proxy)
  if ('problem' in read) return { problem: `the proxy cannot be asked at ${read.problem}` }
  const names = read.books.journals.map(({ producer }) => producer)
  const books = await mixerBooks(mixer, names)
  return 'problem' in books ? books : { at, proxy: read.books, mixer: books }
}

async function mixerBooks(
  mixer: MixerClient,
  names: readonly string[],
): Promise<Sample['mixer'] | { readonly problem: string }> {
  const producers: MixerBooks['producers'] = []
  for (let from = 0; ; from += MAX_PRODUCERS_PER_PAGE) {
    const page = names.slice(from, from + MAX_PRODUCERS_PER_PAGE)
    // A list without names would be all of them.
    const result = await mixer.books({ producers: page.length === 0 ? ['none'] : page })
    if (!result.ok) return { problem: `the mixer cannot be asked: ${result.detail}` }
    producers.push(...result.books.producers)
    const { reported, ledger } = result.books
    if (from + MAX_PRODUCERS_PER_PAGE >= names.length) return { producers, reported, ledger }
  }
}

/** The token is that of the environment, or of the configuration. */
function fail(problems: readonly string[]): void {
  for (const problem of problems) process.stderr.write(`amt reconcile: ${problem}\n`)
  process.exitCode = EXIT_FAILED
}

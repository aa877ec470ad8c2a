/**
 * The first proof of docs/metering.md: whatever is killed whenever, received ≤ ledger ≤ served; and where nothing is, all
 * three are equal, to the byte.
 *
 * `CHAOS_KILLS` is how many kills (10; `npm run test:chaos` makes 100), `CHAOS_SEED` repeats their choices, and
 * `CHAOS_LEDGER=postgres` keeps the ledger in a PostgreSQL of the test's own.
 */
import { t as root, type Test, test } from 'tap'
import { type Books, booksOf, ChaosRun, KILLS as KILLS_FORK } from '../support/chaos/chaos-run.ts'
import { type KillLog, killAtRandom, newKillLog } from '../support/chaos/kills.ts'
import { startPostgres } from '../support/postgres.ts'
import { SeededRandom } from '../support/seeded-random.ts'

const KILLS = Number(process.env['CHAOS_KILLS'] ?? 10)
const SEED = Number(process.env['CHAOS_SEED'] ?? Date.now() % 2 ** 31)
const ON_POSTGRES = process.env['CHAOS_LEDGER'] === 'postgres'
const QUIET_SECONDS = 5
const PROGRESS_EVERY = 10
/** Six seconds a kill on an idle machine, as an upper bound; a neighbour may take the cores. */
const MOST_MS_A_KILL = 12_000
const CALM_MS = 60_000

root.setTimeout(KILLS * MOST_MS_A_KILL + 2 * CALM_MS)

/** One line of sums a side. */
function tell(t: Test, run: ChaosRun, ledger: Books): void {
  const { sum, refused } = run.counts
  const books = [...ledger.values()]
  const total = (of: (typeof books)[number][], name: 'calls' | 'ingress' | 'egress'): number =>
    of.reduce((all, one) => all + one[name], 0)
  t.comment(
    `calls: received ${sum.received} ≤ ledger ${total(books, 'calls')} ≤ served ${sum.served}; ` +
      `ingress: ${total(books, 'ingress')} of ${sum.sent} written; egress: ${total(books, 'egress')}, read ${sum.got}; ` +
      `${run.journals.segments} segments; refused by status: ${JSON.stringify([...refused])}`,
  )
}

/** What the journals say, where the ledger is another opinion: one line a number. */
function unlike(ledger: Books, journal: Books): string[] {
  return [...new Set([...ledger.keys(), ...journal.keys()])].flatMap(key => {
    const [ours, theirs] = [JSON.stringify(ledger.get(key)), JSON.stringify(journal.get(key))]
    return ours === theirs ? [] : [`${key}: ledger ${ours}, journals ${theirs}`]
  })
}

const begun = performance.now()

function progressOf({ counts }: ChaosRun, log: KillLog, done: number): string {
  const seconds = Math.round((performance.now() - begun) / 1_000)
  const { received, served } = counts.sum
  return `${done} kills, ${seconds} s: ${JSON.stringify(log.counts)}; ${received} calls received, ${served} served`
}

await test('where all calls end as they should: received, ledger and served are equal, to the byte', async t => {
  t.comment(`CHAOS_SEED=${SEED}`)
  await ChaosRun.with(t, { seed: SEED, note: line => void t.fail(line) }, async run => {
    await new Promise(resolve => setTimeout(resolve, QUIET_SECONDS * 1_000))
    const ledger = await run.settle(t)
    tell(t, run, ledger)
    t.same([...run.counts.refused], [], 'nothing is refused')
    t.same(run.counts.differences(ledger), [], 'the ledger is what both sides have seen')
    t.same(unlike(ledger, booksOf(run.journals.records())), [], 'and what the journals say')
    t.ok(run.counts.sum.received > 100, 'there was load')
    if (!t.passing()) t.comment(`logs and journals are kept: ${run.keep({})}`)
  })
})

await test(`${KILLS} times kill -9 of workers, primary, proxy and mixer under load: received ≤ ledger ≤ served`, async t => {
  t.comment(`CHAOS_SEED=${SEED} CHAOS_KILLS=${KILLS}`)
  const log = newKillLog()
  const place = ON_POSTGRES ? { ledger: await (await startPostgres(t)).createDatabase() } : {}
  const options = { seed: SEED, note: (line: string) => void log.lines.push(line), ...place }
  await ChaosRun.with(t, options, async run => {
    await killAtRandom(run.amt, SeededRandom.fork(SEED, KILLS_FORK), log, {
      times: KILLS,
      progress: done => {
        if (done % PROGRESS_EVERY === 0) t.comment(progressOf(run, log, done))
      },
    })
    const ledger = await run.settle(t)
    tell(t, run, ledger)
    t.comment(`a worker outlived its primary by ${log.longestOrphanMs} ms at most`)
    t.same(run.counts.contradictions(ledger), [], 'the ledger is what both sides have seen')
    t.same(unlike(ledger, booksOf(run.journals.records())), [], 'and what the journals say')
    t.same(log.violations, [])
    if (t.passing()) return
    t.comment(
      `kill log, logs and journals are kept: ${run.keep({ 'kills.log': log.lines.join('\n') })}`,
    )
  })
})

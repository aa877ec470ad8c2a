/**
 * Whatever an operator does, and whatever dies: the only calls that fail are those in flight on a worker that was killed, or at
 * an endpoint that went away; they are counted and explained, and the books balance.
 *
 * `CHAOS_SECONDS` is for how long (180; 1800 is the long run), `CHAOS_SEED` repeats the choices.
 */
import { t as root, test } from 'tap'
import { OPERATIONS, OperationsRun } from '../support/chaos/operations-run.ts'

const SECONDS = Number(process.env['CHAOS_SECONDS'] ?? 180)
const SEED = Number(process.env['CHAOS_SEED'] ?? Date.now() % 2 ** 31)
const PROGRESS_MS = 30_000
const START_AND_END_MS = 120_000
/** As many operations as there must be for each kind to be among them. */
const ENOUGH_SECONDS = 120

root.setTimeout(SECONDS * 1_000 + START_AND_END_MS)

await test(`${SECONDS} s of an operator at work under load: nothing fails that does not have to`, {
  skip: process.platform !== 'linux' && 'whose connections a worker has is known on Linux alone',
}, async t => {
  t.comment(`CHAOS_SEED=${SEED} CHAOS_SECONDS=${SECONDS}`)
  const run = await OperationsRun.start(t, SEED)
  const begun = performance.now()
  let told = begun
  await run.operate(begun + SECONDS * 1_000, () => {
    if (performance.now() - told < PROGRESS_MS) return
    told = performance.now()
    const seconds = Math.round((told - begun) / 1_000)
    t.comment(
      `${seconds} s: ${JSON.stringify(run.done)}; ${run.log.calls} calls, ${run.log.failures.length} failed`,
    )
  })
  const ledger = await run.settle(t)
  const { causes, unexplained } = run.log.explain()
  t.comment(
    `operations: ${JSON.stringify(run.done)}; calls: received ${run.log.calls} ≤ ledger ${ledger} ≤ served ${run.served}; ` +
      `failed: ${JSON.stringify(causes)}`,
  )
  t.same(unexplained.slice(0, 10), [], `${unexplained.length} failures without a cause`)
  t.ok(run.log.calls <= ledger, 'what clients have is in the ledger')
  t.ok(ledger <= run.served, 'what the ledger has was served')
  t.ok(run.log.calls > SECONDS * 20, 'there was load')
  if (SECONDS >= ENOUGH_SECONDS)
    t.same(Object.keys(run.done).toSorted(), Object.keys(OPERATIONS).toSorted())
  if (!t.passing()) t.comment(`kept: ${run.keep(unexplained)}`)
})

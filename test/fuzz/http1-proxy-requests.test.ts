/** The corpus, and what damage makes of it, sent through a whole proxy: see `RequestLab` for what must hold. */
import { t as root, test } from 'tap'
import { budgetMs, SEED, Search, timeoutMs } from '../support/fuzz/budget.ts'
import { corpusLine, damagedRequest, REQUESTS } from '../support/fuzz/corpus.ts'
import { MemoryWatch } from '../support/fuzz/memory.ts'
import { inPieces } from '../support/fuzz/mutate.ts'
import { RequestLab } from '../support/fuzz/request-lab.ts'
import { turns } from '../support/raw-client.ts'
import { SeededRandom } from '../support/seeded-random.ts'

root.setTimeout(timeoutMs('proxy-requests'))
/** A search that finds more than this has found one fault very often. */
const MAX_FINDINGS = 5
const WARM = 500
/** How often the deployment answers before it has the whole body. */
const HASTY = 0.3
const TURNS = 1_000
const SMALL_BODY = '4B'

await test('no damaged request gets through as anything but what it is', async t => {
  t.comment(`FUZZ_SEED=${SEED}`)
  const random = SeededRandom.fork(SEED, 3)
  const whim = SeededRandom.fork(SEED, 7)
  const hasty = (): boolean => whim.chance(HASTY)
  // Most bodies of the corpus are longer than a tenant of the second one may send.
  const labs = [
    await RequestLab.start({ hasty }),
    await RequestLab.start({ hasty, bodyLimit: SMALL_BODY }),
  ]
  const memory = new MemoryWatch()
  const search = new Search('proxy, requests', budgetMs('proxy-requests'), line => t.comment(line))
  let pieces: string[] = []
  const onThrow = (error: Error): void => {
    console.error(`thrown at ${corpusLine({ name: error.message, pieces })}`)
  }
  process.on('uncaughtExceptionMonitor', onThrow)
  let findings = 0
  const sum = (of: (lab: RequestLab) => number): number =>
    labs.reduce((all, lab) => all + of(lab), 0)
  const state = (): string =>
    `${REQUESTS.length} in the corpus, ${sum(lab => lab.arrived)} requests arrived, ${sum(lab => lab.refused)} refused`
  while (findings < MAX_FINDINGS && search.next(state)) {
    if (search.cases === WARM) memory.begin()
    pieces = inPieces(random, damagedRequest(random))
    const problems = await (labs[search.cases % labs.length] as RequestLab).run(pieces)
    if (problems.length === 0) continue
    findings++
    t.fail(`${problems.join('; ')}: ${corpusLine({ name: problems[0] ?? '', pieces })}`)
  }
  for (const lab of labs) {
    const { worker } = lab.proxy
    for (let turn = 0; turn < TURNS && worker.openConnections > 0; turn++) await turns(1)
    t.equal(worker.openConnections, 0, 'no connection is left')
    t.equal(lab.proxy.rejected('internal_error'), 0)
    t.ok(lab.arrived > 10 && lab.refused > 10, 'saw both')
  }
  t.ok((labs[1]?.proxy.rejected('body_too_large') ?? 0) > 5, 'met the limit')
  if (search.cases > 2 * WARM) t.equal(memory.growth(), 0, 'no memory is left')
  for (const lab of labs) await lab.close()
  process.off('uncaughtExceptionMonitor', onThrow)
})

/** A deployment that answers with the corpus and what damage makes of it: see `answer-judge.ts` for what must hold. */
import { t as root, test } from 'tap'
import { AnswerLab } from '../support/answer-lab.ts'
import { answerFaults, type Tally } from '../support/fuzz/answer-judge.ts'
import { budgetMs, SEED, Search, timeoutMs } from '../support/fuzz/budget.ts'
import { ANSWERS, type AnswerLine, corpusLine, damagedAnswer } from '../support/fuzz/corpus.ts'
import { MemoryWatch } from '../support/fuzz/memory.ts'
import { inPieces } from '../support/fuzz/mutate.ts'
import { turns } from '../support/raw-client.ts'
import { SeededRandom } from '../support/seeded-random.ts'

root.setTimeout(timeoutMs('proxy-answers'))
/** A search that finds more than this has found one fault very often. */
const MAX_FINDINGS = 5
const WARM = 500
const TURNS = 1_000

await test('no damaged answer reaches a client as anything but what it is', async t => {
  t.comment(`FUZZ_SEED=${SEED}`)
  const random = SeededRandom.fork(SEED, 4)
  const lab = await AnswerLab.start()
  const memory = new MemoryWatch()
  const search = new Search('proxy, answers', budgetMs('proxy-answers'), line => t.comment(line))
  const tally: Tally = { passed: 0, refused: 0, cut: 0 }
  let line: AnswerLine | undefined
  const onThrow = (error: Error): void => {
    if (line) console.error(`thrown at ${corpusLine({ ...line, name: error.message })}`)
  }
  process.on('uncaughtExceptionMonitor', onThrow)
  let findings = 0
  const state = (): string =>
    `${ANSWERS.length} in the corpus, ${tally.passed} passed, ${tally.refused} refused, ${tally.cut} cut`
  while (findings < MAX_FINDINGS && search.next(state)) {
    if (search.cases === WARM) memory.begin()
    const { text, ...around } = damagedAnswer(random)
    line = { name: '', pieces: inPieces(random, text), ...around }
    const given = { ...around, pieces: line.pieces.map(piece => Buffer.from(piece, 'latin1')) }
    const outcome = await lab.run(given)
    const problems = [...outcome.problems, ...(await answerFaults(given, outcome, tally))]
    if (problems.length === 0) continue
    findings++
    t.fail(`${problems.join('; ')}: ${corpusLine({ ...line, name: problems[0] ?? '' })}`)
  }
  const { worker } = lab.proxy
  for (let turn = 0; turn < TURNS && worker.openConnections > 0; turn++) await turns(1)
  t.equal(worker.openConnections, 0, 'no connection is left')
  if (search.cases > 2 * WARM) t.equal(memory.growth(), 0, 'no memory is left')
  t.ok(tally.passed > 10 && tally.refused > 10 && tally.cut > 10, 'saw all of them')
  await lab.close()
  process.off('uncaughtExceptionMonitor', onThrow)
})

/** What the fuzzers have found, each case for itself: nothing of it may come back. */
import { test } from 'tap'
import { AnswerLab } from '../support/answer-lab.ts'
import { answerFaults } from '../support/fuzz/answer-judge.ts'
import { corpusLine, FOUND_ANSWERS, FOUND_REQUESTS } from '../support/fuzz/corpus.ts'
import { RequestLab } from '../support/fuzz/request-lab.ts'

await test('each request of the corpus gets through as what it is, or not at all', async t => {
  const lab = await RequestLab.start()
  t.teardown(() => lab.close())
  for (const { name, pieces } of FOUND_REQUESTS) t.same(await lab.run(pieces), [], name)
})

await test('each answer of the corpus reaches the client as what it is, or not at all', async t => {
  const lab = await AnswerLab.start()
  t.teardown(() => lab.close())
  const tally = { passed: 0, refused: 0, cut: 0 }
  for (const { name, pieces, ...around } of FOUND_ANSWERS) {
    const given = { ...around, pieces: pieces.map(piece => Buffer.from(piece, 'latin1')) }
    const outcome = await lab.run(given)
    t.same([...outcome.problems, ...(await answerFaults(given, outcome, tally))], [], name)
  }
})

await test('a case is printed as a line that reads back as the same bytes', async t => {
  const found = { name: 'all bytes', pieces: [String.fromCharCode(...Array(256).keys())] }
  const line = corpusLine(found)
  t.match(line, /^[ -~]+$/)
  t.same(JSON.parse(line), found)
})

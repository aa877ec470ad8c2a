/**
 * A deployment gives the answers of `support/own/answers.ts`, whole and cut in two: what the client gets, what becomes of both
 * connections, and that the next calls get their own answers.
 */
import { test } from 'tap'
import { type AnswerCase, AnswerLab, type AnswerOutcome } from '../support/answer-lab.ts'
import { OWN_ANSWERS, type OwnAnswer } from '../support/own/answers.ts'
import { codeOf } from '../support/proxy-lab.ts'

function faults({ wanted, kept, method }: OwnAnswer, outcome: AnswerOutcome): string[] {
  const { answers, closed, upstreamOpen, reused, problems } = outcome
  const found = [...problems]
  if (kept && !reused) found.push('the connection of the deployment was not used again')
  if (!kept && (reused || upstreamOpen)) found.push('the connection of the deployment goes on')
  if (typeof answers === 'string') return [...found, `the client got: ${answers}`]
  const [answer, ...more] = answers
  if (more.length > 0) found.push(`${more.length} answers too many`)
  if (wanted === 'cut') {
    if (answer !== undefined) found.push('the client got a whole answer')
    return closed ? found : [...found, 'not cut']
  }
  if (answer === undefined) return [...found, 'no answer']
  const body = answer.body.toString('latin1')
  const seen = 'error' in wanted ? `${answer.status} ${codeOf(body)}` : `${answer.status} ${body}`
  const code = 'error' in wanted && method !== 'HEAD' ? wanted.error : ''
  const right = 'error' in wanted ? `502 ${code}` : `${wanted.status} ${wanted.body}`
  return seen === right ? found : [...found, `${seen} instead of ${right}`]
}

/** In two pieces, cut in the middle and behind its first half of a head. */
function cuts({ pieces: [whole = Buffer.alloc(0)] }: AnswerCase): Buffer[][] {
  return [Math.floor(whole.length / 2), 10, whole.length - 1]
    .filter(at => at > 0 && at < whole.length)
    .map(at => [whole.subarray(0, at), whole.subarray(at)])
}

await test('each answer passes, or is 502, or is cut, and nobody gets that of another', async t => {
  const names = OWN_ANSWERS.map(({ name }) => name)
  t.equal(new Set(names).size, names.length, 'each name once')
  const lab = await AnswerLab.start()
  t.teardown(() => lab.close())
  for (const own of OWN_ANSWERS) {
    t.same(faults(own, await lab.run(own)), [], own.name)
    // What the client has got of an answer that is reset on its way depends on the moment.
    if (own.ending === 'reset') continue
    for (const pieces of cuts(own))
      t.same(faults(own, await lab.run({ ...own, pieces })), [], `${own.name}, in two`)
  }
})

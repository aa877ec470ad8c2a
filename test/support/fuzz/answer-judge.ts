/**
 * What a client may have got where a deployment sent certain bytes: the answer that a strict reader finds there, or 502,
 * or an answer that is cut and shows it. Never a byte that does not belong to its call.
 */
import type { AnswerCase, AnswerOutcome } from '../answer-lab.ts'
import { type StrictAnswer, valuesOf } from '../strict-http1.ts'
import { isTolerated, mayBeRefused, type StrictSequence, strictAnswers } from './agreement.ts'
import { nodeAnswerFault } from './second-opinion.ts'

/** How the outcomes are spread. */
export interface Tally {
  passed: number
  refused: number
  cut: number
}

/** @returns what is wrong, besides what the lab has found. */
export async function answerFaults(
  given: AnswerCase,
  outcome: AnswerOutcome,
  tally: Tally,
): Promise<string[]> {
  const { answers, received } = outcome
  if (typeof answers === 'string') return [`the client got what breaks a rule: ${answers}`]
  const [answer, ...more] = answers
  if (more.length > 0) return ['the client got more than one answer']
  const sent = sentBy(given, outcome)
  const faults = poolFaults(given, outcome, sent)
  if (answer === undefined) {
    tally.cut++
    const whole = (sent.messages.at(-1)?.status ?? 0) >= 200
    if (whole && given.ending !== 'reset' && !mayBeRefused(Buffer.concat(given.pieces)))
      faults.push('a whole answer was cut')
    return faults
  }
  const opinion = await nodeAnswerFault(received, given.method, answer)
  if (opinion !== '') faults.push(opinion)
  if (isOurs(answer, given.method)) tally.refused++
  else {
    tally.passed++
    faults.push(...contentFaults(answer, sent))
  }
  return faults
}

function sentBy(
  { pieces, method, ending }: AnswerCase,
  { waited }: AnswerOutcome,
): StrictSequence<StrictAnswer> {
  return strictAnswers(Buffer.concat(pieces), method, ending === 'end' || waited)
}

/** Whether the proxy gave this answer itself. */
function isOurs({ status, fields, body }: StrictAnswer, method: string): boolean {
  return (
    status === 502 &&
    valuesOf(fields, 'content-type').join() === 'application/problem+json' &&
    (method === 'HEAD' || /about:amt\/upstream_(malformed|reset)/.test(body.toString('latin1')))
  )
}

function contentFaults(answer: StrictAnswer, sent: StrictSequence<StrictAnswer>): string[] {
  const real = sent.messages.at(-1)
  if (real === undefined || real.status < 200)
    return isTolerated(sent.rule) ? [] : [`an answer that was never sent: ${sent.rule}`]
  if (real.status !== answer.status) return ['another status than was sent']
  return real.body.equals(answer.body) ? [] : ['another body than was sent']
}

/** A connection with bytes behind its answer, or whose answer was not whole, is never used again. */
function poolFaults(
  { pieces }: AnswerCase,
  { reused, upstreamOpen }: AnswerOutcome,
  sent: StrictSequence<StrictAnswer>,
): string[] {
  if (!reused && !upstreamOpen) return []
  const last = sent.messages.at(-1)
  const total = Buffer.concat(pieces).length
  if (last === undefined || last.status < 200)
    return isTolerated(sent.rule) ? [] : ['a connection was kept behind what is no answer']
  return last.end === total ? [] : ['a connection was kept with bytes behind its answer']
}

/**
 * The codec under the corpus and what damage makes of it, in both directions: it never throws or hangs, reads the same
 * however the bytes are cut, agrees with a strict reader, and what it accepts leaves it as one message.
 */
import { t as root, type Test, test } from 'tap'
import { INVALID } from '../../src/codec/http1/field-section.ts'
import { BODY_UNTIL_CLOSE } from '../../src/codec/http1/framing.ts'
import { RequestHead } from '../../src/codec/http1/request-head.ts'
import { isTolerated, strictAnswers, strictRequests } from '../support/fuzz/agreement.ts'
import { budgetMs, SEED, Search, timeoutMs } from '../support/fuzz/budget.ts'
import { judgeForwarded, readAnswer, readRequests, table } from '../support/fuzz/codec-reading.ts'
import {
  ANSWERS,
  corpusLine,
  damagedAnswer,
  damagedRequest,
  REQUESTS,
} from '../support/fuzz/corpus.ts'
import { inPieces } from '../support/fuzz/mutate.ts'
import { readAtEverySplit } from '../support/http1/every-split.ts'
import { requestReader } from '../support/http1/heads.ts'
import { SeededRandom } from '../support/seeded-random.ts'

root.setTimeout(timeoutMs('mutation'))
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')
const same = (one: unknown, other: unknown): boolean =>
  JSON.stringify(one) === JSON.stringify(other)

/** Every split of a head costs a hundred times what the rest of a case does. */
const EVERY_SPLIT = 0.02
/** A search that finds more than this has found one fault very often. */
const MAX_FINDINGS = 5

/** What is wrong with how the codec reads `pieces`, or ''. */
function requestFault(pieces: readonly string[], closely: boolean): string {
  const bytes = latin1(pieces.join(''))
  const whole = readRequests([bytes])
  const inParts = readRequests(pieces.map(latin1))
  if (!same({ ...whole, used: 0 }, { ...inParts, used: 0 })) return 'another reading in pieces'
  if (closely) readAtEverySplit(requestReader(new RequestHead(table)), bytes)
  for (const request of whole.messages) if (request.done) judgeForwarded(request)
  const strict = strictRequests(bytes)
  for (const [index, request] of whole.messages.entries()) {
    const other = strict.messages[index]
    if (other === undefined) {
      if (!request.done || isTolerated(strict.rule)) break
      return `a strict reader refuses request ${index + 1}: ${strict.rule}`
    }
    if (other.method !== request.method || other.body.toString('latin1') !== request.body)
      return `a strict reader reads request ${index + 1} differently`
  }
  return ''
}

function answerFault(pieces: readonly string[], method: string): string {
  const bytes = latin1(pieces.join(''))
  const whole = readAnswer([bytes], method)
  const inParts = readAnswer(pieces.map(latin1), method)
  if (!same({ ...whole, used: 0 }, { ...inParts, used: 0 })) return 'another reading in pieces'
  const strict = strictAnswers(bytes, method, true)
  for (const [index, answer] of whole.messages.entries()) {
    const other = strict.messages[index]
    if (!answer.done && answer.kind !== BODY_UNTIL_CLOSE) break
    if (other === undefined) {
      if (isTolerated(strict.rule)) break
      // It may be said that there will be a body that never comes: the connection is not used again then.
      if (answer.close && [204, 304].includes(answer.status)) break
      return `a strict reader refuses answer ${index + 1}: ${strict.rule}`
    }
    if (other.status !== answer.status || other.body.toString('latin1') !== answer.body)
      return `a strict reader reads answer ${index + 1} differently`
  }
  return ''
}

function attempt(fault: () => string): string {
  try {
    return fault()
  } catch (error) {
    return String(error)
  }
}

function searchRequests(t: Test, ms: number): void {
  const random = SeededRandom.fork(SEED, 1)
  const search = new Search('requests', ms, line => t.comment(line))
  let accepted = 0
  let refused = 0
  let findings = 0
  while (
    search.next(() => `${REQUESTS.length} in the corpus, ${accepted} accepted, ${refused} refused`)
  ) {
    const text = REQUESTS[search.cases - 1] ?? damagedRequest(random)
    const pieces = inPieces(random, text)
    const fault = attempt(() => requestFault(pieces, random.chance(EVERY_SPLIT)))
    const found = new RequestHead(table).read(latin1(text), 0, text.length)
    if (found === INVALID) refused++
    else if (found > 0) accepted++
    if (fault === '') continue
    t.fail(`${fault}: ${corpusLine({ name: fault, pieces })}`)
    if (++findings >= MAX_FINDINGS) return
  }
  t.ok(accepted > 0 && refused > 0, 'saw both')
}

function searchAnswers(t: Test, ms: number): void {
  const random = SeededRandom.fork(SEED, 2)
  const search = new Search('answers', ms, line => t.comment(line))
  let findings = 0
  while (search.next(() => `${ANSWERS.length} in the corpus`)) {
    const { text, method, minor, ending } = damagedAnswer(random)
    const pieces = inPieces(random, text)
    const fault = attempt(() => answerFault(pieces, method))
    if (fault === '') continue
    t.fail(`${fault}: ${corpusLine({ name: fault, pieces, method, minor, ending })}`)
    if (++findings >= MAX_FINDINGS) return
  }
}

await test('damaged requests are read in one way or refused', async t => {
  t.comment(`FUZZ_SEED=${SEED}`)
  searchRequests(t, budgetMs('mutation') / 2)
})

await test('damaged answers are read in one way or refused', async t => {
  searchAnswers(t, budgetMs('mutation') / 2)
  t.pass()
})

/**
 * The HTTP/1.1 codec under messages that fast-check makes up: it reads what they say, however they are cut, message after
 * message, in both directions. Then they are damaged: see `http1-mutation.test.ts` for what must hold, and for more damage;
 * what is found here is found small.
 */
import fc from 'fast-check'
import { t as root, test } from 'tap'
import { budgetMs, SEED, timeoutMs } from '../support/fuzz/budget.ts'
import { judgeForwarded, readAnswer, readRequests } from '../support/fuzz/codec-reading.ts'
import {
  answers,
  answerText,
  endsWithConnection,
  foundAnswers,
  foundRequest,
  pipelines,
  requestText,
} from '../support/fuzz/http1-messages.ts'
import { mutate } from '../support/fuzz/mutate.ts'
import { cutsOf, latin1 } from '../support/http1/every-split.ts'
import { SeededRandom } from '../support/seeded-random.ts'

root.setTimeout(timeoutMs('codec'))

/** Runs until the time is over, however many that are. `part` is the share of the budget. */
const parameters = (part: number): fc.Parameters<unknown> => ({
  seed: SEED,
  numRuns: 10_000_000,
  interruptAfterTimeLimit: budgetMs('codec') * part,
  markInterruptAsFailure: false,
})

/** Reads `bytes` whole, cut in two everywhere, and byte by byte; throws unless all agree. */
function atEverySplit<Reading extends { readonly used: number }>(
  bytes: Buffer,
  read: (pieces: readonly Buffer[]) => Reading,
): Reading {
  const whole = read([bytes])
  const ways = cutsOf(bytes.length).map(cut => [bytes.subarray(0, cut), bytes.subarray(cut)])
  const single = Array.from(bytes, byte => Buffer.of(byte))
  // Where a broken message was noticed is of no use to anybody.
  const text = (reading: Reading): string => JSON.stringify({ ...reading, used: 0 })
  for (const way of [single, ...ways]) {
    const reading = read(way)
    if (text(reading) !== text(whole))
      throw new Error(`cut at ${way[0]?.length}: ${text(reading)} and ${text(whole)}`)
  }
  return whole
}

/** Throws unless each of `wanted` was found, and no more. */
function compare(found: readonly object[], wanted: readonly object[]): void {
  if (found.length !== wanted.length) throw new Error(`${found.length} of ${wanted.length} found`)
  for (const [index, want] of wanted.entries()) {
    const got = found[index] as Record<string, unknown>
    for (const [key, value] of Object.entries(want))
      if (got[key] !== value) throw new Error(`${key} of ${index} is ${JSON.stringify(got[key])}`)
  }
}

await test('reads valid requests in a row as they were meant, at every split', async t => {
  t.comment(`FUZZ_SEED=${SEED}`)
  fc.assert(
    fc.property(pipelines, made => {
      const text = made.map(requestText).join('')
      const { messages, error, used } = atEverySplit(latin1(`${text}GET /next`), readRequests)
      if (error !== '' || used !== text.length) throw new Error(`${error} at ${used}`)
      compare(messages, made.map(foundRequest))
      for (const message of messages) judgeForwarded(message)
    }),
    parameters(0.4),
  )
  t.pass()
})

await test('reads valid answers as they were meant, at every split', async t => {
  fc.assert(
    fc.property(answers, made => {
      const text = answerText(made)
      const behind = endsWithConnection(made) ? '' : 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'
      const { messages, error, used } = atEverySplit(latin1(text + behind), pieces =>
        readAnswer(pieces, made.method),
      )
      if (error !== '' || used !== text.length) throw new Error(`${error} at ${used}`)
      compare(messages, foundAnswers(made))
    }),
    parameters(0.3),
  )
  t.pass()
})

await test('reads damaged messages the same at every split, and forwards each as one', async t => {
  let accepted = 0
  let refused = 0
  fc.assert(
    fc.property(pipelines, answers, fc.integer(), (requests, answer, seed) => {
      const random = new SeededRandom(seed)
      const texts = [...requests.map(requestText), answerText(answer)]
      const damaged = mutate(random, texts.slice(0, -1).join(''), texts)
      const { messages, error } = atEverySplit(latin1(damaged), readRequests)
      for (const message of messages) if (message.done) judgeForwarded(message)
      accepted += messages.length
      if (error !== '') refused++
      const back = latin1(mutate(random, answerText(answer), texts))
      atEverySplit(back, pieces => readAnswer(pieces, answer.method))
    }),
    parameters(0.3),
  )
  t.comment(`${accepted} accepted, ${refused} refused`)
  t.ok(accepted > 0 && refused > 0, 'saw both')
})

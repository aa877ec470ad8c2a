/**
 * What mutation begins with: the shared conformance cases where they are, this project's own ones, and what the fuzzers
 * have found (`test/fixtures/corpus`, one JSON line a case; `conformance/corpus.test.ts` runs each of those for itself).
 */
import { readFileSync } from 'node:fs'
import type { AnswerCase } from '../answer-lab.ts'
import { bytesOf, loadHttp1Cases } from '../http1-cases.ts'
import { OWN_ANSWERS } from '../own/answers.ts'
import { OWN_REQUESTS } from '../own/requests.ts'
import type { SeededRandom } from '../seeded-random.ts'
import { readRequests } from './codec-reading.ts'
import { mutate } from './mutate.ts'

const FOLDER = new URL('../../fixtures/corpus/', import.meta.url)
/** Longer ones are about caps; mutating them takes time and finds the same cap again. */
const MAX_BYTES = 3_000

/** What one client sends, in pieces: each one character a byte. */
export interface RequestLine {
  readonly name: string
  readonly pieces: readonly string[]
}

export interface AnswerLine extends RequestLine, Omit<AnswerCase, 'pieces'> {}

function linesOf<Line>(file: string): Line[] {
  return readFileSync(new URL(file, FOLDER), 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Line)
}

export const FOUND_REQUESTS: readonly RequestLine[] = linesOf('requests.jsonl')
export const FOUND_ANSWERS: readonly AnswerLine[] = linesOf('answers.jsonl')

/** A line for the corpus: plain ASCII, so that an editor cannot spoil it. */
export function corpusLine(found: RequestLine | AnswerLine): string {
  return JSON.stringify(found).replaceAll(
    /[\x7f-\xff]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

const small = (text: string): boolean => text.length > 0 && text.length <= MAX_BYTES

/** Requests, or several in a row, whole and broken. */
export const REQUESTS: readonly string[] = [
  ...[...(loadHttp1Cases() ?? []), ...OWN_REQUESTS].map(each => bytesOf(each).toString('latin1')),
  ...FOUND_REQUESTS.map(({ pieces }) => pieces.join('')),
].filter(small)

/** Those of which at least one is whole and right. */
export const GOOD_REQUESTS: readonly string[] = REQUESTS.filter(text =>
  readRequests([Buffer.from(text, 'latin1')]).messages.some(({ done }) => done),
)

export const ANSWERS: readonly AnswerLine[] = [
  ...OWN_ANSWERS.map(({ name, pieces, method, minor, ending }) => ({
    name,
    pieces: pieces.map(piece => piece.toString('latin1')),
    method,
    minor,
    ending,
  })),
  ...FOUND_ANSWERS,
].filter(({ pieces }) => small(pieces.join('')))

/** Of what is damaged, this share was right before: else nearly everything would be refused at its first line. */
const GOOD = 0.7

/** A damaged request, or several. */
export function damagedRequest(random: SeededRandom): string {
  return mutate(random, random.pick(random.chance(GOOD) ? GOOD_REQUESTS : REQUESTS), REQUESTS)
}

const TEXTS = ANSWERS.map(({ pieces }) => pieces.join(''))

/** A damaged answer, to a request and with an ending that may be those of another. */
export function damagedAnswer(random: SeededRandom): Omit<AnswerLine, 'name' | 'pieces'> & {
  readonly text: string
} {
  const from = random.pick(ANSWERS)
  const { method, minor, ending } = random.chance(0.8) ? from : random.pick(ANSWERS)
  return { text: mutate(random, from.pieces.join(''), TEXTS), method, minor, ending }
}

/** Answers of the mixer's HTTP interface as values; `server.ts` alone writes them to a socket. */
import { PROBLEM_MEDIA_TYPE } from '../../contracts/problem.ts'
import { ERRORS, type ErrorCode, problem } from '../../core/errors.ts'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Why, where this is a refusal. */
  readonly refused?: ErrorCode
}

export function json(value: unknown): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(value),
  }
}

export interface RefusalOptions {
  readonly detail?: string
  /** More members of the problem. */
  readonly extra?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
}

export function refusal(code: ErrorCode, { detail, extra, headers }: RefusalOptions = {}): Answer {
  return {
    status: ERRORS[code].http,
    headers: { 'content-type': PROBLEM_MEDIA_TYPE, ...headers },
    body: problem(code, detail, extra),
    refused: code,
  }
}

const MAX_PROBLEMS = 20

/** The refusal of a message that can be read but not taken; the list is cut, because 10,000 records may all be wrong. */
export function malformed(problems: readonly string[]): Answer {
  return refusalFor('malformed_message', problems)
}

/** A refusal with everything that leads to it, the first of them as its detail. */
export function refusalFor(code: ErrorCode, problems: readonly string[]): Answer {
  const more = problems.length - MAX_PROBLEMS
  const shown = more > 0 ? [...problems.slice(0, MAX_PROBLEMS), `${more} more`] : problems
  return refusal(code, {
    detail: shown[0] ?? 'not valid',
    extra: { problems: shown },
  })
}

/** Answers of the admin server that many of its routes give. */
import { ERRORS, type ErrorCode, problem } from '../../core/errors.ts'
import type { AdminAnswer } from './admin-routing.ts'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 1_000

export function json(status: number, value: unknown): AdminAnswer {
  return { status, contentType: 'application/json', body: `${JSON.stringify(value)}\n` }
}

/** Nothing was done; the server counts it. `extra` are further members of the problem. */
export function problemAnswer(
  code: ErrorCode,
  detail?: string,
  extra: { headers?: Readonly<Record<string, string>>; members?: Record<string, unknown> } = {},
): AdminAnswer {
  const { headers = {}, members } = extra
  return {
    status: ERRORS[code].http,
    contentType: 'application/problem+json',
    body: problem(code, detail, members),
    headers,
    refused: code,
  }
}

export interface Page<T> {
  readonly items: readonly T[]
  /** Value of `after` for the next page; null on the last. */
  readonly next: string | null
}

/** `?limit=1…1000&after=ID` over a list that is sorted by id; undefined when the limit is none. */
export function pageOf<T>(
  sorted: readonly T[],
  query: URLSearchParams,
  idOf: (item: T) => string,
): Page<T> | undefined {
  const limit = limitOf(query)
  if (limit === undefined) return undefined
  const after = query.get('after')
  const from = after === null ? 0 : sorted.findIndex(item => idOf(item) > after)
  const items = from < 0 ? [] : sorted.slice(from, from + limit)
  const last = items.at(-1)
  const more = from >= 0 && from + limit < sorted.length
  return { items, next: more && last !== undefined ? idOf(last) : null }
}

/** `?limit=1…1000`; undefined when it is none of these. */
export function limitOf(query: URLSearchParams): number | undefined {
  const text = query.get('limit') ?? String(DEFAULT_LIMIT)
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0
  return limit < 1 || limit > MAX_LIMIT ? undefined : limit
}

export function badPage(): AdminAnswer {
  return problemAnswer('malformed_message', `limit must be a number from 1 to ${MAX_LIMIT}`)
}

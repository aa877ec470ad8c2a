/** `GET /v1/reconcile`: what the ledger has taken from each producer, and what of it there is. */
import {
  MAX_PRODUCERS_PER_PAGE,
  type MixerBooks,
  mixerBooksSchema,
} from '../../contracts/reconcile.ts'
import { MAX_USAGE_WINDOWS, usageSumsOf } from '../../contracts/usage-query.ts'
import { PRODUCER_PATTERN } from '../../contracts/usage-report.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Ledger, LedgerBooks, LedgerBooksQuery } from '../ledger/ledger.ts'
import { json, malformed, refusal } from './answer.ts'
import type { Route } from './route.ts'

export interface ReconcileDeps {
  readonly ledger: Ledger
  readonly logger: Logger
}

export function reconcileRoute({ ledger, logger }: ReconcileDeps): Route {
  return {
    method: 'GET',
    path: '/v1/reconcile',
    access: 'token',
    documentation: {
      summary:
        'The books: per producer the last batch in the ledger and the sums of all that it reported, and the sums of the whole ledger.',
      parameters: [
        {
          name: 'producers',
          description: `Comma list of up to ${MAX_PRODUCERS_PER_PAGE}; all, page by page, where it is left out.`,
        },
        { name: 'after', description: '`next` of the page before.' },
        { name: 'by', description: '`tenant`: the sums of each tenant too.' },
      ],
      answer: mixerBooksSchema,
      refusals: ['malformed_message', 'ledger_unavailable'],
    },
    async handle({ search }) {
      const parsed = parseBooksQuery(search)
      if ('problems' in parsed) return malformed(parsed.problems)
      const books = await ledger.books(parsed.query)
      switch (books.kind) {
        case 'books':
          return json(answerOf(books, parsed.query))
        case 'too-many':
          return malformed([`by: there are more than ${MAX_USAGE_WINDOWS} tenants`])
        case 'unavailable':
          logger.error({ reason: books.detail }, 'the ledger cannot be read')
          return refusal('ledger_unavailable', { headers: { 'retry-after': '1' } })
      }
    },
  }
}

const PARAMETERS: readonly string[] = ['producers', 'after', 'by']

function parseBooksQuery(
  search: URLSearchParams,
): { readonly query: LedgerBooksQuery } | { readonly problems: readonly string[] } {
  const problems = [...new Set(search.keys())].flatMap(name => {
    if (!PARAMETERS.includes(name))
      return [`${JSON.stringify(name.slice(0, 40))}: unknown, allowed are ${PARAMETERS.join(', ')}`]
    return search.getAll(name).length > 1 ? [`${name}: given more than once`] : []
  })
  const by = search.get('by')
  if (by !== null && by !== 'tenant') problems.push('by: must be tenant')
  const producers = search.get('producers')?.split(',', MAX_PRODUCERS_PER_PAGE + 1)
  const after = search.get('after')
  problems.push(...whichProblems(producers, after))
  if (problems.length > 0) return { problems }
  const tenants = by === null ? 0 : MAX_USAGE_WINDOWS
  return {
    query:
      producers === undefined
        ? { tenants, after: after ?? '', limit: MAX_PRODUCERS_PER_PAGE }
        : { tenants, producers },
  }
}

function whichProblems(producers: readonly string[] | undefined, after: string | null): string[] {
  const problems: string[] = []
  if (producers?.some(producer => !PRODUCER_PATTERN.test(producer)) === true)
    problems.push('producers: must be names of producers, with commas between them')
  if (producers !== undefined && producers.length > MAX_PRODUCERS_PER_PAGE)
    problems.push(`producers: at most ${MAX_PRODUCERS_PER_PAGE}`)
  if (after !== null && !PRODUCER_PATTERN.test(after))
    problems.push('after: must be the name of a producer')
  if (after !== null && producers !== undefined)
    problems.push('after: has no meaning with producers')
  return problems
}

function answerOf(
  { producers, more, reported, ledger, tenants }: Extract<LedgerBooks, { kind: 'books' }>,
  query: LedgerBooksQuery,
): MixerBooks {
  return {
    producers: producers.map(({ producer, proxy, durable, appliedAt, sums }) => ({
      producer,
      proxy,
      durable,
      appliedAt: new Date(appliedAt).toISOString(),
      totals: usageSumsOf(sums),
    })),
    next: more ? (producers.at(-1)?.producer ?? null) : null,
    reported: usageSumsOf(reported),
    ledger: usageSumsOf(ledger),
    ...(query.tenants === 0
      ? {}
      : { tenants: tenants.map(({ tenant, sums }) => ({ tenant, totals: usageSumsOf(sums) })) }),
  }
}

/** `GET /v1/usage`: sums out of the ledger. */
import {
  MAX_USAGE_WINDOWS,
  type UsageAnswer,
  type UsageWindow,
  usageAnswerSchema,
  usageSumsOf,
} from '../../contracts/usage-query.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Ledger, LedgerGroup, LedgerUsage } from '../ledger/ledger.ts'
import { addSums } from '../ledger/usage-columns.ts'
import { json, malformed, refusal } from './answer.ts'
import type { Route } from './route.ts'
import { writeCursor } from './usage-cursor.ts'
import { type ParsedUsageQuery, parseUsageQuery } from './usage-query.ts'

export interface UsageDeps {
  readonly ledger: Ledger
  readonly clock: Clock
  readonly logger: Logger
}

export function usageRoute({ ledger, clock, logger }: UsageDeps): Route {
  return {
    method: 'GET',
    path: '/v1/usage',
    access: 'token',
    documentation: {
      summary: 'Sums of usage, of one tenant or of all, in groups.',
      parameters: [
        { name: 'tenant', description: 'One tenant; all tenants where it is left out.' },
        {
          name: 'from',
          description:
            'ISO 8601 or milliseconds since 1970; by default the start of the day of `to`, in UTC.',
        },
        {
          name: 'to',
          description: 'First moment that no longer counts; by default the end of today, in UTC.',
        },
        {
          name: 'by',
          description:
            'Comma list of one of minute, hour, day, and of tenant, listener, routability, operation, code; by default minute, hour or day, whichever suits the length of time.',
        },
        {
          name: 'limit',
          description: `The most windows in an answer, up to ${MAX_USAGE_WINDOWS}. Where there are more, the answer has a \`next\`; without a limit it is refused.`,
        },
        {
          name: 'cursor',
          description:
            '`next` of the page before, which names the query as well. No window is in two pages or in none, also when usage comes in meanwhile.',
        },
      ],
      answer: usageAnswerSchema,
      refusals: ['malformed_message', 'ledger_unavailable'],
    },
    async handle({ search }) {
      const parsed = parseUsageQuery(search, clock.now())
      if ('problems' in parsed) return malformed(parsed.problems)
      const usage = await ledger.usage(parsed.query)
      switch (usage.kind) {
        case 'usage':
          return json(answerOf(parsed, usage.groups, usage.more))
        case 'too-many':
          return malformed([
            `by: more than ${MAX_USAGE_WINDOWS} groups; ask for pages with limit, a shorter time or a coarser grouping`,
          ])
        case 'expired':
          return malformed([expiredProblem(usage)])
        case 'unavailable':
          logger.error({ reason: usage.detail }, 'the ledger cannot be read')
          return refusal('ledger_unavailable', { headers: { 'retry-after': '1' } })
      }
    },
  }
}

const LARGER = { minute: 'whole hours', hour: 'whole days', day: 'a later time' } as const

function expiredProblem({ unit, from }: Extract<LedgerUsage, { kind: 'expired' }>): string {
  return `from: usage by the ${unit} is kept only from ${iso(from)} on; ask for ${LARGER[unit]}, or from then on`
}

function answerOf(
  { by, query }: ParsedUsageQuery,
  groups: readonly LedgerGroup[],
  more: boolean,
): UsageAnswer {
  const { tenant, from, to } = query
  const last = groups.at(-1)
  return {
    tenant: query.tenant ?? null,
    from: iso(query.from),
    to: iso(query.to),
    by: [...by],
    // Every record is in exactly one group, so this is their sum, from the same moment of the ledger.
    totals: usageSumsOf(addSums(groups.map(({ sums }) => sums))),
    windows: groups.map(windowOf),
    next: more && last !== undefined ? writeCursor({ tenant, from, to, by }, last) : null,
  }
}

function windowOf(group: LedgerGroup): UsageWindow {
  return {
    ...(group.window === undefined ? {} : { window: iso(group.window) }),
    ...group.dimensions,
    ...usageSumsOf(group.sums),
  }
}

function iso(time: number): string {
  return new Date(time).toISOString()
}

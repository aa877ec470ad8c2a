/** `GET /v1/usage`: sums out of the ledger. */
import {
  MAX_USAGE_WINDOWS,
  type UsageAnswer,
  type UsageSums,
  type UsageWindow,
  usageAnswerSchema,
  usageSumOf,
} from '../../contracts/usage-query.ts'
import { USAGE_COUNTERS, type UsageCounter } from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Ledger, LedgerGroup } from '../ledger/ledger.ts'
import { json, malformed, refusal } from './answer.ts'
import type { Route } from './route.ts'
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
          return json(answerOf(parsed, usage.groups))
        case 'too-many':
          return malformed([
            `by: more than ${MAX_USAGE_WINDOWS} groups; ask for a shorter time or a coarser grouping`,
          ])
        case 'unavailable':
          logger.error({ reason: usage.detail }, 'the ledger cannot be read')
          return refusal('ledger_unavailable', { headers: { 'retry-after': '1' } })
      }
    },
  }
}

function answerOf({ by, query }: ParsedUsageQuery, groups: readonly LedgerGroup[]): UsageAnswer {
  return {
    tenant: query.tenant ?? null,
    from: iso(query.from),
    to: iso(query.to),
    by: [...by],
    totals: sumsOf(groups),
    windows: groups.map(windowOf),
  }
}

function windowOf(group: LedgerGroup): UsageWindow {
  return {
    ...(group.window === undefined ? {} : { window: iso(group.window) }),
    ...group.dimensions,
    ...sumsOf([group]),
  }
}

/** Every record is in exactly one group, so the sum of groups is the total, from the same moment of the ledger. */
function sumsOf(groups: readonly LedgerGroup[]): UsageSums {
  const total: Record<UsageCounter, bigint> = {
    calls: 0n,
    ingress: 0n,
    egress: 0n,
    connections: 0n,
    connectionMs: 0n,
    callMs: 0n,
  }
  for (const { sums } of groups)
    for (const counter of USAGE_COUNTERS) total[counter] += sums[counter]
  return {
    calls: usageSumOf(total.calls),
    ingress: usageSumOf(total.ingress),
    egress: usageSumOf(total.egress),
    connections: usageSumOf(total.connections),
    connectionMs: usageSumOf(total.connectionMs),
    callMs: usageSumOf(total.callMs),
  }
}

function iso(time: number): string {
  return new Date(time).toISOString()
}

/** `/v1/charges`: a deployment charges for what only it knows of; an operator reads the sums. */
import {
  CHARGE_EVENT_PATTERN,
  CHARGE_GRAINS,
  type Charge,
  type ChargeAnswer,
  type ChargeGrain,
  type ChargeSums,
  chargeAnswerSchema,
  chargeSchema,
  chargeSumsSchema,
  MAX_CHARGE_WINDOWS,
} from '../../contracts/charge.ts'
import type { Clock } from '../../core/clock.ts'
import { TENANT_ID_HINT, TENANT_ID_PATTERN } from '../../core/tenant-id.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { ChargeLedger, ChargeQuery, ChargeSum } from '../charges/charge-ledger.ts'
import type { MixerMetrics } from '../metrics.ts'
import { type Answer, json, malformed, refusal } from './answer.ts'
import { readMessage } from './message.ts'
import type { Route } from './route.ts'
import { rateLimited, TenantRate } from './tenant-rate.ts'
import { parseRange } from './usage-query.ts'

/** Of a charge with the most and longest attributes, each of them escaped. */
const MAX_CHARGE_BYTES = 64 * 1024

export interface ChargeDeps {
  readonly charges: Pick<ChargeLedger, 'charge' | 'sums'>
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: MixerMetrics
}

export function chargeRoutes(deps: ChargeDeps): Route[] {
  return [chargeRoute(deps), chargeSumsRoute(deps)]
}

function chargeRoute(deps: ChargeDeps): Route {
  const rate = new TenantRate(deps.clock)
  return {
    method: 'POST',
    path: '/v1/charges',
    access: 'token-or-source',
    documentation: {
      summary: 'Charges the tenant of the deployment that calls, once for each id.',
      requestBody: chargeSchema,
      answer: chargeAnswerSchema,
      refusals: [
        'malformed_message',
        'id_conflict',
        'rate_limited',
        'payload_too_large',
        'unsupported_media_type',
        'ledger_unavailable',
      ],
    },
    async handle(call) {
      const message = await readMessage(call, MAX_CHARGE_BYTES, chargeSchema)
      if (!message.ok) return message.answer
      // Whatever tenant the body of a deployment names: it is the one that the connection comes from.
      const tenant = 'caller' in call ? call.caller.tenant : message.value.tenant
      if (tenant === undefined)
        return malformed(['tenant: is missing; with the token it says who is charged'])
      const waitMs = rate.take(tenant)
      if (waitMs > 0) return rateLimited(waitMs)
      return charge(deps, tenant, message.value)
    },
  }
}

async function charge(
  { charges, logger, metrics }: ChargeDeps,
  tenant: string,
  given: Charge,
): Promise<Answer> {
  const result = await charges.charge({ tenant, charge: given })
  metrics.charged(result.kind)
  switch (result.kind) {
    case 'charged': {
      const { quantity, at } = result
      const { id, event } = given
      return json({ id, tenant, event, quantity, at: iso(at) } satisfies ChargeAnswer)
    }
    case 'conflict':
      return refusal('id_conflict', { detail: `the charge ${given.id} came before, and differed` })
    case 'overflow':
      return malformed(['quantity: the sum of this minute would pass 2^63 - 1'])
    case 'unavailable':
      logger.error({ reason: result.detail }, 'charges cannot be written')
      return refusal('ledger_unavailable', {
        detail: 'nothing is charged',
        headers: { 'retry-after': '1' },
      })
  }
}

function chargeSumsRoute({ charges, clock, logger }: ChargeDeps): Route {
  return {
    method: 'GET',
    path: '/v1/charges',
    access: 'token',
    documentation: {
      summary: 'Sums of charges by tenant and event, in pages.',
      parameters: [
        { name: 'tenant', description: 'One tenant; all of them where it is left out.' },
        { name: 'event', description: 'One event; all of them where it is left out.' },
        { name: 'from', description: 'As for `/v1/usage`.' },
        { name: 'to', description: 'As for `/v1/usage`.' },
        { name: 'by', description: '`minute`, `hour`, `day`, or `none`, which is the default.' },
        { name: 'limit', description: `Sums in a page: 1 to ${MAX_CHARGE_WINDOWS}, or 1000.` },
        { name: 'after', description: '`next` of the page before.' },
      ],
      answer: chargeSumsSchema,
      refusals: ['malformed_message', 'ledger_unavailable'],
    },
    async handle({ search }) {
      const parsed = parseChargeQuery(search, clock.now())
      if ('problems' in parsed) return malformed(parsed.problems)
      const found = await charges.sums(parsed.query)
      if (found.kind === 'unavailable') {
        logger.error({ reason: found.detail }, 'charges cannot be read')
        return refusal('ledger_unavailable', { headers: { 'retry-after': '1' } })
      }
      return json(sumsAnswer(parsed.query, found.sums, found.more))
    },
  }
}

function sumsAnswer(
  { from, to, by }: ChargeQuery,
  sums: readonly ChargeSum[],
  more: boolean,
): ChargeSums {
  const last = more ? sums.at(-1) : undefined
  return {
    from: iso(from),
    to: iso(to),
    by,
    windows: sums.map(({ window, ...sum }) => ({
      ...(by === 'none' ? {} : { window: iso(window) }),
      ...sum,
    })),
    next: last === undefined ? null : `${last.window}~${last.tenant}~${last.event}`,
  }
}

const PARAMETERS: readonly string[] = ['tenant', 'event', 'from', 'to', 'by', 'limit', 'after']
const DEFAULT_LIMIT = 1_000

/** What is not understood is refused, never ignored. */
function parseChargeQuery(
  search: URLSearchParams,
  now: number,
): { readonly query: ChargeQuery } | { readonly problems: readonly string[] } {
  const problems: string[] = []
  for (const name of new Set(search.keys())) {
    const shown = JSON.stringify(name.slice(0, 40))
    if (!PARAMETERS.includes(name))
      problems.push(`${shown}: unknown, allowed are ${PARAMETERS.join(', ')}`)
    else if (search.getAll(name).length > 1) problems.push(`${name}: given more than once`)
  }
  const one = <T>(name: string, hint: string, parse: (text: string) => T | undefined): T[] => {
    const text = search.get(name)
    const value = text === null ? undefined : parse(text)
    if (text !== null && value === undefined) problems.push(`${name}: must be ${hint}`)
    return value === undefined ? [] : [value]
  }
  const [tenant] = one('tenant', TENANT_ID_HINT, fitting(TENANT_ID_PATTERN))
  const [event] = one('event', 'the name of an event', fitting(CHARGE_EVENT_PATTERN))
  const [by = 'none'] = one('by', CHARGE_GRAINS.join(', '), grainOf)
  const [limit = DEFAULT_LIMIT] = one('limit', `1 to ${MAX_CHARGE_WINDOWS}`, limitOf)
  const [after] = one('after', '`next` of a page before', cursorOf)
  const { from, to } = parseRange(search, now, problems)
  if (problems.length > 0) return { problems }
  return {
    query: {
      from,
      to,
      by,
      limit,
      ...(tenant === undefined ? {} : { tenant }),
      ...(event === undefined ? {} : { event }),
      ...(after === undefined ? {} : { after }),
    },
  }
}

function fitting(pattern: RegExp): (text: string) => string | undefined {
  return text => (pattern.test(text) ? text : undefined)
}

function grainOf(text: string): ChargeGrain | undefined {
  return CHARGE_GRAINS.find(grain => grain === text)
}

function limitOf(text: string): number | undefined {
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0
  return limit >= 1 && limit <= MAX_CHARGE_WINDOWS ? limit : undefined
}

function cursorOf(text: string): ChargeQuery['after'] {
  const [, window = '', tenant = '', event = ''] =
    /^(\d{1,16})~([a-z0-9-]{1,63})~([A-Za-z0-9._-]{1,63})$/.exec(text) ?? []
  return window === '' ? undefined : { window: Number(window), tenant, event }
}

function iso(time: number): string {
  return new Date(time).toISOString()
}

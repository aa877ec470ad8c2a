/** `POST /v1/quota/allocate`: a proxy or a deployment takes a part of a quota. */
import { z } from 'zod'
import {
  type Allocation,
  type AllocationAnswer,
  type AllocationBatchAnswer,
  allocationAnswerSchema,
  allocationBatchAnswerSchema,
  allocationBatchSchema,
  allocationSchema,
  type Quota,
} from '../../contracts/quota.ts'
import type { Clock } from '../../core/clock.ts'
import type { ErrorCode } from '../../core/errors.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { MixerMetrics } from '../metrics.ts'
import type { Allocated, AllocationRequest, QuotaLedger } from '../quota/quota-ledger.ts'
import type { Deployments } from '../registry/registry.ts'
import { type Answer, json, malformed, refusal } from './answer.ts'
import { readMessage } from './message.ts'
import type { Call, Route, SourceCall } from './route.ts'
import { rateLimited, TenantRate } from './tenant-rate.ts'

/** Of a batch with the longest names; and of one allocation. */
const MAX_BATCH_BYTES = 128 * 1024
const MAX_ALLOCATION_BYTES = 4 * 1024

export interface QuotaDeps {
  readonly quotas: Pick<QuotaLedger, 'allocate'>
  readonly registry: Pick<Deployments, 'tenant'>
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: MixerMetrics
}

const bodySchema = z.union([allocationSchema, allocationBatchSchema])

export function quotaRoute(deps: QuotaDeps): Route {
  const rate = new TenantRate(deps.clock)
  return {
    method: 'POST',
    path: '/v1/quota/allocate',
    access: 'token-or-source',
    documentation: {
      summary:
        'Takes a part of a quota, once for each id; a deployment of its tenant’s quotas alone.',
      requestBody: bodySchema,
      answer: z.union([allocationAnswerSchema, allocationBatchAnswerSchema]),
      refusals: [
        'malformed_message',
        'quota_unknown',
        'id_conflict',
        'rate_limited',
        'payload_too_large',
        'unsupported_media_type',
        'ledger_unavailable',
      ],
    },
    handle: async call => ('caller' in call ? ofDeployment(deps, rate, call) : ofProxy(deps, call)),
  }
}

/** Whatever tenant the body names: it is the one that the connection comes from. */
async function ofDeployment(deps: QuotaDeps, rate: TenantRate, call: SourceCall): Promise<Answer> {
  const message = await readMessage(call, MAX_ALLOCATION_BYTES, allocationSchema)
  if (!message.ok) return message.answer
  const { tenant } = call.caller
  const waitMs = rate.take(tenant)
  if (waitMs > 0) return rateLimited(waitMs)
  return answerOf(deps, await allocate(deps, { tenant, by: 'deployment' }, message.value))
}

async function ofProxy(deps: QuotaDeps, call: Call): Promise<Answer> {
  const message = await readMessage(call, MAX_BATCH_BYTES, z.unknown())
  if (!message.ok) return message.answer
  const body = { body: async () => ({ ok: true, value: message.value }) as const }
  const batch = typeof message.value === 'object' && message.value !== null
  return batch && 'allocations' in message.value ? ofBatch(deps, body) : ofOne(deps, body)
}

async function ofOne(deps: QuotaDeps, call: Pick<Call, 'body'>): Promise<Answer> {
  const message = await readMessage(call, MAX_ALLOCATION_BYTES, allocationSchema)
  if (!message.ok) return message.answer
  const { tenant } = message.value
  if (tenant === undefined) return malformed(['tenant: is missing; with the token it says whose'])
  return answerOf(deps, await allocate(deps, { tenant, by: 'deployment' }, message.value))
}

async function ofBatch(deps: QuotaDeps, call: Pick<Call, 'body'>): Promise<Answer> {
  const message = await readMessage(call, MAX_BATCH_BYTES, allocationBatchSchema)
  if (!message.ok) return message.answer
  const { allocations } = message.value
  const missing = allocations.findIndex(({ tenant }) => tenant === undefined)
  if (missing >= 0)
    return malformed([`allocations[${missing}].tenant: is missing; with the token it says whose`])
  const outcomes = await Promise.all(
    allocations.map(allocation =>
      allocate(deps, { tenant: allocation.tenant ?? '', by: 'proxy' }, allocation),
    ),
  )
  // One transaction, one disk: it is away for all, and the caller tries all of them again.
  const unavailable = outcomes.find(({ kind }) => kind === 'unavailable')
  if (unavailable !== undefined) return answerOf(deps, unavailable)
  const answer: AllocationBatchAnswer = {
    allocations: outcomes.map(outcome =>
      outcome.kind === 'allocated'
        ? allocated(deps, outcome)
        : { refused: REFUSALS[outcome.kind as keyof typeof REFUSALS] },
    ),
  }
  return json(answer)
}

type Outcome = Awaited<ReturnType<QuotaLedger['allocate']>> | { readonly kind: 'unknown' }

async function allocate(
  { quotas, registry, metrics }: QuotaDeps,
  { tenant, by }: Pick<AllocationRequest, 'tenant' | 'by'>,
  allocation: Allocation,
): Promise<Outcome> {
  const quota = quotaOf(registry, tenant, allocation.quota)
  const outcome: Outcome =
    quota === undefined
      ? { kind: 'unknown' }
      : await quotas.allocate({ tenant, quota, by, allocation })
  metrics.allocated(resultOf(outcome, allocation.amount))
  return outcome
}

/** As the proxy has registered it: nobody else says what it is. */
function quotaOf(
  registry: Pick<Deployments, 'tenant'>,
  tenant: string,
  name: string,
): Quota | undefined {
  return registry.tenant(tenant)?.quotas.find(quota => quota.name === name)
}

function resultOf(outcome: Outcome, amount: number): string {
  if (outcome.kind !== 'allocated') return outcome.kind
  if (outcome.granted === 0) return 'denied'
  return outcome.granted < amount ? 'partly' : 'granted'
}

const REFUSALS = {
  unknown: 'quota_unknown',
  conflict: 'id_conflict',
} as const satisfies Record<string, ErrorCode>

function answerOf(deps: QuotaDeps, outcome: Outcome): Answer {
  switch (outcome.kind) {
    case 'allocated':
      return json(allocated(deps, outcome))
    case 'unknown':
    case 'conflict':
      return refusal(REFUSALS[outcome.kind])
    case 'unavailable':
      deps.logger.error({ reason: outcome.detail }, 'quotas cannot be allocated')
      return refusal('ledger_unavailable', {
        detail: 'nothing is allocated',
        headers: { 'retry-after': '1' },
      })
  }
}

function allocated(
  { clock }: QuotaDeps,
  { granted, remaining, resetAt }: Extract<Allocated, { kind: 'allocated' }>,
): AllocationAnswer {
  return {
    granted,
    remaining,
    resetAt: new Date(resetAt).toISOString(),
    resetInMs: Math.max(0, Math.ceil(resetAt - clock.now())),
  }
}

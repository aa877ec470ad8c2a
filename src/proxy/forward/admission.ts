/** Whether a tenant's limits let a call in. */
import type { ErrorCode } from '../../core/errors.ts'
import type { RoutedVerdict } from '../tenant/tenant.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { CallAccount } from './call-account.ts'
import type { ConnectionAccount } from './downstream.ts'

export interface Refusal {
  readonly code: ErrorCode
  /** As metrics name it. */
  readonly limit: string
  /** Until the call would fit; 0 where nobody can tell. */
  readonly retryAfterMs: number
  /** When a quota begins anew, in milliseconds since the epoch. */
  readonly resetAt?: number
}

export interface AdmissionRequest {
  /** Bytes of body that are announced, or -1. */
  readonly bodyBytes: number
  readonly call: CallAccount
  readonly connection: ConnectionAccount
}

/**
 * Takes the call's place in all limits of its tenant, in an order that charges nothing for a call that cannot be served.
 * Undefined where it is admitted: `call` is routed then and gives its places back at its end.
 */
export function admit(
  context: WorkerContext,
  { tenant, routability }: RoutedVerdict,
  { bodyBytes, call, connection }: AdmissionRequest,
): Refusal | undefined {
  const runtime = context.runtimes.of(tenant)
  const { limiter, quotas } = runtime
  if (bodyBytes > limiter.maxBodyBytes) return refusal('body_too_large', 'body')
  if (!connection.open(tenant, routability)) return refusal('too_many_connections', 'connections')
  if (!limiter.beginCall()) return refusal('tenant_overloaded', 'concurrency')
  call.route(runtime, routability)
  const retryAfterMs = limiter.takeCall(context.clock.monotonic())
  if (retryAfterMs > 0) return refusal('rate_limited', 'requests', retryAfterMs)
  if (quotas === undefined) return undefined
  // Last: it is the only one that the tenant has paid for.
  const refused = call.takeQuota(quotas)
  return refused && { ...refused, limit: 'quota' }
}

function refusal(code: ErrorCode, limit: string, retryAfterMs = 0): Refusal {
  return { code, limit, retryAfterMs }
}

/** Whether a tenant's limits let a call in. */
import { limitOf, type Refusal } from '../limits/refusal.ts'
import type { RoutedVerdict } from '../tenant/tenant.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { CallAccount } from './call-account.ts'
import type { ConnectionAccount } from './downstream.ts'

const BODY_TOO_LARGE: Refusal = limitOf('body_too_large', 'body')

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
  if (bodyBytes > limiter.maxBodyBytes) return BODY_TOO_LARGE
  const refused = connection.open(tenant, routability) ?? limiter.beginCall()
  if (refused !== undefined) return refused
  call.route(runtime)
  const now = context.clock.monotonic()
  const overMost = limiter.limitsStreams ? call.takeStream(connection) : undefined
  const tooLong = limiter.bandwidth && call.awaitBandwidth(now, context.config.timeouts.response)
  const tooMany = overMost ?? tooLong ?? limiter.takeCall(now)
  if (tooMany !== undefined || quotas === undefined) return tooMany
  // Last: it is the only one that the tenant has paid for.
  return call.takeQuota(quotas)
}

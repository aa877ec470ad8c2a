/** Whose a call is, once its credentials are checked, and whether it may go on. */
import { classify } from '../classify/classify.ts'
import type { Refusal } from '../limits/refusal.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { admit } from './admission.ts'
import type { CallAccount } from './call-account.ts'
import type { CallRequest } from './call-request.ts'
import type { Caller } from './caller.ts'

/** What a client is told to wait for a journal that cannot be written. */
const JOURNAL_RETRY_MS = 1_000

export interface RoutedCall {
  readonly request: CallRequest
  /** Gets the tenant where the call may go on. */
  readonly account: CallAccount
  /** Bytes of body that are announced, or -1. */
  readonly bodyBytes: number
}

export interface CallRefusal extends Omit<Refusal, 'limit'> {
  /** Whether the connection is of no more use. */
  readonly endsConnection: boolean
}

/** The verdict on a call of `caller`, and its place in the limits of its tenant; undefined where it may go on. */
export function routeCall(
  { context, downstream, account: connection }: Caller,
  { request, account, bodyBytes }: RoutedCall,
): CallRefusal | undefined {
  const { evidence } = downstream
  // After the check: the snapshot may have changed while it waited.
  evidence.hostTenant = context.hosts.tenantOf(request.host, context.authenticator.directory)
  const verdict = classify(evidence)
  if (verdict.kind === 'refused')
    // Where the address has another owner, the client has to come again to be whose it is now.
    return { code: verdict.error, retryAfterMs: 0, endsConnection: evidence.stranded }
  if (!isServed(request, verdict.tenant))
    return { code: 'unsupported_method', retryAfterMs: 0, endsConnection: false }
  if (context.journal.refusing)
    return {
      code: 'journal_unavailable',
      retryAfterMs: JOURNAL_RETRY_MS,
      endsConnection: false,
    }
  const refusal = admit(context, verdict, { bodyBytes, call: account, connection })
  if (refusal === undefined) return undefined
  context.stats.limited(verdict.tenant.id, refusal.limit)
  return { ...refusal, endsConnection: ofConnections(refusal) }
}

/** CONNECT is for those who allow it, and what a TRACE that goes no further held is told nobody. */
function isServed({ isConnect, hopsLeft, method }: CallRequest, tenant: Tenant): boolean {
  if (isConnect) return tenant.config.connect
  return hopsLeft !== 0 || method !== 'TRACE'
}

/** The connection is still nobody's: more calls on it would be refused, too, and idle ones would be without a limit. */
function ofConnections({ limit }: Refusal): boolean {
  return limit === 'connections' || limit === 'newConnections'
}

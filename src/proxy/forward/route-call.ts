/** Whose a call is, once its credentials are checked, and whether it may go on. */
import { classify } from '../classify/classify.ts'
import type { Refusal } from '../limits/refusal.ts'
import type { RoutedVerdict, Tenant } from '../tenant/tenant.ts'
import { type AdmissionRequest, admit } from './admission.ts'
import type { CallRequest } from './call-request.ts'
import type { Caller } from './caller.ts'

/** What a client is told to wait for a journal that cannot be written. */
const JOURNAL_RETRY_MS = 1_000

export interface CallRefusal extends Omit<Refusal, 'limit'> {
  readonly kind: 'refused'
  /** Whether the connection is of no more use. */
  readonly endsConnection: boolean
}

/** Whose the call is that `caller` asks for, where it is somebody's who is served now. It has no place in any limit yet. */
export function routeCall(
  { context, downstream }: Caller,
  request: CallRequest,
): RoutedVerdict | CallRefusal {
  const { evidence } = downstream
  // After the check: the snapshot may have changed while it waited.
  evidence.hostTenant = context.hosts.tenantOf(request.host, context.authenticator.directory)
  const verdict = classify(evidence)
  if (verdict.kind === 'refused')
    // Where the address has another owner, the client has to come again to be whose it is now.
    return refused(
      { code: verdict.error, retryAfterMs: 0 },
      evidence.stranded || verdict.error === 'tenant_draining',
    )
  if (!isServed(request, verdict.tenant))
    return refused({ code: 'unsupported_method', retryAfterMs: 0 }, false)
  if (context.journal.refusing)
    return refused({ code: 'journal_unavailable', retryAfterMs: JOURNAL_RETRY_MS }, false)
  return verdict
}

/** Takes the place of the call in the limits of its tenant; undefined where it may go on. */
export function admitCall(
  { context }: Caller,
  verdict: RoutedVerdict,
  request: AdmissionRequest,
): CallRefusal | undefined {
  const refusal = admit(context, verdict, request)
  if (refusal === undefined) return undefined
  context.stats.limited(verdict.tenant.id, refusal.limit)
  return refused(refusal, ofConnections(refusal))
}

function refused(refusal: Omit<Refusal, 'limit'>, endsConnection: boolean): CallRefusal {
  return { ...refusal, kind: 'refused', endsConnection }
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

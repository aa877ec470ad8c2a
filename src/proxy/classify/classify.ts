/**
 * Evidence → verdict: whose traffic this is, or why it is refused. Pure and without allocation, since it runs with every
 * call. `docs/routing.md` has the same rules as tables.
 */
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import type { RoutedVerdict, Tenant } from '../tenant/tenant.ts'

/**
 * What a credential of one kind amounts to:
 * - `undefined`: none was sent;
 * - a `Tenant`: it was verified and is this tenant's;
 * - an `ErrorCode`: it claims to be one of ours and is not valid. Never ignored, whatever else is known;
 * - `'foreign'`: not made for this proxy, such as a token of an unknown issuer. It is no evidence at all.
 */
export type CredentialResult = Tenant | ErrorCode | 'foreign' | undefined

/** All that is known about a connection (`http: false`) or call. Every tenant in it is from the same directory. */
export interface Evidence {
  /** Of the listener. */
  readonly mode: 'shared' | 'private'
  /** Without HTTP there are no credentials, only address, certificate and SNI name. */
  readonly http: boolean
  /** Owner of the address at which the connection arrived; a mismatch where another had it when the connection came. */
  readonly addressTenant?: Tenant | 'tenant_mismatch' | undefined
  /** The same of the private link of a cloud through which it came. */
  readonly linkTenant?: Tenant | 'tenant_mismatch' | undefined
  /** Owner of the verified client certificate; an `ErrorCode` where it names two owners, or an id that it does not prove. */
  readonly certificateTenant?: Tenant | ErrorCode | undefined
  readonly jwt: CredentialResult
  readonly apiKey: CredentialResult
  /** Owner of `Host` or `:authority`, without HTTP of the SNI name. */
  readonly hostTenant?: Tenant | undefined
  /** Owner of the SNI name of TLS that was ended. With HTTP it routes nothing, and nothing may contradict it. */
  readonly serverTenant?: Tenant | undefined
  /** Whether TLS was ended, here or before. */
  readonly secure?: boolean
}

/** Frozen; there is one object an error. */
export interface RefusedVerdict {
  readonly kind: 'refused'
  readonly error: ErrorCode
}

export type Verdict = RoutedVerdict | RefusedVerdict

/** Never throws. The verdict objects are shared: compare and keep them freely. */
export function classify(evidence: Evidence): Verdict {
  const { mode, http, addressTenant, linkTenant, certificateTenant, hostTenant } = evidence
  const jwt = http ? evidence.jwt : undefined
  const apiKey = http ? evidence.apiKey : undefined
  if (typeof jwt === 'string' && jwt !== 'foreign') return refused(jwt)
  if (typeof apiKey === 'string' && apiKey !== 'foreign') return refused(apiKey)
  if (typeof certificateTenant === 'string') return refused(certificateTenant)

  const jwtTenant = typeof jwt === 'object' ? jwt : undefined
  const keyTenant = typeof apiKey === 'object' ? apiKey : undefined
  const credentialTenant = jwtTenant ?? keyTenant
  const arrivalTenant = addressTenant ?? linkTenant
  const tenant = arrivalTenant ?? certificateTenant ?? credentialTenant ?? hostTenant
  // No piece of evidence outweighs another: as soon as two disagree, somebody is where they should not be.
  if (
    tenant === 'tenant_mismatch' ||
    differs(linkTenant, tenant) ||
    differs(certificateTenant, tenant) ||
    differs(jwtTenant, tenant) ||
    differs(keyTenant, tenant) ||
    differs(hostTenant, tenant)
  ) {
    return refused('tenant_mismatch')
  }

  const routability =
    mode === 'private'
      ? arrivalTenant && 'private'
      : sharedRoutability(evidence, credentialTenant !== undefined)
  if (tenant === undefined || routability === undefined) {
    return refused(
      mode === 'shared' && (jwt ?? apiKey) !== undefined ? 'credential_invalid' : 'unroutable',
    )
  }
  if (differs(evidence.serverTenant, tenant) || isOpened(evidence, tenant))
    return refused('misdirected_request')
  if (tenant.disabled) return refused('tenant_disabled')
  return tenant.draining ? refused('tenant_draining') : tenant.routedBy(routability)
}

/** By the strongest kind of evidence that there is; all of it names one tenant by now. */
function sharedRoutability(
  { linkTenant, certificateTenant, hostTenant }: Evidence,
  credential: boolean,
): RoutedVerdict['routability'] | undefined {
  if (linkTenant !== undefined) return 'private'
  if (certificateTenant !== undefined) return 'l4'
  if (credential) return 'l7'
  return hostTenant && 'private'
}

/** Whether it is traffic of a tenant with TLS of its own, and yet we can read it: it was meant for somebody else. */
function isOpened({ http, secure }: Evidence, { passthrough }: Tenant): boolean {
  return passthrough && (http || secure === true)
}

function differs(a: Tenant | 'tenant_mismatch' | undefined, b: Tenant | undefined): boolean {
  return a !== undefined && a !== b
}

const REFUSED = Object.fromEntries(
  Object.keys(ERRORS).map(error => [error, Object.freeze({ kind: 'refused', error })]),
) as Readonly<Record<ErrorCode, RefusedVerdict>>

function refused(error: ErrorCode): RefusedVerdict {
  return REFUSED[error]
}

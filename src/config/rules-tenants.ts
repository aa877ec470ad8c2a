/** Rules for tenants: what belongs to one must not be claimed by another, and what they refer to must be there. */

import { canonicalAddress, hostFault } from './addresses.ts'
import type { Draft, Located, Verdicts } from './draft.ts'
import { mention, type Place, placeIn } from './problem.ts'
import { checkApiKeys } from './rules-api-keys.ts'
import { spiffeFault, trustDomainNames } from './rules-spiffe.ts'
import type { CredentialConfig, JwtIssuerConfig, TenantConfig } from './schema.ts'

/** Which tenant claimed something, and where. */
interface Claim {
  readonly tenant: Located<TenantConfig>
  readonly place: Place
}

export function checkTenants(draft: Draft, verdicts: Verdicts): void {
  const ids = new Map<string, Located<TenantConfig>>()
  const distinct: Located<TenantConfig>[] = []
  for (const tenant of draft.tenants) {
    const first = ids.get(tenant.value.id)
    if (first) {
      const place = placeIn(tenant.place, 'id')
      verdicts.problem(
        place,
        `the tenant ${tenant.value.id} is also at ${mention(placeIn(first.place, 'id'))}`,
      )
    } else {
      ids.set(tenant.value.id, tenant)
      distinct.push(tenant)
    }
  }
  checkClaims(distinct, verdicts)
  const { authentication } = draft
  const trustDomains = trustDomainNames(authentication?.spiffe)
  for (const tenant of distinct) {
    if (authentication) checkReferences(tenant, { authentication, trustDomains, ids }, verdicts)
    checkApiKeys(tenant, verdicts)
    checkDeployment(tenant, verdicts)
  }
}

function checkClaims(tenants: readonly Located<TenantConfig>[], verdicts: Verdicts): void {
  const claims = new Map<string, Claim>()
  for (const tenant of tenants) {
    for (const { key, what, path } of claimsOf(tenant.value)) {
      const place = placeIn(tenant.place, ...path)
      const first = claims.get(key)
      if (first === undefined) claims.set(key, { tenant, place })
      else if (first.tenant !== tenant) {
        const message = `${what} is claimed by the tenants ${first.tenant.value.id} and ${tenant.value.id}`
        verdicts.problem(place, `${message}; it stands also at ${mention(first.place)}`)
      }
    }
    const { address } = tenant.value
    if (address !== undefined && ['0.0.0.0', '::'].includes(canonicalAddress(address))) {
      verdicts.problem(
        placeIn(tenant.place, 'address'),
        `${address} is no address of one tenant but of all`,
      )
    }
  }
}

interface ClaimKey {
  /** Equal for two claims of the same thing. */
  readonly key: string
  readonly what: string
  readonly path: readonly (string | number)[]
}

function* claimsOf(tenant: TenantConfig): Generator<ClaimKey> {
  if (tenant.address !== undefined) {
    const key = `address ${canonicalAddress(tenant.address)}`
    yield { key, what: `the address ${tenant.address}`, path: ['address'] }
  }
  for (const [index, host] of tenant.hosts.entries()) {
    yield { key: `host ${host}`, what: `the host ${host}`, path: ['hosts', index] }
  }
  for (const [index, credential] of tenant.credentials.entries()) {
    yield { ...describeCredential(credential), path: ['credentials', index] }
  }
}

function describeCredential(credential: CredentialConfig): { key: string; what: string } {
  if ('spiffe' in credential) return same(`the SPIFFE id ${credential.spiffe}`)
  if ('certificate' in credential) return same(`the certificate ${credential.certificate}`)
  if ('apiKey' in credential) return same(`the API key ${credential.apiKey}`)
  const { issuer, claims } = credential.jwt
  const sorted = Object.entries(claims).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const text = JSON.stringify(Object.fromEntries(sorted))
  return {
    key: `jwt ${JSON.stringify([issuer, sorted])}`,
    what: `the JWT binding ${issuer} ${text}`,
  }
}

function same(what: string): { key: string; what: string } {
  return { key: what, what }
}

interface Known {
  readonly authentication: NonNullable<Draft['authentication']>
  readonly trustDomains: ReadonlySet<string>
  readonly ids: ReadonlyMap<string, Located<TenantConfig>>
}

function checkReferences(tenant: Located<TenantConfig>, known: Known, verdicts: Verdicts): void {
  for (const [index, credential] of tenant.value.credentials.entries()) {
    const place = placeIn(tenant.place, 'credentials', index)
    if ('spiffe' in credential) {
      const fault = spiffeFault(credential.spiffe, known.trustDomains)
      if (fault !== undefined) verdicts.problem(placeIn(place, 'spiffe'), fault)
    } else if ('jwt' in credential) {
      checkBinding(
        { tenant, binding: credential.jwt, place: placeIn(place, 'jwt') },
        known,
        verdicts,
      )
    }
  }
}

interface Binding {
  readonly tenant: Located<TenantConfig>
  readonly binding: { issuer: string; claims: Record<string, string> }
  readonly place: Place
}

function checkBinding({ tenant, binding, place }: Binding, known: Known, verdicts: Verdicts): void {
  const issuers: readonly JwtIssuerConfig[] = known.authentication.jwt
  const issuer = issuers.find(each => each.issuer === binding.issuer)
  if (!issuer) {
    const allowed = issuers.map(each => each.issuer).slice(0, 8)
    const names = allowed.length === 0 ? 'none is configured' : `allowed: ${allowed.join(', ')}`
    const message = `the issuer ${binding.issuer} is not under authentication.jwt; ${names}`
    verdicts.problem(placeIn(place, 'issuer'), message)
    return
  }
  // A token that names a tenant by its id is that tenant's; binding it to another would take it away silently.
  const claims = Object.keys(binding.claims)
  const named = known.ids.get(binding.claims[issuer.tenantClaim] ?? '')
  if (claims.length === 1 && named && named !== tenant) {
    const whose = `the tenants ${named.value.id} (by its id) and ${tenant.value.id}`
    const message = `tokens with ${issuer.tenantClaim}: ${named.value.id} are claimed by ${whose}`
    verdicts.problem(
      placeIn(place, 'claims', issuer.tenantClaim),
      `${message}; see ${mention(named.place)}`,
    )
  }
}

function checkDeployment({ value, place }: Located<TenantConfig>, verdicts: Verdicts): void {
  const { endpoints, tls, ejection } = value.deployment
  for (const [index, endpoint] of endpoints.entries()) {
    const at = placeIn(place, 'deployment', 'endpoints', index)
    const [scheme = '', address = ''] = endpoint.split('://')
    const port = Number(address.slice(address.lastIndexOf(':') + 1))
    const fault = hostFault(address)
    if (scheme === 'h2' || scheme === 'h2c') {
      const message =
        'HTTP/2 to deployments is not served by this version; allowed: http, https, tcp, tls'
      verdicts.problem(at, message)
    }
    if (fault !== undefined) verdicts.problem(at, fault)
    else if (port < 1 || port > 65_535) verdicts.problem(at, `port ${port} must be from 1 to 65535`)
  }
  if (ejection !== undefined && ejection.max < ejection.base) {
    const message = 'the longest ejection must not be shorter than base, the first one'
    verdicts.problem(placeIn(place, 'deployment', 'ejection', 'max'), message)
  }
  if (!tls) return
  const at = placeIn(place, 'deployment', 'tls')
  if (tls.cert !== undefined && tls.key === undefined)
    verdicts.problem(placeIn(at, 'cert'), 'cert needs key')
  if (tls.key !== undefined && tls.cert === undefined)
    verdicts.problem(placeIn(at, 'key'), 'key needs cert')
  if (!endpoints.some(endpoint => /^(https|h2|tls):/.test(endpoint))) {
    verdicts.warning(
      at,
      'no endpoint is https or tls, so this is not used and traffic is not encrypted',
    )
  }
}

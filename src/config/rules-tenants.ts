/** Rules for tenants: what belongs to one must not be claimed by another, and what they refer to must be there. */

import { isSpiffeId } from '../codec/spiffe-id.ts'
import { claimPathKey, claimPathOf } from '../core/claim-path.ts'
import { canonicalAddress, hostFault } from './addresses.ts'
import type { Draft, Located, Verdicts } from './draft.ts'
import { keyOfPrivateLink } from './private-link-schema.ts'
import { type Path, type Place, placeIn } from './problem.ts'
import { checkApiKeys } from './rules-api-keys.ts'
import { checkTenantFiles, type FileFaults } from './rules-files.ts'
import { checkIdentity } from './rules-identity.ts'
import { checkTenantIssuers, type ServiceIssuers, serviceIssuers } from './rules-issuers.ts'
import { PrivatePorts } from './rules-listeners.ts'
import { checkPassthrough } from './rules-passthrough.ts'
import { TenantQuotaRules } from './rules-quotas.ts'
import { spiffeFault, trustDomainNames } from './rules-spiffe.ts'
import type { CredentialConfig, DeploymentConfig, JwtIssuerConfig, TenantConfig } from './schema.ts'

/**
 * The rules for a tenant by itself, against a service. They are the same for all of its tenants, so what they need of the
 * service is looked up once. That two tenants claim the same is found by `ClaimsIndex`.
 */
export class TenantRules {
  readonly #draft: Draft
  readonly #issuers: ReadonlyMap<string, JwtIssuerConfig>
  readonly #serviceIssuers: ServiceIssuers
  readonly #trustDomains: ReadonlySet<string>
  readonly #quotas: TenantQuotaRules
  readonly #ports: PrivatePorts
  readonly #takesHeaders: boolean

  constructor(draft: Draft) {
    this.#draft = draft
    const issuers = draft.authentication?.jwt ?? []
    // The first one counts; that there is another of its name has its problem already.
    this.#issuers = new Map(issuers.toReversed().map(issuer => [issuer.issuer, issuer]))
    this.#serviceIssuers = serviceIssuers(draft)
    this.#trustDomains = trustDomainNames(draft.authentication?.spiffe)
    this.#quotas = new TenantQuotaRules(draft)
    this.#ports = new PrivatePorts(draft)
    this.#takesHeaders = draft.listeners.some(({ value }) => value.proxyProtocol === 'required')
  }

  /** `files`: what is known of files, for as long as they are taken to stay the same. */
  check(tenant: Located<TenantConfig>, files: FileFaults, verdicts: Verdicts): void {
    checkAddress(tenant, verdicts)
    if (!this.#takesHeaders) warnOfPrivateLinks(tenant, verdicts)
    this.#checkReferences(tenant, verdicts)
    checkTenantIssuers(tenant, this.#serviceIssuers, verdicts)
    checkApiKeys(tenant, verdicts)
    checkDeployment(tenant, verdicts)
    checkIdentity(tenant, verdicts)
    checkPassthrough(tenant, verdicts)
    checkTenantFiles(tenant, files, verdicts)
    this.#quotas.check(tenant, verdicts)
    this.#ports.check(tenant, verdicts)
  }

  /** Tokens that `tenant` binds to itself and that would be another's, if there were one with the id that they name. */
  references(tenant: TenantConfig): Reference[] {
    const references: Reference[] = []
    for (const [index, credential] of tenant.credentials.entries()) {
      const named = 'jwt' in credential ? this.#namedTenant(credential.jwt) : undefined
      if (named === undefined) continue
      const { id, claim } = named
      const path = ['credentials', index, 'jwt', 'claims', claim]
      references.push({ id, what: `tokens with ${claim}: ${id}`, path })
    }
    return references
  }

  /** A token that names a tenant by its id is that tenant's; binding it to another would take it away silently. */
  #namedTenant({ issuer: name, claims }: JwtBinding): { id: string; claim: string } | undefined {
    const issuer = this.#issuers.get(name)
    const [claim, ...more] = Object.keys(claims)
    if (issuer === undefined || claim === undefined || more.length > 0) return undefined
    const isTenantClaim =
      claimPathKey(claimPathOf(claim)) === claimPathKey(claimPathOf(issuer.tenantClaim))
    const id = claims[claim]
    return isTenantClaim && id !== undefined ? { id, claim } : undefined
  }

  #checkReferences(tenant: Located<TenantConfig>, verdicts: Verdicts): void {
    if (this.#draft.authentication === undefined) return
    for (const [index, credential] of tenant.value.credentials.entries()) {
      if ('spiffe' in credential) {
        const fault = spiffeFault(credential.spiffe, this.#trustDomains)
        if (fault !== undefined)
          verdicts.problem(placeIn(tenant.place, 'credentials', index, 'spiffe'), fault)
      } else if ('jwt' in credential && !this.#issuers.has(credential.jwt.issuer)) {
        const place = placeIn(tenant.place, 'credentials', index, 'jwt', 'issuer')
        verdicts.problem(place, this.#unknownIssuer(credential.jwt.issuer))
      }
    }
  }

  #unknownIssuer(issuer: string): string {
    const allowed = [...this.#issuers.keys()].toReversed().slice(0, 8)
    const names = allowed.length === 0 ? 'none is configured' : `allowed: ${allowed.join(', ')}`
    return `the issuer ${issuer} is not under authentication.jwt; ${names}`
  }
}

/** Something by which a tenant would take what another has by its id. */
export interface Reference {
  /** Of the other tenant. */
  readonly id: string
  readonly what: string
  readonly path: Path
}

type JwtBinding = Extract<CredentialConfig, { jwt: unknown }>['jwt']

function checkAddress({ value, place }: Located<TenantConfig>, verdicts: Verdicts): void {
  const { address } = value
  if (address === undefined) return
  const canonical = canonicalAddress(address)
  if (['0.0.0.0', '::'].includes(canonical))
    verdicts.problem(placeIn(place, 'address'), `${address} is no address of one tenant but of all`)
  // fe80::/10, of which each interface has its own: whoever is on another one would be this tenant, too.
  if (/^fe[89ab][0-9a-f]:/.test(canonical))
    verdicts.problem(
      placeIn(place, 'address'),
      `${address} is link-local: each interface of a machine can have it, so it tells no tenant from another`,
    )
}

/** They are only told in PROXY headers. */
function warnOfPrivateLinks({ value, place }: Located<TenantConfig>, verdicts: Verdicts): void {
  const index = value.credentials.findIndex(credential => 'privateLink' in credential)
  if (index < 0) return
  const message =
    'no listener has proxyProtocol: required, so it is never known who comes through it'
  verdicts.warning(placeIn(place, 'credentials', index, 'privateLink'), message)
}

/** Something that belongs to one tenant alone. */
export interface ClaimKey {
  /** Equal for two claims of the same thing. */
  readonly key: string
  readonly what: string
  readonly path: Path
}

/** All that `tenant` claims for itself alone; the one place where what is new is added. Its id goes without saying. */
export function claimsOf(tenant: TenantConfig): ClaimKey[] {
  const claims: ClaimKey[] = []
  if (tenant.address !== undefined) {
    const key = `address ${canonicalAddress(tenant.address)}`
    claims.push({ key, what: `the address ${tenant.address}`, path: ['address'] })
  }
  tenant.hosts.forEach((host, index) => {
    claims.push({ key: `host ${host}`, what: `the host ${host}`, path: ['hosts', index] })
  })
  tenant.jwt.forEach(({ issuer }, index) => {
    claims.push(same(`the issuer ${issuer}`, ['jwt', index, 'issuer']))
  })
  tenant.credentials.forEach((credential, index) => {
    claims.push(claimOf(credential, ['credentials', index]))
  })
  const workload = tenant.deployment.identity?.spiffe
  if (workload !== undefined && isSpiffeId(workload))
    claims.push(same(`the workload ${workload}`, ['deployment', 'identity', 'spiffe']))
  return claims
}

function claimOf(credential: CredentialConfig, path: Path): ClaimKey {
  if ('spiffe' in credential) return same(`the SPIFFE id ${credential.spiffe}`, path)
  if ('certificate' in credential) return same(`the certificate ${credential.certificate}`, path)
  if ('apiKey' in credential) return same(`the API key ${credential.apiKey}`, path)
  if ('privateLink' in credential)
    return same(`the private link ${keyOfPrivateLink(credential.privateLink)}`, path)
  const { issuer, claims } = credential.jwt
  const sorted = Object.entries(claims).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const text = JSON.stringify(Object.fromEntries(sorted))
  // However the paths are written: `realm.org` is the same claim as `["realm","org"]`.
  const paths = sorted.map(([name, value]) => [claimPathKey(claimPathOf(name)), value])
  paths.sort(([a = ''], [b = '']) => (a < b ? -1 : 1))
  return {
    key: `jwt ${JSON.stringify([issuer, paths])}`,
    what: `the JWT binding ${issuer} ${text}`,
    path,
  }
}

function same(what: string, path: Path): ClaimKey {
  return { key: what, what, path }
}

function checkDeployment({ value, place }: Located<TenantConfig>, verdicts: Verdicts): void {
  const { endpoints, tls, ejection } = value.deployment
  checkHealth(value.deployment, placeIn(place, 'deployment'), verdicts)
  for (const [index, endpoint] of endpoints.entries()) {
    const at = placeIn(place, 'deployment', 'endpoints', index)
    const [, address = ''] = endpoint.split('://')
    const port = Number(address.slice(address.lastIndexOf(':') + 1))
    const fault = hostFault(address)
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
      'no endpoint is https, h2 or tls, so this is not used and traffic is not encrypted',
    )
  }
}

function checkHealth({ health, endpoints }: DeploymentConfig, at: Place, verdicts: Verdicts): void {
  if (health?.grpc === undefined) return
  const place = placeIn(at, 'health', 'grpc')
  if (health.path !== undefined)
    verdicts.problem(place, 'there is a path as well: endpoints are asked by gRPC or for a path')
  const other = endpoints.find(endpoint => !/^h2c?:/.test(endpoint))
  if (other !== undefined)
    verdicts.problem(place, `gRPC is spoken to h2 and h2c endpoints alone, and ${other} is none`)
}

import { claimedTrustDomain } from '../../codec/spiffe-id.ts'
import type { JwtIssuerConfig, SpiffeConfig } from '../../config/schema.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import { jwtRulesOfService, jwtRulesOfTenant } from './jwt-issuer.ts'
import { type JwtTrustDomain, svidRulesOf, svidTrustDomains } from './svid-issuer.ts'
import type { IssuerRules } from './token-issuer.ts'
import type { UnverifiedJwt } from './unverified-jwt.ts'

/**
 * Who a token says it is from, and what the configuration says of them: those of the service, then those of tenants, both
 * by `iss`; where that is neither's, the trust domain of the SPIFFE id that the token is about.
 */
export class IssuerIndex {
  readonly #service: ReadonlyMap<string, JwtIssuerConfig>
  /** By name. */
  readonly #trustDomains: ReadonlyMap<string, JwtTrustDomain>

  /** Throws for an issuer that is there twice. */
  constructor(service: readonly JwtIssuerConfig[], spiffe?: SpiffeConfig) {
    const byName = new Map<string, JwtIssuerConfig>()
    for (const config of service) {
      if (byName.has(config.issuer)) throw new Error(`issuer ${config.issuer} is configured twice`)
      byName.set(config.issuer, config)
    }
    this.#service = byName
    this.#trustDomains = svidTrustDomains(spiffe)
  }

  find(unverified: UnverifiedJwt, directory: TenantDirectory): IssuerRules | undefined {
    const { issuer, subject } = unverified
    const known =
      issuer !== undefined &&
      (this.#service.has(issuer) || directory.byIssuer(issuer) !== undefined)
    if (known) return this.#byIssuer(issuer, directory)
    const domain =
      this.#trustDomains.size === 0 || subject === undefined
        ? undefined
        : this.#trustDomains.get(claimedTrustDomain(subject))
    return domain && svidRulesOf(domain)
  }

  #byIssuer(issuer: string, directory: TenantDirectory): IssuerRules | undefined {
    const service = this.#service.get(issuer)
    const tenant = directory.byIssuer(issuer)
    if (tenant === undefined) return service && jwtRulesOfService(service)
    // The loader refuses what both claim; if it came here all the same, nobody's word would count.
    if (service !== undefined) return undefined
    return jwtRulesOfTenant(tenant, issuer)
  }
}

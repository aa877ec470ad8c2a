import type { JwtIssuerConfig } from '../../config/schema.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import { jwtRulesOfService, jwtRulesOfTenant } from './jwt-issuer.ts'
import type { IssuerRules } from './token-issuer.ts'
import type { UnverifiedJwt } from './unverified-jwt.ts'

/** Who a token says it is from, and what the configuration says of them: those of the service, then those of tenants. */
export class IssuerIndex {
  readonly #service: ReadonlyMap<string, JwtIssuerConfig>

  /** Throws for an issuer that is there twice. */
  constructor(service: readonly JwtIssuerConfig[]) {
    const byName = new Map<string, JwtIssuerConfig>()
    for (const config of service) {
      if (byName.has(config.issuer)) throw new Error(`issuer ${config.issuer} is configured twice`)
      byName.set(config.issuer, config)
    }
    this.#service = byName
  }

  find({ issuer }: UnverifiedJwt, directory: TenantDirectory): IssuerRules | undefined {
    if (issuer === undefined) return undefined
    const service = this.#service.get(issuer)
    const tenant = directory.byIssuer(issuer)
    if (tenant === undefined) return service && jwtRulesOfService(service)
    // The loader refuses what both claim; if it came here all the same, nobody's word would count.
    if (service !== undefined) return undefined
    const own = tenant.config.jwt.find(each => each.issuer === issuer)
    return own && jwtRulesOfTenant(own, tenant.id)
  }
}

/** JWT-SVIDs (SPIFFE): tokens about a SPIFFE id, signed with a key of its trust domain. Who issued them is not looked at. */
import { trustDomainOf } from '../../codec/spiffe-id.ts'
import type { SpiffeConfig } from '../../config/schema.ts'
import { JwtIssuer, type Mapping, type TokenChecks } from './jwt-issuer.ts'
import { JWT_SVID_USE } from './key-set.ts'
import type { IssuerRules } from './token-issuer.ts'
import type { UnverifiedJwt } from './unverified-jwt.ts'

type TrustDomain = SpiffeConfig['trustDomains'][number]

/** A trust domain whose tokens are taken. */
export interface JwtTrustDomain extends TrustDomain {
  readonly jwks: string
  readonly audiences: string[]
}

/** JWT-SVID section 2.1: RFC 7518 sections 3.3 to 3.5, and nothing else. */
const ALGORITHMS: TokenChecks['algorithms'] = [
  'RS256',
  'RS384',
  'RS512',
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
]
/** Section 2: a header that is not described there must not be in the token. */
const HEADERS: readonly string[] = ['alg', 'kid', 'typ']
/** Section 2.3. */
const TYPES = ['JWT', 'JOSE']

/** By name, those with keys for tokens. */
export function svidTrustDomains(
  spiffe: SpiffeConfig | undefined,
): ReadonlyMap<string, JwtTrustDomain> {
  const domains = spiffe?.trustDomains ?? []
  return new Map(
    domains.flatMap(domain => {
      const { name, jwks, audiences } = domain
      return jwks === undefined || audiences === undefined
        ? []
        : [[name, { ...domain, jwks, audiences }] as const]
    }),
  )
}

/** A trust domain as an issuer: its tokens are whose the SPIFFE id is, as with its certificates. */
export function svidRulesOf(domain: JwtTrustDomain): IssuerRules {
  const key = `spiffe ${domain.name}`
  return {
    key,
    from: domain,
    config: domain,
    create(deps) {
      const checks: TokenChecks = {
        issuer: undefined,
        jwks: domain.jwks,
        keyUse: JWT_SVID_USE,
        algorithms: ALGORITHMS,
        audiences: domain.audiences,
        types: TYPES,
        requireType: false,
        clockSkew: domain.clockSkew,
        maxStale: domain.maxStale,
        fits: unverified => isSvidOf(domain.name, unverified),
      }
      const mapped = {
        rules: this,
        owner: key,
        mapping: ((claims, directory) => {
          const id = claims['sub']
          return typeof id === 'string' ? directory.bySpiffeId(id) : undefined
        }) satisfies Mapping,
      }
      return new JwtIssuer(checks, mapped, deps)
    },
  }
}

function isSvidOf(name: string, { header, subject }: UnverifiedJwt): boolean {
  if (subject === undefined || trustDomainOf(subject) !== name) return false
  const { typ } = header
  return (
    Object.keys(header).every(each => HEADERS.includes(each)) &&
    // Values as they are written there; types of other tokens are compared without case.
    (typ === undefined || (typeof typ === 'string' && TYPES.includes(typ)))
  )
}

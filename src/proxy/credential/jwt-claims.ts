/** What must hold for header and claims of a JWT, whatever its signature (RFC 7519, RFC 8725, RFC 9068). Pure. */
import type { JwtIssuerConfig } from '../../config/schema.ts'
import type { TokenFault } from './token-issuer.ts'
import type { UnverifiedJwt } from './unverified-jwt.ts'

/** What issuers of all kinds have rules for. */
export type JwtFields = Pick<
  JwtIssuerConfig,
  'algorithms' | 'audiences' | 'types' | 'requireType' | 'clockSkew'
>

/** The first thing that is wrong; `undefined` where only the signature is left to check. */
export function faultOf(
  { header, claims, ambiguous }: UnverifiedJwt,
  rules: JwtFields,
  nowMs: number,
): TokenFault | undefined {
  if (ambiguous) return 'form'
  if (!hasKnownHeader(header, rules)) return 'header'
  if (!hasAudience(own(claims, 'aud'), rules.audiences)) return 'audience'
  const expiresAtMs = expiryOf(claims, rules.clockSkew)
  if (expiresAtMs === undefined || !hasBegun(claims, nowMs + rules.clockSkew)) return 'time'
  return nowMs >= expiresAtMs ? 'expired' : undefined
}

/** Until when it is good, the skew included, in ms; `undefined` where it would be for ever. */
export function expiryOf(claims: UnverifiedJwt['claims'], clockSkewMs: number): number | undefined {
  const exp = own(claims, 'exp')
  // `1e999` is valid JSON for a number that never comes.
  return typeof exp === 'number' && Number.isFinite(exp) ? exp * 1_000 + clockSkewMs : undefined
}

function hasKnownHeader(header: UnverifiedJwt['header'], rules: JwtFields): boolean {
  const algorithms: readonly unknown[] = rules.algorithms
  const kid = own(header, 'kid')
  return (
    algorithms.includes(own(header, 'alg')) &&
    (kid === undefined || typeof kid === 'string') &&
    // RFC 7515 section 4.1.11: what is critical must be understood, and no extension is understood here.
    !Object.hasOwn(header, 'crit') &&
    // RFC 7797 section 7: a JWT is never of the kind whose payload is not encoded.
    (!Object.hasOwn(header, 'b64') || header['b64'] === true) &&
    hasType(own(header, 'typ'), rules)
  )
}

/** RFC 8725 section 3.11: a token that was made for something else, such as `logout+jwt`, must not do here. */
function hasType(typ: unknown, { types, requireType }: JwtFields): boolean {
  if (typ === undefined) return !requireType
  if (typeof typ !== 'string') return false
  const type = plainType(typ)
  return types.some(each => plainType(each) === type)
}

/** RFC 7515 section 4.1.9: `application/` may be left out where no other slash follows; types have no case. */
function plainType(type: string): string {
  const lower = type.toLowerCase()
  const rest = lower.startsWith('application/') ? lower.slice('application/'.length) : lower
  return rest.includes('/') ? lower : rest
}

function hasAudience(aud: unknown, audiences: readonly string[]): boolean {
  if (typeof aud === 'string') return audiences.includes(aud)
  if (!Array.isArray(aud) || !aud.every(each => typeof each === 'string')) return false
  return aud.some(each => audiences.includes(each))
}

/** `nbf` and `iat`: neither needs to be there, but neither may be in the future. */
function hasBegun(claims: UnverifiedJwt['claims'], latestMs: number): boolean {
  return ['nbf', 'iat'].every(name => {
    const time = own(claims, name)
    if (time === undefined) return true
    return typeof time === 'number' && Number.isFinite(time) && time * 1_000 <= latestMs
  })
}

function own(members: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(members, name) ? members[name] : undefined
}

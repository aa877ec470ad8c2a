/** Rules for issuers of tokens: each is the service's or one tenant's. */
import type { Draft, Located, Verdicts } from './draft.ts'
import { isUrl } from './paths.ts'
import { mention, type Place, placeIn } from './problem.ts'
import type { TenantConfig } from './schema.ts'

export function checkServiceIssuers(draft: Draft, verdicts: Verdicts): void {
  const places = serviceIssuers(draft)
  for (const [index, { issuer, jwks }] of (draft.authentication?.jwt ?? []).entries()) {
    const place = placeIn(draft.root, 'authentication', 'jwt', index)
    const { index: first = index, place: firstPlace = place } = places.get(issuer) ?? {}
    if (first !== index) {
      const message = `${issuer} is also the issuer at ${mention(firstPlace)}`
      verdicts.problem(placeIn(place, 'issuer'), message)
    }
    checkLocation(jwks, place, verdicts)
  }
}

/** Where an issuer of the service stands first. */
interface ServiceIssuer {
  readonly index: number
  readonly place: Place
}

export type ServiceIssuers = ReadonlyMap<string, ServiceIssuer>

export function serviceIssuers({ authentication, root }: Draft): ServiceIssuers {
  const places = new Map<string, ServiceIssuer>()
  for (const [index, { issuer }] of (authentication?.jwt ?? []).entries()) {
    const place = placeIn(root, 'authentication', 'jwt', index, 'issuer')
    if (!places.has(issuer)) places.set(issuer, { index, place })
  }
  return places
}

/** Of one tenant against the service. That two tenants claim an issuer is found with their other claims. */
export function checkTenantIssuers(
  { value, place }: Located<TenantConfig>,
  service: ServiceIssuers,
  verdicts: Verdicts,
): void {
  const own = new Map<string, Place>()
  for (const [index, { issuer, jwks }] of value.jwt.entries()) {
    const at = placeIn(place, 'jwt', index, 'issuer')
    const ofService = service.get(issuer)
    const first = own.get(issuer)
    if (ofService !== undefined) {
      const message = `the issuer ${issuer} is claimed by the tenant ${value.id} and by the service`
      verdicts.problem(at, `${message}; it stands also at ${mention(ofService.place)}`)
    } else if (first === undefined) own.set(issuer, at)
    else verdicts.problem(at, `${issuer} is also the issuer at ${mention(first)}`)
    checkLocation(jwks, placeIn(place, 'jwt', index), verdicts)
  }
}

function checkLocation(jwks: string, place: Place, verdicts: Verdicts): void {
  if (!isUrl(jwks) || /^https:/i.test(jwks)) return
  verdicts.warning(
    placeIn(place, 'jwks'),
    'keys fetched without TLS can be exchanged on the way; use https',
  )
}

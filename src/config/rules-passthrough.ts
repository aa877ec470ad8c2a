/** Rules for tenants that end TLS themselves: what would need to look into their traffic can never be. */
import type { Located, Verdicts } from './draft.ts'
import { placeIn } from './problem.ts'
import type { TenantConfig } from './schema.ts'

export function checkPassthrough(
  { value, place }: Located<TenantConfig>,
  verdicts: Verdicts,
): void {
  if (!value.passthrough) return
  const { hosts, address, credentials, jwt, connect, deployment } = value
  const why = 'with passthrough: true nothing of the traffic of this tenant is read'
  const isReachable = hosts.length > 0 || address !== undefined || credentials.length > 0
  if (!isReachable) {
    const message =
      'passthrough: true needs hosts, the names by which TLS is this tenant’s, an address, or a privateLink'
    verdicts.problem(placeIn(place, 'passthrough'), message)
  }
  for (const [index, credential] of credentials.entries()) {
    if ('privateLink' in credential) continue
    const message = `${why}, so this is never seen; allowed: privateLink, hosts and address`
    verdicts.problem(placeIn(place, 'credentials', index), message)
  }
  if (jwt.length > 0)
    verdicts.problem(placeIn(place, 'jwt'), `${why}, so its tokens are never seen`)
  if (connect) verdicts.problem(placeIn(place, 'connect'), `${why}, so no CONNECT is ever seen`)
  for (const [index, endpoint] of deployment.endpoints.entries()) {
    if (endpoint.startsWith('tcp:')) continue
    const message = `${endpoint}: with passthrough: true the deployment gets the bytes of the client as they are, TLS included; allowed: tcp`
    verdicts.problem(placeIn(place, 'deployment', 'endpoints', index), message)
  }
  if (deployment.health?.path !== undefined)
    verdicts.problem(
      placeIn(place, 'deployment', 'health', 'path'),
      'with passthrough: true checks are connections; leave the path out, HTTP within TLS is not asked for',
    )
  const { limits, quotas } = value
  for (const key of [
    'requests',
    'burst',
    'concurrency',
    'streams',
    'body',
    'handshakes',
  ] as const) {
    if (limits[key] !== undefined)
      verdicts.warning(
        placeIn(place, 'limits', key),
        `${why}: there are no ${key === 'handshakes' ? 'handshakes' : 'calls'} that ${key} would limit`,
      )
  }
  for (const [index, { of }] of quotas.entries()) {
    if (of === 'calls' || of.startsWith('operation:'))
      verdicts.warning(placeIn(place, 'quotas', index, 'of'), `${why}: there are no calls to count`)
  }
}

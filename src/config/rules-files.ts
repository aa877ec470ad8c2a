/** Rules for files that the configuration names: they must be there and readable before anything is bound. */
import { resolve } from 'node:path'
import type { Draft, Located, Verdicts } from './draft.ts'
import { fileFault } from './files.ts'
import { isUrl } from './paths.ts'
import { type Place, placeIn } from './problem.ts'
import type { ListenerConfig, TenantConfig } from './schema.ts'

/** Looks at each file once: thousands of tenants name the same authority. */
export class FileFaults {
  readonly #faults = new Map<string, string | undefined>()

  check(path: string | undefined, place: Place, verdicts: Verdicts): void {
    if (path === undefined) return
    const file = resolve(place.source.directory, path)
    if (!this.#faults.has(file)) this.#faults.set(file, fileFault(file))
    const fault = this.#faults.get(file)
    if (fault !== undefined) verdicts.problem(place, `the file ${file} ${fault}`)
  }
}

/** Files that the service names. */
export function checkFiles(draft: Draft, verdicts: Verdicts): void {
  const files = new FileFaults()
  const check: Check = (path, place) => files.check(path, place, verdicts)
  for (const listener of draft.listeners) checkListenerFiles(listener, check)
  for (const [index, { jwks }] of (draft.authentication?.jwt ?? []).entries()) {
    if (!isUrl(jwks)) check(jwks, placeIn(draft.root, 'authentication', 'jwt', index, 'jwks'))
  }
  checkTrustDomains(draft, check)
  const mixer = placeIn(draft.root, 'mixer')
  check(draft.mixer?.ca, placeIn(mixer, 'ca'))
  for (const key of ['cert', 'key', 'clientCa'] as const)
    check(draft.mixer?.tls?.[key], placeIn(mixer, 'tls', key))
}

/** Files that a tenant names. */
export function checkTenantFiles(
  { value, place }: Located<TenantConfig>,
  files: FileFaults,
  verdicts: Verdicts,
): void {
  for (const [index, { jwks }] of value.jwt.entries())
    if (!isUrl(jwks)) files.check(jwks, placeIn(place, 'jwt', index, 'jwks'), verdicts)
  const { tls } = value.deployment
  if (!tls) return
  const at = placeIn(place, 'deployment', 'tls')
  for (const key of ['ca', 'cert', 'key'] as const)
    files.check(tls[key], placeIn(at, key), verdicts)
}

type Check = (path: string | undefined, place: Place) => void

function checkTrustDomains({ authentication, root }: Draft, check: Check): void {
  const domains = authentication?.spiffe?.trustDomains ?? []
  for (const [index, { ca, jwks }] of domains.entries()) {
    const place = placeIn(root, 'authentication', 'spiffe', 'trustDomains', index)
    check(ca, placeIn(place, 'ca'))
    if (jwks !== undefined && !isUrl(jwks)) check(jwks, placeIn(place, 'jwks'))
  }
}

function checkListenerFiles(
  { value, place }: Located<ListenerConfig>,
  check: (path: string, place: Place) => void,
): void {
  const { certificates = [], clientCa = [], crl = [] } = value.tls ?? {}
  const tls = placeIn(place, 'tls')
  for (const [index, { cert, key }] of certificates.entries()) {
    check(cert, placeIn(tls, 'certificates', index, 'cert'))
    check(key, placeIn(tls, 'certificates', index, 'key'))
  }
  // One alone may stand there without a list around it.
  const [only, ...others] = clientCa
  if (only !== undefined && others.length === 0) check(only, placeIn(tls, 'clientCa'))
  else for (const [index, file] of clientCa.entries()) check(file, placeIn(tls, 'clientCa', index))
  for (const [index, file] of crl.entries()) check(file, placeIn(tls, 'crl', index))
}

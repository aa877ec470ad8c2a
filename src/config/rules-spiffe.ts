/** Rules for trust domains: what each says is complete, and no authority speaks for two of them. */
import { resolve } from 'node:path'
import { patternDomainOf } from '../codec/spiffe-id.ts'
import { Claims, type Draft, type Verdicts } from './draft.ts'
import { fileFault, readText } from './files.ts'
import { isUrl } from './paths.ts'
import { readPemCertificates } from './pem-certificates.ts'
import { mention, type Place, placeIn } from './problem.ts'
import type { SpiffeConfig } from './schema.ts'

/** Of one `ca` file. */
export const MAX_BUNDLE_BYTES: number = 1024 * 1024
/** Of all trust domains together: each new client certificate is compared with all of them, and each client is told of them. */
export const MAX_AUTHORITIES = 2_000

type TrustDomain = SpiffeConfig['trustDomains'][number]

export function checkTrustDomains(draft: Draft, verdicts: Verdicts): void {
  const spiffe = draft.authentication?.spiffe
  if (spiffe === undefined) return
  const place = placeIn(draft.root, 'authentication', 'spiffe')
  const { trustDomain, trustDomains } = spiffe
  if (trustDomain === undefined && trustDomains.length === 0) {
    verdicts.problem(place, 'needs trustDomain, trustDomains or both')
    return
  }
  const names = new Claims()
  const authorities = new Authorities(verdicts)
  if (trustDomain !== undefined) {
    names.claim(trustDomain, placeIn(place, 'trustDomain'))
    for (const { value, place: listener } of draft.listeners) {
      if (trustDomains.length === 0) continue
      const at = placeIn(listener, 'tls', 'clientCa')
      for (const file of value.tls?.clientCa ?? [])
        authorities.add({ domain: trustDomain, file, place: at, mixed: true })
    }
  }
  for (const [index, domain] of trustDomains.entries()) {
    const at = placeIn(place, 'trustDomains', index)
    const first = names.claim(domain.name, placeIn(at, 'name'))
    if (first !== undefined) {
      const message = `the trust domain ${domain.name} is also at ${mention(first)}`
      verdicts.problem(placeIn(at, 'name'), message)
    }
    checkTrustDomain(domain, at, verdicts)
    const { name, ca } = domain
    if (ca !== undefined)
      authorities.add({ domain: name, file: ca, place: placeIn(at, 'ca'), mixed: false })
  }
  authorities.checkCount(placeIn(place, 'trustDomains'))
  const asked = draft.listeners.some(({ value: { tls } }) => tls && tls.clientCertificate !== 'off')
  if (hasAuthorities(spiffe) && !asked) {
    const message = 'no listener asks for client certificates, so no authority of them is used'
    verdicts.warning(placeIn(place, 'trustDomains'), message)
  }
}

function checkTrustDomain(domain: TrustDomain, place: Place, verdicts: Verdicts): void {
  const { name, ca, jwks, audiences } = domain
  if (ca === undefined && jwks === undefined) {
    const message = `nothing proves ids of ${name}; needed: ca for certificates, jwks for tokens, or both`
    verdicts.problem(place, message)
  }
  if (jwks !== undefined && audiences === undefined) {
    verdicts.problem(
      placeIn(place, 'jwks'),
      'jwks needs audiences, one of which tokens must be for',
    )
  }
  if (jwks === undefined && audiences !== undefined) {
    verdicts.problem(placeIn(place, 'audiences'), 'audiences are of tokens, so they need jwks')
  }
  if (jwks !== undefined && isUrl(jwks) && !/^https:/i.test(jwks)) {
    const message = 'keys fetched without TLS can be exchanged on the way; use https'
    verdicts.warning(placeIn(place, 'jwks'), message)
  }
}

interface Bundle {
  readonly domain: string
  readonly file: string
  readonly place: Place
  /** Whether certificates that are no authorities may be among them, as in any `clientCa`. */
  readonly mixed: boolean
}

/** The authorities of all trust domains. */
class Authorities {
  readonly #verdicts: Verdicts
  /** Digest of a certificate → the trust domain that has it, and where. */
  readonly #owners = new Map<string, { readonly domain: string; readonly place: Place }>()

  constructor(verdicts: Verdicts) {
    this.#verdicts = verdicts
  }

  add({ domain, file: path, place, mixed }: Bundle): void {
    const file = resolve(place.source.directory, path)
    // What is not there or not readable is told where all files are checked.
    if (fileFault(file) !== undefined) return
    const text = readText(file, MAX_BUNDLE_BYTES)
    const certificates = 'fault' in text ? text.fault : readPemCertificates(text.value)
    if (typeof certificates === 'string') {
      this.#verdicts.problem(place, `the file ${file} ${certificates}`)
      return
    }
    for (const { ca, fingerprint256, subject } of certificates) {
      // A certificate without a subject has none at all here, whatever the types say.
      const name = (subject ?? '').replaceAll('\n', ', ')
      const owner = this.#owners.get(fingerprint256)
      if (!ca) {
        if (mixed) continue
        this.#verdicts.problem(place, `the certificate "${name}" in ${file} is no authority`)
      } else if (owner === undefined) {
        this.#owners.set(fingerprint256, { domain, place })
      } else if (owner.domain !== domain) {
        const whose = `the trust domains ${owner.domain} and ${domain}`
        const message = `the authority "${name}" would speak for ${whose}`
        this.#verdicts.problem(place, `${message}; it stands also at ${mention(owner.place)}`)
      }
    }
  }

  checkCount(place: Place): void {
    if (this.#owners.size <= MAX_AUTHORITIES) return
    const message = `there are ${this.#owners.size} authorities; allowed are ${MAX_AUTHORITIES}`
    this.#verdicts.problem(place, message)
  }
}

/** Names of the trust domains whose ids are taken; empty where SPIFFE is not configured. */
export function trustDomainNames(spiffe: SpiffeConfig | undefined): ReadonlySet<string> {
  if (spiffe === undefined) return new Set()
  const { trustDomain, trustDomains } = spiffe
  const names = trustDomains.map(({ name }) => name)
  return new Set(trustDomain === undefined ? names : [trustDomain, ...names])
}

/** What is wrong with the `spiffe` of a tenant's credential, or `undefined`. */
export function spiffeFault(pattern: string, domains: ReadonlySet<string>): string | undefined {
  if (domains.size === 0) return 'a spiffe credential needs authentication.spiffe'
  const domain = /^spiffe:\/\/([^/]*)/.exec(pattern)?.[1] ?? ''
  if (!domains.has(domain)) {
    const allowed = [...domains].slice(0, 8).join(', ')
    return `${pattern} is in the trust domain ${domain}; allowed: ${allowed}, as authentication.spiffe says`
  }
  if (patternDomainOf(pattern) === domain) return undefined
  return pattern.replace(/\/\*$/, '').includes('*')
    ? `${pattern}: "*" may only stand last, as /*`
    : `${pattern} is no SPIFFE id; segments are of letters, digits, ".", "_" and "-"`
}

/** Whether client certificates can be verified against the authorities of trust domains. */
export function hasAuthorities(spiffe: SpiffeConfig | undefined): boolean {
  return spiffe?.trustDomains.some(({ ca }) => ca !== undefined) ?? false
}

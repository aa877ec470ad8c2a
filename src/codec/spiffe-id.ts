/** SPIFFE ids (SPIFFE-ID, section 2), strict: each id has one spelling, and no prefix can be left by "..". */

/** Ids are at most 2048 bytes, trust domains 255 (SPIFFE-ID section 2.3). */
const MAX_ID_CHARS = 2_048
const PATTERN = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[A-Za-z0-9._-]+)+)$/
const DOT_SEGMENT = /\/\.{1,2}(?:\/|$)/
const WILDCARD_PATH = '/*'

/**
 * The trust domain of `uri` if that is the id of a workload: with a path, without port, user, query, fragment, escape,
 * empty or dot segment, slash at the end, or capitals in the trust domain.
 */
export function trustDomainOf(uri: string): string | undefined {
  if (uri.length > MAX_ID_CHARS) return undefined
  const match = PATTERN.exec(uri)
  return match === null || DOT_SEGMENT.test(match[2] ?? '') ? undefined : match[1]
}

/** Whether `uri` is the id of a workload, of whatever trust domain. */
export function isSpiffeId(uri: string): boolean {
  return trustDomainOf(uri) !== undefined
}

/** The trust domain of an id, or of a prefix of ids that ends in `/*` (which may be the whole trust domain). */
export function patternDomainOf(pattern: string): string | undefined {
  if (!pattern.endsWith(WILDCARD_PATH)) return trustDomainOf(pattern)
  // With any segment in place of "*" it must be an id.
  return trustDomainOf(`${pattern.slice(0, -1)}x`)
}
/**
 * Whether `uri` means to be a SPIFFE id, valid or not. Schemes are compared without case (RFC 3986, section 3.1), so that
 * a spelling that we do not take is refused as an id, and does not pass for some other URI.
 */
export function claimsSpiffeId(uri: string): boolean {
  return /^spiffe:/i.test(uri)
}

/** The trust domain that `uri` means to be of, whether or not it is an id; `''` where it means to be none. */
export function claimedTrustDomain(uri: string): string {
  if (!claimsSpiffeId(uri)) return ''
  return (/^spiffe:\/\/([^/?#]{1,255})/i.exec(uri)?.[1] ?? '').toLowerCase()
}

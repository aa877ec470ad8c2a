/** Ids are at most 2048 bytes, trust domains 255 (SPIFFE-ID sections 2.1 and 2.3). */
const MAX_ID_CHARS = 2_048
const PATTERN = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[A-Za-z0-9._-]+)+)$/

/**
 * Whether `uri` is the id of a workload, of `trustDomain` where one is given. Strict: no port, user, query, escape, empty
 * or dot segment, so that an id has one spelling and a prefix cannot be left by "..".
 */
export function isSpiffeId(uri: string, trustDomain?: string): boolean {
  if (uri.length > MAX_ID_CHARS) return false
  const match = PATTERN.exec(uri)
  if (match === null || (trustDomain !== undefined && match[1] !== trustDomain)) return false
  return !/\/\.{1,2}(?:\/|$)/.test(match[2] ?? '')
}

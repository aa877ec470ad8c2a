/**
 * Path hygiene: the one form in which all readers find the same segments in a path. It is RFC 3986 §6.2.2.2 (unreserved
 * percent-encodings decoded, the others in capitals) and §5.2.4 (no dot segments), with slashes merged before that, as
 * most file servers do. The query is nobody's path and stays as it came.
 */

/** `as-is`: a path is never looked at. `normalize`: forwarded in normal form. `reject`: only the normal form passes. */
export type PathRule = 'as-is' | 'normalize' | 'reject'

/** What may be out of form: nearly all paths have none of it, and are found normal without being taken apart. */
const SUSPECT = /[%\\]|\/[./]/
/**
 * An encoded slash, backslash or NUL, a plain backslash, or `%` without two digits: some readers take these for what
 * they encode, some do not. NUL ends a path for programs in C.
 */
const UNSAFE = /\\|%(?:2f|5c|00|(?![0-9a-f]{2}))/i
/** Servlet containers take `..;x` for `..` once they have dropped the parameter. */
const DOTS_WITH_PARAMETER = /(?:^|\/)\.\.?;/
const ENCODED = /%[0-9a-f]{2}/gi
const UNRESERVED = /[A-Za-z0-9._~-]/

/**
 * The target with its path in normal form: the same text where it is, or has no path. Undefined where the path could be
 * read in two ways whatever is done to it. Never longer than `target`, and itself in normal form.
 */
export function normalTarget(target: string): string | undefined {
  const start = pathStart(target)
  if (start < 0) return target
  const query = target.indexOf('?', start)
  const end = query < 0 ? target.length : query
  const path = target.slice(start, end)
  if (!SUSPECT.test(path)) return target
  if (UNSAFE.test(path)) return undefined
  const decoded = path.replace(ENCODED, decodeUnreserved)
  if (DOTS_WITH_PARAMETER.test(decoded)) return undefined
  return target.slice(0, start) + withoutDots(decoded) + target.slice(end)
}

/** Where the path of an origin-form or absolute-form target begins, or -1: `*` and an authority have none. */
function pathStart(target: string): number {
  if (target.startsWith('/')) return 0
  const authority = target.indexOf('://')
  if (authority < 0) return -1
  const end = target.slice(authority + 3).search(/[/?]/)
  const start = authority + 3 + end
  return end < 0 || target[start] === '?' ? -1 : start
}

function decodeUnreserved(encoded: string): string {
  const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
  return UNRESERVED.test(character) ? character : encoded.toUpperCase()
}

/** `path` begins with a slash; so does what is left of it. Above the root there is nothing to go up to. */
function withoutDots(path: string): string {
  const kept: string[] = []
  const segments = path.split('/')
  for (const segment of segments) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(segment)
  }
  const last = segments.at(-1)
  const isFolder = last === '' || last === '.' || last === '..'
  return `/${kept.join('/')}${isFolder && kept.length > 0 ? '/' : ''}`
}

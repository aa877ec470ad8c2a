/**
 * Where in the claims of a token a value stands: a name, or a path of names through nested objects.
 *
 * As text: `tenant` is a name, `realm.tenant` a path of two. A name with ":" or "/" in it is whole, because names that are
 * URIs (RFC 7519 section 4.2) are full of dots. What does not fit that is written as a JSON array of names:
 * `["https://example.com/claims", "tenant"]`, or `["com.example.tenant"]` for one name with dots.
 */
export type ClaimPath = readonly string[]

export const CLAIM_PATH_HINT: string =
  'a claim name, a path such as realm.tenant, or up to 8 names as ["https://example.com/claims", "tenant"]'

const MAX_NAMES = 8
const MAX_CHARS = 1_024

/** `undefined` where `text` is no path. */
export function parseClaimPath(text: string): ClaimPath | undefined {
  if (text.length > MAX_CHARS) return undefined
  if (text.startsWith('[')) return checked(parseJson(text))
  return /[:/]/.test(text) ? [text] : checked(text.split('.'))
}

/** The path of a value of the configuration that was checked: text as above, or a list of names. */
export function claimPathOf(configured: string | readonly string[]): ClaimPath {
  return typeof configured === 'string' ? (parseClaimPath(configured) ?? [configured]) : configured
}

/** One text for each path, however it was written. */
export function claimPathKey(path: ClaimPath): string {
  return JSON.stringify(path)
}

/**
 * The value at `path`, or `undefined`. Only own members of objects are followed: `constructor` and `__proto__` are names
 * as any other, and lead to what the token says or nowhere.
 */
export function claimAt(claims: Readonly<Record<string, unknown>>, path: ClaimPath): unknown {
  let value: unknown = claims
  for (const name of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    if (!Object.hasOwn(value, name)) return undefined
    value = (value as Readonly<Record<string, unknown>>)[name]
  }
  return value
}

/** The texts that a claim holds: itself, or those of its array. Empty for what is neither, or an array of other things too. */
export function textsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value]
  return Array.isArray(value) && value.every(each => typeof each === 'string') ? value : []
}

function checked(names: unknown): ClaimPath | undefined {
  if (!Array.isArray(names) || names.length === 0 || names.length > MAX_NAMES) return undefined
  return names.every(name => typeof name === 'string' && name !== '')
    ? (names as readonly string[])
    : undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

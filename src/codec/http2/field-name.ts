/** Names of header fields: what is found out about one is found out once, and shared by all fields that have it. */
import { TOKEN } from '../http1/characters.ts'
import { STATIC_PAIRS } from './static-pairs.ts'

/** Names that the protocol itself reads. `OTHER` is every other valid one. */
export const OTHER = 0
export const METHOD = 1
export const SCHEME = 2
export const AUTHORITY = 3
export const PATH = 4
export const PROTOCOL = 5
export const STATUS = 6
export const CONTENT_LENGTH = 7
export const HOST = 8
export const TE = 9
export const COOKIE = 10
/** Of one connection, and so of HTTP/1.1 alone (RFC 9113 §8.2.2). */
export const CONNECTION_SPECIFIC = 11
/** A name or value that no field may have (RFC 9113 §8.2.1), or a pseudo-header field that does not exist. */
export const MALFORMED = 12
/** RFC 9218; it is handed on as any other. */
export const PRIORITY = 13
export type FieldRole = number

const ROLES: ReadonlyMap<string, FieldRole> = new Map([
  [':method', METHOD],
  [':scheme', SCHEME],
  [':authority', AUTHORITY],
  [':path', PATH],
  [':protocol', PROTOCOL],
  [':status', STATUS],
  ['content-length', CONTENT_LENGTH],
  ['host', HOST],
  ['te', TE],
  ['cookie', COOKIE],
  ['connection', CONNECTION_SPECIFIC],
  ['proxy-connection', CONNECTION_SPECIFIC],
  ['keep-alive', CONNECTION_SPECIFIC],
  ['transfer-encoding', CONNECTION_SPECIFIC],
  ['upgrade', CONNECTION_SPECIFIC],
  ['priority', PRIORITY],
])

/** FNV-1a, in 32 bits. */
const HASH_START = 0x811c9dc5 | 0
const HASH_PRIME = 0x01000193

const COLON = 0x3a
const [UPPER_A, UPPER_Z] = [0x41, 0x5a]

const NONE: readonly string[] = []

export class FieldName {
  readonly text: string
  readonly role: FieldRole
  readonly hash: number
  /** Of its first entry in the static table, 0 for none; and the values of all of them. */
  readonly staticIndex: number
  readonly staticValues: readonly string[]

  constructor(text: string, staticIndex = 0, staticValues = NONE) {
    this.text = text
    this.role = ROLES.get(text) ?? (isName(text) ? OTHER : MALFORMED)
    this.hash = hashOf(HASH_START, text)
    this.staticIndex = staticIndex
    this.staticValues = staticValues
  }
}

/** Those of the static table; there is one object each of these only. */
const KNOWN: ReadonlyMap<string, FieldName> = knownNames()
/** Names that were seen lately; whoever has it full of others makes us find out again, no more. */
const SEEN = new Map<string, FieldName>()
const MOST_SEEN = 512
const MOST_SEEN_CHARS = 64

export function fieldName(text: string): FieldName {
  return KNOWN.get(text) ?? SEEN.get(text) ?? newName(text)
}

function newName(text: string): FieldName {
  if (text.length > MOST_SEEN_CHARS) return new FieldName(text)
  // A copy: what was cut out of a larger text would keep all of that.
  const name = new FieldName(Buffer.from(text, 'latin1').toString('latin1'))
  if (name.role === MALFORMED) return new FieldName(text)
  if (SEEN.size >= MOST_SEEN) SEEN.clear()
  SEEN.set(name.text, name)
  return name
}

export function hashOf(start: number, text: string): number {
  let hash = start
  for (let at = 0; at < text.length; at++) hash = hashStep(hash, text.charCodeAt(at))
  return hash
}

function hashStep(hash: number, code: number): number {
  return Math.imul(hash ^ code, HASH_PRIME)
}

function knownNames(): ReadonlyMap<string, FieldName> {
  const known = new Map<string, FieldName>()
  for (const [index, [text]] of STATIC_PAIRS.entries()) {
    if (known.has(text)) continue
    const values = STATIC_PAIRS.filter(([name]) => name === text).map(([, value]) => value)
    known.set(text, new FieldName(text, index + 1, values))
  }
  return known
}

/** A token in lower case; names that begin with a colon are in the table of roles, or do not exist. */
function isName(name: string): boolean {
  if (name.length === 0) return false
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at)
    if (code === COLON || (code >= UPPER_A && code <= UPPER_Z)) return false
    if (code > 0xff || TOKEN[code] === 0) return false
  }
  return true
}

/**
 * One header field of HTTP/2. Fields live in the tables of HPACK and are shared by all header sections that refer to them,
 * so what is found out about one, such as whether it is valid, is found out once.
 */
import { FIELD_VALUE, HTAB, SP, TOKEN } from '../http1/characters.ts'

/** How a field may be remembered (RFC 7541 §6.2). A proxy hands NEVER on as it came (§7.1.3). */
export const PLAIN = 0
export const INDEXED = 1
export const NEVER = 2
export type Indexing = typeof PLAIN | typeof INDEXED | typeof NEVER

/** What a field costs in a table beside its octets (RFC 7541 §4.1). */
const OVERHEAD = 32

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
])

const COLON = 0x3a
const [UPPER_A, UPPER_Z] = [0x41, 0x5a]

export class HeaderField {
  readonly name: string
  readonly value: string
  readonly indexing: Indexing
  /** Octets in a table, and in a header list (RFC 9113 §6.5.2). */
  readonly size: number
  #role: FieldRole | undefined = undefined
  #key: string | undefined = undefined

  /** Latin-1, a character an octet; valid or not. */
  constructor(name: string, value: string, indexing: Indexing) {
    this.name = name
    this.value = value
    this.indexing = indexing
    this.size = name.length + value.length + OVERHEAD
  }

  get role(): FieldRole {
    this.#role ??= roleOf(this.name, this.value)
    return this.#role
  }

  /** The same for the same name and value. A string keeps its hash: a field that is shared is looked up by it for nothing. */
  get key(): string {
    this.#key ??= `${this.name}\0${this.value}`
    return this.#key
  }
}

function roleOf(name: string, value: string): FieldRole {
  if (!isValue(value)) return MALFORMED
  const role = ROLES.get(name)
  if (role !== undefined) return role
  return isName(name) ? OTHER : MALFORMED
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

/** What an HTTP/1.1 field may hold, and no blank at its ends: it may become one of these (RFC 9113 §8.2.1, §10.3). */
function isValue(value: string): boolean {
  if (value.length === 0) return true
  if (isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1))) return false
  for (let at = 0; at < value.length; at++)
    if (FIELD_VALUE[value.charCodeAt(at)] !== 1) return false
  return true
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB
}

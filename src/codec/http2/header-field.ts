/**
 * One header field of HTTP/2. Fields live in the tables of HPACK and are shared by all header sections that refer to them,
 * so what is found out about one, such as whether it is valid, is found out once.
 */
import { FIELD_VALUE, HTAB, SP } from '../http1/characters.ts'
import { type FieldName, type FieldRole, fieldName, hashOf, MALFORMED } from './field-name.ts'

/** How a field may be remembered (RFC 7541 §6.2). A proxy hands NEVER on as it came (§7.1.3). */
export const PLAIN = 0
export const INDEXED = 1
export const NEVER = 2
export type Indexing = typeof PLAIN | typeof INDEXED | typeof NEVER

/** What a field costs in a table beside its octets (RFC 7541 §4.1). */
const OVERHEAD = 32

export class HeaderField {
  readonly name: string
  readonly value: string
  readonly indexing: Indexing
  /** Octets in a table, and in a header list (RFC 9113 §6.5.2). */
  readonly size: number
  readonly known: FieldName
  /** -1: nobody has asked yet. */
  #role: FieldRole = -1
  #hashed = false
  #hash = 0
  #staticIndex = -1

  /** Latin-1, a character an octet; valid or not. The name as text, or as that of another field. */
  constructor(name: string | FieldName, value: string, indexing: Indexing) {
    this.known = typeof name === 'string' ? fieldName(name) : name
    this.name = this.known.text
    this.value = value
    this.indexing = indexing
    this.size = this.name.length + value.length + OVERHEAD
  }

  get role(): FieldRole {
    if (this.#role < 0) this.#role = isValue(this.value) ? this.known.role : MALFORMED
    return this.#role
  }

  /** The same for the same name and value. */
  get hash(): number {
    if (!this.#hashed) {
      this.#hash = hashOf(this.known.hash, this.value)
      this.#hashed = true
    }
    return this.#hash
  }

  /** Whether name and value are those of `other`. */
  says(other: HeaderField): boolean {
    return this.hash === other.hash && this.value === other.value && this.name === other.name
  }

  /** Where the static table has it, name and value; 0 where it has not. */
  get staticIndex(): number {
    if (this.#staticIndex < 0) {
      const entry = this.known.staticValues.indexOf(this.value)
      this.#staticIndex = entry < 0 ? 0 : this.known.staticIndex + entry
    }
    return this.#staticIndex
  }
}

/** What one of HTTP/1.1 may hold, with no blank at its ends: it may become one of these (RFC 9113 §8.2.1, §10.3). */
function isValue(value: string): boolean {
  const { length } = value
  if (length === 0) return true
  if (isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(length - 1))) return false
  for (let at = 0; at < length; at++) if (FIELD_VALUE[value.charCodeAt(at)] !== 1) return false
  return true
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB
}

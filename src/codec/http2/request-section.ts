/**
 * What the header section of a request says (RFC 9113 §8.3, RFC 8441 §4), checked so that it can be written as HTTP/1.1
 * without becoming another request there. One object reads very many sections; what it says is valid until the next.
 */
import type { ErrorCode } from '../../core/errors.ts'
import { isToken, TARGET } from '../http1/characters.ts'
import { isAuthority, isHostAndPort } from '../http1/target.ts'
import {
  AUTHORITY,
  CONNECTION_SPECIFIC,
  CONTENT_LENGTH,
  COOKIE,
  HOST,
  MALFORMED,
  METHOD,
  OTHER,
  PATH,
  PRIORITY,
  PROTOCOL,
  SCHEME,
  STATUS,
  TE,
} from './field-name.ts'
import type { HeaderField } from './header-field.ts'

const MAX_METHOD_CHARS = 32
/** 15 digits: far beyond any body, and exact as a number. */
const LENGTH = /^\d{1,15}$/
const ASTERISK = '*'
const SLASH = 0x2f

/** Bits of the pseudo-header fields, as they were seen. */
const PSEUDO_BITS: readonly number[] = pseudoBits()
const CONNECT_BITS = bit(METHOD) | bit(AUTHORITY)
const REQUEST_BITS = bit(METHOD) | bit(SCHEME) | bit(PATH)

export class RequestSection {
  method = ''
  scheme = ''
  /** The host that is asked for: `:authority`, or `host` where there is none; '' without either. */
  authority = ''
  /** '' of a plain CONNECT. */
  path = ''
  /** Where they came from, for whoever writes the same again. */
  authorityField: HeaderField | undefined = undefined
  pathField: HeaderField | undefined = undefined
  /** Of an extended CONNECT, else ''. */
  protocol = ''
  /** -1 where it says none. */
  contentLength = -1
  /** Whether trailers are welcome (`te: trailers`). */
  takesTrailers = false
  /** All crumbs of `cookie` as one value (§8.2.3); '' without any. */
  cookie = ''
  /** Of `priority` (RFC 9218), which stands among `fields` as well; '' without it. */
  priority = ''
  /** What is no pseudo-header field and has no place above, in its order. */
  readonly fields: HeaderField[] = []
  /** Why the last section is malformed: the stream ends with PROTOCOL_ERROR (§8.1.1). */
  error: ErrorCode = 'malformed_request'
  /** Of `fields`, while they are read. */
  #count = 0
  #seen = 0
  /** A field that is no pseudo-header field has come. */
  #regular = false
  #host = ''
  #validAuthority = ''
  #validPath = ''

  /** False: it is malformed, and `error` says how. */
  read(list: readonly HeaderField[]): boolean {
    this.#reset()
    const error = this.#takeAll(list) ?? this.#form() ?? this.#decideHost()
    return error === undefined || this.#fail(error)
  }

  #takeAll(list: readonly HeaderField[]): ErrorCode | undefined {
    let error: ErrorCode | undefined
    for (let index = 0; index < list.length && error === undefined; index++)
      error = this.#take(list[index] as HeaderField)
    // Not emptied first: V8 would give its memory back and take new for each section.
    while (this.fields.length > this.#count) this.fields.pop()
    return error
  }

  /** Nothing comes behind it. False: its content-length promises something (§8.1.1). */
  endsWithHeaders(): boolean {
    return this.contentLength <= 0 || this.#fail('ambiguous_framing')
  }

  #reset(): void {
    this.method = ''
    this.scheme = ''
    this.authority = ''
    this.path = ''
    this.authorityField = undefined
    this.pathField = undefined
    this.protocol = ''
    this.contentLength = -1
    this.takesTrailers = false
    this.cookie = ''
    this.priority = ''
    this.#count = 0
    this.#seen = 0
    this.#host = ''
    this.#regular = false
  }

  #take(field: HeaderField): ErrorCode | undefined {
    const { role } = field
    if (role === OTHER) {
      this.#regular = true
      this.fields[this.#count++] = field
      return undefined
    }
    const pseudo = PSEUDO_BITS[role] as number
    if (pseudo !== 0) return this.#takePseudo(field, pseudo)
    this.#regular = true
    return this.#takeSpecial(field)
  }

  /** Each once at most, before all others (§8.3). */
  #takePseudo(field: HeaderField, pseudo: number): ErrorCode | undefined {
    if (this.#regular || (this.#seen & pseudo) !== 0) return 'malformed_request'
    this.#seen |= pseudo
    const { role, value } = field
    switch (role) {
      case METHOD:
        this.method = value
        return undefined
      case SCHEME:
        this.scheme = value
        return undefined
      case AUTHORITY:
        this.authority = value
        this.authorityField = field
        return undefined
      case PATH:
        this.path = value
        this.pathField = field
        return undefined
      default:
        this.protocol = value
        return undefined
    }
  }

  #takeSpecial(field: HeaderField): ErrorCode | undefined {
    const { role, value } = field
    switch (role) {
      case HOST:
        if (this.#host !== '' || value === '') return 'invalid_host'
        this.#host = value
        return undefined
      case TE:
        if (value !== 'trailers' && value.toLowerCase() !== 'trailers') return 'malformed_field'
        this.takesTrailers = true
        return undefined
      case COOKIE:
        // An empty crumb says nothing, and at the end it would leave a blank there, which no value may have (§8.2.1).
        if (value !== '') this.cookie = this.cookie === '' ? value : `${this.cookie}; ${value}`
        return undefined
      case PRIORITY:
        this.priority = value
        this.fields[this.#count++] = field
        return undefined
      case CONTENT_LENGTH:
        // Two of them, also two of the same, are read differently by different readers.
        if (this.contentLength >= 0 || !LENGTH.test(value)) return 'ambiguous_framing'
        this.contentLength = Number(value)
        return undefined
      case CONNECTION_SPECIFIC:
      case STATUS:
      case MALFORMED:
        return 'malformed_field'
      default:
        throw new Error(`role ${role} has no place in a request`)
    }
  }

  /** Which pseudo-header fields there must be (§8.3.1, §8.5), and what they may hold. */
  #form(): ErrorCode | undefined {
    const { method, scheme, path } = this
    if (method.length > MAX_METHOD_CHARS || !isToken(method)) return 'malformed_request'
    const seen = this.#seen & ~bit(PROTOCOL)
    const extended = (this.#seen & bit(PROTOCOL)) !== 0
    // What comes on a tunnel has no length (RFC 9110 §9.3.6).
    if (method === 'CONNECT' && this.contentLength >= 0) return 'ambiguous_framing'
    if (method === 'CONNECT' && !extended) return this.#tunnelForm(seen)
    if (extended && (method !== 'CONNECT' || !isToken(this.protocol) || this.authority === ''))
      return 'malformed_request'
    if ((seen & REQUEST_BITS) !== REQUEST_BITS) return 'malformed_request'
    // Of other schemes nobody knows what their paths mean, and HTTP/1.1 could not say them.
    if (scheme !== 'https' && scheme !== 'http') return 'malformed_target'
    if (path === ASTERISK) return method === 'OPTIONS' ? undefined : 'malformed_target'
    // Many calls of a connection ask for the same one.
    if (path === this.#validPath) return undefined
    if (path.charCodeAt(0) !== SLASH || !isTarget(path)) return 'malformed_target'
    this.#validPath = path
    return undefined
  }

  #tunnelForm(seen: number): ErrorCode | undefined {
    if (seen !== CONNECT_BITS) return 'malformed_request'
    return isHostAndPort(this.authority) ? undefined : 'malformed_target'
  }

  /** §8.3.1: `host` must not say another one than `:authority`. */
  #decideHost(): ErrorCode | undefined {
    const host = this.#host
    if ((this.#seen & bit(AUTHORITY)) !== 0 && this.authority === '') return 'invalid_host'
    if (this.authority === '') this.authority = host
    else if (host !== '' && host.toLowerCase() !== this.authority.toLowerCase())
      return 'invalid_host'
    // Most calls of a connection ask for the same one.
    if (this.authority === this.#validAuthority)
      return this.authority === '' ? 'invalid_host' : undefined
    if (!isAuthority(this.authority)) return 'invalid_host'
    this.#validAuthority = this.authority
    return undefined
  }

  #fail(error: ErrorCode): false {
    this.error = error
    return false
  }
}

/** Whether a trailer section may be handed on (§8.1): no pseudo-header field, and nothing that frames or routes a message. */
export function isTrailerSection(list: readonly HeaderField[]): boolean {
  for (let index = 0; index < list.length; index++) {
    const { role } = list[index] as HeaderField
    if (role !== OTHER && role !== COOKIE && role !== PRIORITY) return false
  }
  return true
}

function bit(role: number): number {
  return 1 << role
}

function pseudoBits(): readonly number[] {
  const pseudo = [METHOD, SCHEME, AUTHORITY, PATH, PROTOCOL]
  return Array.from({ length: PRIORITY + 1 }, (_, role) => (pseudo.includes(role) ? bit(role) : 0))
}

function isTarget(path: string): boolean {
  for (let at = 0; at < path.length; at++) if (TARGET[path.charCodeAt(at)] !== 1) return false
  return true
}

/**
 * The head of a request: request line (RFC 9112 §3) and fields. One object reads very many heads, one after the other;
 * what it says is valid until the next `read`.
 */
import type { ErrorCode } from '../../core/errors.ts'
import { latin1Text } from '../latin1.ts'
import { DEFAULT_CAPS, type Http1Caps } from './caps.ts'
import { CR, LF, SP, TARGET, TOKEN } from './characters.ts'
import { type ConnectionOptions, parseConnection } from './connection-options.ts'
import { FieldSection, INCOMPLETE, INVALID } from './field-section.ts'
import { type FieldTable, SLOT } from './field-table.ts'
import { BODY_NONE, type BodyKind, decideFraming, FRAMING_BITS, type Framing } from './framing.ts'
import { hopsLeftOf } from './max-forwards.ts'
import { normalTarget, type PathRule } from './path.ts'
import { authorityOf, isHostAndPort } from './target.ts'
import { ValidHosts } from './valid-hosts.ts'

const MAX_METHOD_BYTES = 32
/** Empty lines before a request line are skipped (RFC 9112 §2.2), but not for ever. */
const MAX_EMPTY_LINES = 4
const VERSION = Buffer.from('HTTP/1.', 'latin1')
const DIGIT_0 = 0x30
const HOST_BIT = 1 << SLOT.host
const MAX_FORWARDS_BIT = 1 << SLOT.maxForwards

export class RequestHead implements Framing {
  method = ''
  /** In any of the four forms; as it came, but for a path that is to be normalized. */
  target = ''
  /** 0 or 1, of HTTP/1.x. */
  minor = 1
  /** The host that is asked for: of the target where that names one, else the Host field; '' in HTTP/1.0 without it. */
  host = ''
  kind: BodyKind = BODY_NONE
  length = 0
  /** Hops that a TRACE or OPTIONS may still take (RFC 9110 §7.6.2), or -1 where nothing limits them. */
  hopsLeft = -1
  connection: ConnectionOptions = parseConnection('')
  /** Lines to forward as they came. */
  lines = ''
  readonly fields: FieldSection
  readonly #caps: Http1Caps
  readonly #path: PathRule
  readonly #looksAtPath: boolean
  readonly #hosts = new ValidHosts()
  /** Why the last read was INVALID. */
  error: ErrorCode = 'malformed_request'

  constructor(table: FieldTable, caps: Http1Caps = DEFAULT_CAPS, path: PathRule = 'as-is') {
    this.#caps = caps
    this.#path = path
    this.#looksAtPath = path !== 'as-is'
    this.fields = new FieldSection(table, caps.fields)
  }

  /** Whether what follows may be no call, but what a tunnel carries. */
  get mayTunnel(): boolean {
    return this.method === 'CONNECT' || this.connection.upgrade
  }

  /**
   * Reads the head that begins at `start`. Returns the position behind it, INCOMPLETE, or INVALID with `error` set.
   * It begins anew where more bytes came; that costs at most the scan of a head of the largest size a packet.
   */
  read(bytes: Buffer, start: number, end: number): number {
    let at = start
    for (let empty = 0; at < end && (bytes[at] === CR || bytes[at] === LF); empty++) {
      if (bytes[at] === LF || empty === MAX_EMPTY_LINES) return this.#invalid('malformed_request')
      if (at + 1 >= end) return INCOMPLETE
      if (bytes[at + 1] !== LF) return this.#invalid('malformed_request')
      at += 2
    }
    const base = at
    const methodEnd = scanMethod(bytes, at, end)
    if (methodEnd <= 0)
      return methodEnd === INCOMPLETE ? INCOMPLETE : this.#invalid('malformed_request')
    at = methodEnd + 1
    while (at < end && TARGET[bytes[at] as number] === 1) at++
    const targetEnd = at
    if (targetEnd - methodEnd - 1 > this.#caps.targetBytes) return this.#invalid('target_too_long')
    if (at >= end) return INCOMPLETE
    if (bytes[at] !== SP || targetEnd === methodEnd + 1) return this.#invalid('malformed_target')
    at = this.#scanVersion(bytes, at + 1, end)
    if (at <= 0) return at
    // Nothing behind the cap is looked at, so that the error does not depend on how much has come at once.
    const limit = Math.min(end, base + this.#caps.headBytes)
    at = this.fields.scan(bytes, at, limit)
    if (at === INVALID) return this.#invalid(this.fields.error)
    if (at === INCOMPLETE) return limit < end ? this.#invalid('head_too_large') : INCOMPLETE

    const text = latin1Text(bytes, base, at)
    this.method = methodOf(text, methodEnd - base)
    this.target = text.slice(methodEnd + 1 - base, targetEnd - base)
    this.fields.collect(bytes, text, base)
    const error = this.#interpret()
    return error === undefined ? at : this.#invalid(error)
  }

  /** `HTTP/1.0` or `HTTP/1.1` and CRLF. */
  #scanVersion(bytes: Buffer, start: number, end: number): number {
    let at = start
    for (let index = 0; index < VERSION.length; index++) {
      if (at >= end) return INCOMPLETE
      if (bytes[at] !== VERSION[index])
        return this.#invalid(
          otherVersion(bytes, start, end) ? 'unsupported_version' : 'malformed_request',
        )
      at++
    }
    if (at >= end) return INCOMPLETE
    this.minor = (bytes[at] as number) - DIGIT_0
    if (this.minor < 0 || this.minor > 9) return this.#invalid('malformed_request')
    if (this.minor > 1) return this.#invalid('unsupported_version')
    at++
    if (at >= end) return INCOMPLETE
    if (bytes[at] !== CR) return this.#invalid('malformed_request')
    if (at + 1 >= end) return INCOMPLETE
    return bytes[at + 1] === LF ? at + 2 : this.#invalid('malformed_request')
  }

  /** What the fields mean together. */
  #interpret(): ErrorCode | undefined {
    const { fields } = this
    const error = decideFraming(fields, this, this.minor, BODY_NONE) ?? this.#decideHost()
    if (error !== undefined) return error
    if (this.#looksAtPath && !this.#pathIsSafe()) return 'unsafe_path'
    this.hopsLeft = -1
    if ((fields.seen & MAX_FORWARDS_BIT) !== 0 && !this.#readHopsLeft()) return 'malformed_field'
    const expect = fields.values[SLOT.expect] as string
    // RFC 9110 §10.1.1: the one expectation there is; HTTP/1.0 has none.
    if (expect !== '' && this.minor === 1 && expect.toLowerCase() !== '100-continue')
      return 'unsupported_expectation'
    this.connection = parseConnection(fields.values[SLOT.connection] as string)
    this.lines =
      this.connection.named.size === 0 ? fields.lines : fields.linesWithout(this.connection.named)
    return undefined
  }

  /** RFC 9112 §3.2: exactly one valid Host in HTTP/1.1, and no other one in the target. */
  #decideHost(): ErrorCode | undefined {
    const { fields, method, target } = this
    if ((fields.repeated & HOST_BIT) !== 0) return 'invalid_host'
    const present = (fields.seen & HOST_BIT) !== 0
    if (!present && this.minor === 1) return 'invalid_host'
    const host = fields.values[SLOT.host] as string
    const valid = host === '' ? '' : this.#hosts.find(host)
    this.host = valid ?? host
    if (valid === undefined) return 'invalid_host'
    // First, since its only form is that of an authority: a deployment that takes another for a tunnel sees no calls in it.
    if (method === 'CONNECT') return this.#decideTunnel()
    if (target.charCodeAt(0) === 0x2f) return undefined
    if (target === '*') return method === 'OPTIONS' ? undefined : 'malformed_target'
    const authority = authorityOf(target)
    if (authority === undefined) return 'malformed_target'
    // RFC 9112 §3.2.2 lets the target win; a Host that says something else is a message that two parsers read differently.
    if (present && this.host !== '' && authority.toLowerCase() !== this.host.toLowerCase())
      return 'invalid_host'
    this.host = authority
    return undefined
  }

  /** False where a method that counts its hops does not say how many in plain digits. */
  #readHopsLeft(): boolean {
    const hops = hopsLeftOf(this.method, this.fields.values[SLOT.maxForwards] as string)
    if (hops !== undefined) this.hopsLeft = hops
    return hops !== undefined
  }

  #pathIsSafe(): boolean {
    const normal = normalTarget(this.target)
    if (normal === undefined || (normal !== this.target && this.#path === 'reject')) return false
    this.target = normal
    return true
  }

  /**
   * RFC 9112 §3.2.3, RFC 9110 §9.3.6: host and port, the same as in Host, and nothing that could be a body: what follows
   * the head is the tunnel's, or nobody's.
   */
  #decideTunnel(): ErrorCode | undefined {
    if (!isHostAndPort(this.target)) return 'malformed_target'
    if ((this.fields.seen & FRAMING_BITS) !== 0) return 'ambiguous_framing'
    if (this.host !== '' && this.host.toLowerCase() !== this.target.toLowerCase())
      return 'invalid_host'
    this.host = this.target
    return undefined
  }

  #invalid(error: ErrorCode): number {
    this.error = error
    return INVALID
  }
}

/** Position of the blank behind the method, INCOMPLETE or INVALID. */
function scanMethod(bytes: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && TOKEN[bytes[at] as number] === 1) at++
  if (at - start > MAX_METHOD_BYTES) return INVALID
  if (at >= end) return INCOMPLETE
  return at > start && bytes[at] === SP ? at : INVALID
}

/** Of the two that nearly all calls have, one text for all: it is compared and looked up by its address then. */
function methodOf(head: string, length: number): string {
  if (length === 3 && head.startsWith('GET')) return 'GET'
  if (length === 4 && head.startsWith('POST')) return 'POST'
  return head.slice(0, length)
}

/** Whether `HTTP/` and another major version than 1 stand at `start`. */
function otherVersion(bytes: Buffer, start: number, end: number): boolean {
  return /^HTTP\/[02-9]/.test(bytes.toString('latin1', start, Math.min(end, start + 6)))
}

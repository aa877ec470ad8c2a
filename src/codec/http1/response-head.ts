/** The head of a response: status line (RFC 9112 §4) and fields, read with the same care as a request. */
import { latin1Text } from '../latin1.ts'
import { DEFAULT_CAPS, type Http1Caps } from './caps.ts'
import { CR, FIELD_VALUE, LF, SP } from './characters.ts'
import { type ConnectionOptions, parseConnection } from './connection-options.ts'
import { FieldSection, INCOMPLETE, INVALID } from './field-section.ts'
import { type FieldTable, SLOT } from './field-table.ts'
import {
  BODY_LENGTH,
  BODY_NONE,
  BODY_UNTIL_CLOSE,
  type BodyKind,
  decideFraming,
  type Framing,
} from './framing.ts'

const VERSION = Buffer.from('HTTP/1.', 'latin1')
/** `HTTP/1.1 200` */
const STATUS_END = 12

export class ResponseHead implements Framing {
  status = 0
  reason = ''
  minor = 1
  kind: BodyKind = BODY_NONE
  length = 0
  /** Whether an answer to this request, or with this status, never has a body. */
  bodiless = false
  /** Content-Length as metadata of an answer without body (HEAD, 304), or -1. */
  declaredLength = -1
  connection: ConnectionOptions = parseConnection('')
  lines = ''
  readonly fields: FieldSection
  readonly #caps: Http1Caps

  constructor(table: FieldTable, caps: Http1Caps = DEFAULT_CAPS) {
    this.#caps = caps
    this.fields = new FieldSection(table, caps.fields)
  }

  /**
   * Reads the head that begins at `start`; `bodiless` says that the request was HEAD. Returns the position behind it,
   * INCOMPLETE, or INVALID: the one error of a response is `upstream_malformed`.
   */
  read(bytes: Buffer, start: number, end: number, bodiless: boolean): number {
    if (end - start <= STATUS_END) return INCOMPLETE
    for (let index = 0; index < VERSION.length; index++)
      if (bytes[start + index] !== VERSION[index]) return INVALID
    this.minor = digit(bytes, start + 7)
    if (this.minor < 0 || this.minor > 1 || bytes[start + 8] !== SP) return INVALID
    const hundreds = digit(bytes, start + 9)
    const tens = digit(bytes, start + 10)
    const ones = digit(bytes, start + 11)
    if (hundreds < 1 || hundreds > 5 || tens < 0 || ones < 0) return INVALID
    this.status = hundreds * 100 + tens * 10 + ones
    let at = start + STATUS_END
    // A server may leave out the blank before an empty reason.
    if (bytes[at] !== SP && bytes[at] !== CR) return INVALID
    const limit = Math.min(end, start + this.#caps.headBytes)
    while (at < limit && FIELD_VALUE[bytes[at] as number] === 1) at++
    if (at + 1 >= limit) return limit < end ? INVALID : INCOMPLETE
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return INVALID
    const reasonEnd = at
    at = this.fields.scan(bytes, at + 2, limit)
    if (at === INCOMPLETE) return limit < end ? INVALID : INCOMPLETE
    if (at === INVALID) return INVALID
    const head = latin1Text(bytes, start, at)
    this.reason = head.slice(STATUS_END + 1, Math.max(reasonEnd - start, STATUS_END + 1))
    this.fields.collect(bytes, head, start)
    return this.#interpret(bodiless) ? at : INVALID
  }

  #interpret(bodiless: boolean): boolean {
    const { fields } = this
    const without = bodiless || this.status < 200 || this.status === 204 || this.status === 304
    if (
      decideFraming(fields, this, this.minor, without ? BODY_NONE : BODY_UNTIL_CLOSE) !== undefined
    )
      return false
    this.bodiless = without
    this.declaredLength = -1
    // RFC 9110 §8.6: of 1xx and 204 a length has no meaning.
    if (without && this.status >= 200 && this.status !== 204) {
      if (this.kind === BODY_LENGTH || fields.values[SLOT.contentLength] === '0')
        this.declaredLength = this.length
    }
    this.connection = parseConnection(fields.values[SLOT.connection] as string)
    if (without) {
      if (this.kind !== BODY_NONE && !bodiless && this.status !== 304) {
        // RFC 9110 §8.6, RFC 9112 §6.1: a server must not announce a body here. Who does may send it, and its bytes would
        // be taken for the next head: behind an interim response that is the answer, behind a 204 that of the next call.
        if (this.status < 200) return false
        this.connection = { ...this.connection, close: true, keepAlive: false }
      }
      this.kind = BODY_NONE
      this.length = 0
    }
    this.lines =
      this.connection.named.size === 0 ? fields.lines : fields.linesWithout(this.connection.named)
    return true
  }
}

/** The digit at `at`, or a negative number. */
function digit(bytes: Buffer, at: number): number {
  const value = (bytes[at] as number) - 0x30
  return value > 9 ? -1 : value
}

/** The head of an answer, or of an interim one, in whatever version of HTTP the deployment has sent it. */
import { STATUS_CODES } from 'node:http'
import { SLOT } from '../../codec/http1/field-table.ts'
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  BODY_UNTIL_CLOSE,
  type BodyKind,
} from '../../codec/http1/framing.ts'
import type { ResponseHead } from '../../codec/http1/response-head.ts'
import type { ResponseSection } from '../../codec/http2/response-section.ts'
import type { RateFields } from '../limits/rate-fields.ts'
import { FieldList } from './http2/field-list.ts'
import type { SectionFields } from './http2/section-fields.ts'
import { MessageFields } from './message-fields.ts'

/** Valid while its answer begins: one object takes very many. */
export class CallAnswer {
  status = 0
  /** Of HTTP/2, which has none, the usual one. */
  reason = ''
  kind: BodyKind = BODY_NONE
  /** Bytes of a BODY_LENGTH body. */
  length = 0
  /** Whether an answer to this request, or with this status, never has a body. */
  bodiless = false
  /** Its length as metadata of an answer without body (HEAD, 304), or -1. */
  declaredLength = -1
  /** Names of trailers that are announced, or ''. */
  trailer = ''
  /** Protocol that a 101 changes to, or ''. */
  upgrade = ''
  /** What is handed on as it came. */
  readonly fields = new MessageFields()
  /** What is left of the rate of the tenant's calls, where it has one. */
  rate: RateFields | undefined = undefined
  readonly #list = new FieldList()

  takeHead(head: ResponseHead): void {
    this.status = head.status
    this.reason = head.reason
    this.kind = head.kind
    this.length = head.length
    this.bodiless = head.bodiless
    this.declaredLength = head.declaredLength
    this.trailer = head.fields.values[SLOT.trailer] as string
    this.upgrade =
      head.status === 101 && head.connection.upgrade
        ? (head.fields.values[SLOT.upgrade] as string)
        : ''
    this.fields.setLines(head.lines)
  }

  /** `toHead`: the request was HEAD. `sorter` is for the fields of answers. `endStream`: nothing follows. */
  takeSection(
    section: ResponseSection,
    sorter: SectionFields,
    { toHead, endStream }: { readonly toHead: boolean; readonly endStream: boolean },
  ): void {
    const { status, contentLength } = section
    this.status = status
    this.reason = STATUS_CODES[status] ?? ''
    this.bodiless = toHead || status < 200 || status === 204 || status === 304
    const empty = this.bodiless || endStream || contentLength === 0
    this.kind = empty ? BODY_NONE : contentLength > 0 ? BODY_LENGTH : BODY_CHUNKED
    this.length = empty ? 0 : Math.max(0, contentLength)
    // RFC 9110 §8.6: of 1xx and 204 a length has no meaning.
    const declares = this.bodiless && status >= 200 && status !== 204
    this.declaredLength = declares ? contentLength : -1
    this.upgrade = ''
    this.#list.begin()
    sorter.sort(section.fields, this.#list)
    this.trailer = sorter.values[SLOT.trailer] as string
    this.fields.setList(this.#list.end())
  }

  /** Whether for a client of HTTP/1.`minor` only the end of the connection ends the body. */
  endsByClose(minor: number): boolean {
    return minor === 0 && (this.kind === BODY_CHUNKED || this.kind === BODY_UNTIL_CLOSE)
  }
}

/** Writes the head of an answer for the client. Framing and connection fields are always written anew. */
import { SLOT } from '../../codec/http1/field-table.ts'
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE } from '../../codec/http1/framing.ts'
import type { ResponseHead } from '../../codec/http1/response-head.ts'

export interface DownstreamFraming {
  readonly lines: string
  readonly chunked: boolean
  /** Only the end of the connection ends the body: HTTP/1.0 knows no other way. */
  readonly untilClose: boolean
}

const CHUNKED: DownstreamFraming = {
  lines: 'transfer-encoding: chunked\r\n',
  chunked: true,
  untilClose: false,
}
const UNTIL_CLOSE: DownstreamFraming = { lines: '', chunked: false, untilClose: true }
const NOTHING: DownstreamFraming = { lines: '', chunked: false, untilClose: false }
const EMPTY: DownstreamFraming = {
  lines: 'content-length: 0\r\n',
  chunked: false,
  untilClose: false,
}

/** How the body of `head` is framed for a client of HTTP/1.`minor`. */
export function downstreamFraming(head: ResponseHead, minor: number): DownstreamFraming {
  if (head.kind === BODY_LENGTH)
    return { lines: `content-length: ${head.length}\r\n`, chunked: false, untilClose: false }
  if (head.kind === BODY_NONE) {
    if (head.declaredLength > 0)
      return {
        lines: `content-length: ${head.declaredLength}\r\n`,
        chunked: false,
        untilClose: false,
      }
    if (head.declaredLength === 0) return EMPTY
    return head.bodiless ? NOTHING : EMPTY
  }
  if (minor === 0) return UNTIL_CLOSE
  const trailer = head.fields.values[SLOT.trailer] as string
  if (head.kind !== BODY_CHUNKED || trailer === '') return CHUNKED
  return {
    lines: `transfer-encoding: chunked\r\ntrailer: ${trailer}\r\n`,
    chunked: true,
    untilClose: false,
  }
}

export interface AnswerOptions {
  readonly requestId: string
  readonly keepAlive: boolean
  /** Of the client. */
  readonly minor: number
}

export function responseHeadText(
  head: ResponseHead,
  framing: DownstreamFraming,
  { requestId, keepAlive, minor }: AnswerOptions,
): string {
  const connection = keepAlive
    ? minor === 0
      ? 'connection: keep-alive\r\n'
      : ''
    : 'connection: close\r\n'
  return `HTTP/1.1 ${head.status} ${head.reason}\r\n${head.lines}${framing.lines}${connection}x-request-id: ${requestId}\r\n\r\n`
}

export const LAST_HOP_STATUS = 204

/** To OPTIONS that asks the proxy itself. What a deployment takes besides these is for the deployment to say. */
export function lastHopAnswer(requestId: string, keepAlive: boolean): string {
  return (
    `HTTP/1.1 ${LAST_HOP_STATUS} No Content\r\n` +
    'allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n' +
    `${keepAlive ? '' : 'connection: close\r\n'}x-request-id: ${requestId}\r\n\r\n`
  )
}

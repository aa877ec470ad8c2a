/** Writes answers for a client of HTTP/1.1. Framing and connection fields are always written anew. */
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE } from '../../../codec/http1/framing.ts'
import { flatCopy } from '../../../codec/latin1.ts'
import type { ErrorCode } from '../../../core/errors.ts'
import type { Lender, Outbox } from '../../wire/outbox.ts'
import type { AnswerWriter } from '../answer-writer.ts'
import type { CallAnswer } from '../call-answer.ts'
import type { CallRequest } from '../call-request.ts'
import { type ErrorAnswer, errorText } from '../error-response.ts'
import type { MessageFields } from '../message-fields.ts'
import { BodyWriter } from './body-writer.ts'

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
const MOST_KEPT_LENGTHS = 4_096
/** By bytes. */
const LENGTHS: (DownstreamFraming | undefined)[] = Array.from({ length: MOST_KEPT_LENGTHS })

/** That of small bodies is made once. */
function lengthFraming(bytes: number): DownstreamFraming {
  if (bytes >= MOST_KEPT_LENGTHS) return newLengthFraming(bytes)
  return (LENGTHS[bytes] ??= newLengthFraming(bytes))
}

function newLengthFraming(bytes: number): DownstreamFraming {
  const lines = `content-length: ${bytes}\r\n`
  // A copy: a text made of parts stays a tree in V8, which would be walked with every answer.
  return { lines: flatCopy(lines) ?? lines, chunked: false, untilClose: false }
}

const EMPTY = lengthFraming(0)

/** How the body of `answer` is framed for a client of HTTP/1.`minor`. */
export function downstreamFraming(answer: FramedAnswer, minor: number): DownstreamFraming {
  if (answer.kind === BODY_LENGTH) return lengthFraming(answer.length)
  if (answer.kind === BODY_NONE) {
    if (answer.declaredLength > 0) return lengthFraming(answer.declaredLength)
    if (answer.declaredLength === 0) return EMPTY
    return answer.bodiless ? NOTHING : EMPTY
  }
  if (minor === 0) return UNTIL_CLOSE
  if (answer.kind !== BODY_CHUNKED || answer.trailer === '') return CHUNKED
  return {
    lines: `transfer-encoding: chunked\r\ntrailer: ${answer.trailer}\r\n`,
    chunked: true,
    untilClose: false,
  }
}

type FramedAnswer = Pick<CallAnswer, 'kind' | 'length' | 'declaredLength' | 'bodiless' | 'trailer'>

export const LAST_HOP_STATUS = 204
/** What a deployment takes besides these is for the deployment to say. */
export const LAST_HOP_ALLOW = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

export class Http1AnswerWriter implements AnswerWriter {
  /** HTTP/1.1 has no windows: all is in the outbox at once. */
  readonly heldUp = false
  readonly endsByLength = true
  readonly #outbox: Outbox
  readonly #body = new BodyWriter()

  constructor(outbox: Outbox) {
    this.#outbox = outbox
  }

  /** gRPC is HTTP/2. */
  countMessages(): void {}

  interim(answer: CallAnswer, { version }: CallRequest): void {
    // A client of HTTP/1.0 knows none (RFC 9110 §15.2).
    if (version === 1) this.#outbox.text(`${statusLine(answer)}${answer.fields.lines}\r\n`)
  }

  begin(answer: CallAnswer, { version, requestId }: CallRequest, keepAlive: boolean): void {
    const { chunked, lines } = downstreamFraming(answer, version)
    this.#body.begin(this.#outbox, chunked)
    const connection = keepAlive
      ? version === 0
        ? 'connection: keep-alive\r\n'
        : ''
      : 'connection: close\r\n'
    this.#outbox.text(
      `${statusLine(answer)}${answer.fields.lines}${lines}${connection}${answer.rate?.lines ?? ''}x-request-id: ${requestId}\r\n\r\n`,
    )
  }

  data(bytes: Buffer, start: number, end: number, lender: Lender): void {
    this.#body.data(bytes, start, end, lender)
  }

  lastData(bytes: Buffer, start: number, end: number, lender: Lender): void {
    this.#body.data(bytes, start, end, lender)
  }

  end(trailers: MessageFields): void {
    this.#body.end(trailers)
  }

  refuse(code: ErrorCode, answer: ErrorAnswer): void {
    this.#outbox.text(errorText(code, answer))
  }

  answerAsLastHop({ requestId }: CallRequest, keepAlive: boolean): void {
    this.#outbox.text(
      `HTTP/1.1 ${LAST_HOP_STATUS} No Content\r\nallow: ${LAST_HOP_ALLOW}\r\n` +
        `${keepAlive ? '' : 'connection: close\r\n'}x-request-id: ${requestId}\r\n\r\n`,
    )
  }

  openTunnel(answer: CallAnswer, { requestId }: CallRequest): void {
    this.#body.begin(this.#outbox, false)
    const { upgrade, fields } = answer
    const options = upgrade === '' ? '' : `connection: upgrade\r\nupgrade: ${upgrade}\r\n`
    this.#outbox.text(
      `${statusLine(answer)}${fields.lines}${options}x-request-id: ${requestId}\r\n\r\n`,
    )
  }

  endTunnel(): void {
    this.#outbox.end()
  }
}

interface StatusLine {
  readonly reason: string
  readonly line: string
}

const MAX_STATUS = 599
const MAX_KEPT_REASON = 64
/** The last one of each status: deployments hardly ever give one of them two reasons. */
const STATUS_LINES: (StatusLine | undefined)[] = Array.from({ length: MAX_STATUS + 1 })

function statusLine({ status, reason }: CallAnswer): string {
  const known = STATUS_LINES[status]
  if (known?.reason === reason) return known.line
  const line = `HTTP/1.1 ${status} ${reason}\r\n`
  const kept = reason.length > MAX_KEPT_REASON ? undefined : flatCopy(line)
  if (kept !== undefined) STATUS_LINES[status] = { reason: flatCopy(reason) ?? reason, line: kept }
  return line
}

/** Writes answers for a client of HTTP/2, on its stream. */

import { type GrpcMessageCounter, grpcMessageText } from '../../../codec/grpc.ts'
import { BODY_LENGTH, BODY_NONE } from '../../../codec/http1/framing.ts'
import { fieldName } from '../../../codec/http2/field-name.ts'
import { HeaderField, INDEXED, PLAIN } from '../../../codec/http2/header-field.ts'
import type { ServerSession } from '../../../codec/http2/server-session.ts'
import type { Http2Stream } from '../../../codec/http2/stream.ts'
import { ERRORS, type ErrorCode } from '../../../core/errors.ts'
import type { SessionTransport } from '../../wire/session-transport.ts'
import { StreamOutput, type StreamSender } from '../../wire/stream-output.ts'
import type { AnswerWriter } from '../answer-writer.ts'
import type { CallAnswer } from '../call-answer.ts'
import type { CallRequest } from '../call-request.ts'
import { type ErrorAnswer, errorMessage } from '../error-response.ts'
import { LAST_HOP_ALLOW, LAST_HOP_STATUS } from '../http1/http1-answer.ts'
import { fieldOf, lengthField, type MessageFields, NO_FIELDS } from '../message-fields.ts'
import { WEBSOCKET_ACCEPT } from '../websocket.ts'
import { FieldList } from './field-list.ts'

const REQUEST_ID = fieldName('x-request-id')
const STATUSES: readonly HeaderField[] = Array.from(
  { length: 600 },
  (_, status) => new HeaderField(':status', String(status), INDEXED),
)
/** Of an error as a message of HTTP, those that a call of gRPC gets, too. */
const GRPC_FIELDS: ReadonlySet<string> = new Set([
  'x-request-id',
  'retry-after',
  'ratelimit',
  'ratelimit-policy',
])
const GRPC_CONTENT = new HeaderField('content-type', 'application/grpc', INDEXED)

export class Http2AnswerWriter<Owner> implements AnswerWriter {
  readonly endsByLength = false
  readonly #session: ServerSession<Owner>
  readonly #transport: SessionTransport<Owner>
  readonly #output: StreamOutput<Owner>
  readonly #list = new FieldList()
  #stream!: Http2Stream<Owner>

  constructor(
    session: ServerSession<Owner>,
    transport: SessionTransport<Owner>,
    sender: StreamSender,
  ) {
    this.#session = session
    this.#transport = transport
    this.#output = new StreamOutput(sender)
  }

  /** The answers that follow go out on `stream`. */
  serve(stream: Http2Stream<Owner>): void {
    this.#stream = stream
    this.#output.begin(this.#transport, stream)
  }

  /** Whether the client takes no more for now. */
  get heldUp(): boolean {
    return this.#output.heldUp
  }

  /** Bytes that the client does not take for now. */
  get waiting(): number {
    return this.#output.waiting
  }

  countMessages(messages: GrpcMessageCounter | undefined): void {
    this.#output.messages = messages
  }

  /** The client takes more. */
  resume(): void {
    this.#output.resume()
  }

  /** The stream is over. */
  drop(): void {
    this.#output.drop()
  }

  interim(answer: CallAnswer): void {
    const list = this.#begin(answer.status)
    list.addAll(answer.fields.list)
    this.#session.respond(this.#stream, list.end(), { interim: true, endStream: false })
  }

  begin(answer: CallAnswer, { requestId }: CallRequest): void {
    const { kind, length, declaredLength, trailer, fields, rate } = answer
    const list = this.#begin(answer.status)
    list.addAll(fields.list)
    const octets = kind === BODY_LENGTH ? length : declaredLength
    if (octets >= 0) list.add(lengthField(octets))
    if (trailer !== '') list.add(fieldOf('trailer', trailer))
    if (rate !== undefined) list.addAll(rate.list)
    list.add(new HeaderField(REQUEST_ID, requestId, PLAIN))
    this.#session.respond(this.#stream, list.end(), kind === BODY_NONE ? WHOLE : HEAD)
  }

  #begin(status: number): FieldList {
    const list = this.#list
    list.begin()
    list.add(STATUSES[status] as HeaderField)
    return list
  }

  data(bytes: Buffer, start: number, end: number): void {
    this.#output.write(bytes, start, end, false)
  }

  lastData(bytes: Buffer, start: number, end: number): void {
    this.#output.write(bytes, start, end, true)
  }

  end(trailers: MessageFields): void {
    if (this.#stream.localOpen) this.#output.end(trailers === NO_FIELDS ? NOTHING : trailers.list)
  }

  refuse(code: ErrorCode, answer: ErrorAnswer): void {
    if (answer.grpc) {
      this.#refuseGrpc(code, answer)
      return
    }
    const { status, fields, body } = errorMessage(code, answer)
    const list = this.#begin(status)
    for (const [name, value] of fields) list.add(fieldOf(name, value))
    this.#session.respond(this.#stream, list.end(), body === '' ? WHOLE : HEAD)
    if (body === '') return
    const bytes = Buffer.from(body)
    this.#output.write(bytes, 0, bytes.length, true)
    this.end(NO_FIELDS)
  }

  /** Trailers alone, whose HTTP status says nothing (gRPC over HTTP/2, "Responses"). */
  #refuseGrpc(code: ErrorCode, answer: ErrorAnswer): void {
    const { grpc, title } = ERRORS[code]
    const list = this.#begin(200)
    list.add(GRPC_CONTENT)
    list.add(fieldOf('grpc-status', String(grpc)))
    list.add(fieldOf('grpc-message', grpcMessageText(title)))
    for (const [name, value] of errorMessage(code, answer).fields)
      if (GRPC_FIELDS.has(name)) list.add(fieldOf(name, value))
    this.#session.respond(this.#stream, list.end(), WHOLE)
  }

  answerAsLastHop({ requestId }: CallRequest): void {
    const list = this.#begin(LAST_HOP_STATUS)
    list.add(fieldOf('allow', LAST_HOP_ALLOW))
    list.add(fieldOf('x-request-id', requestId))
    this.#session.respond(this.#stream, list.end(), WHOLE)
  }

  /** There is no 101 in HTTP/2 (RFC 8441 §4), and no key to agree on. */
  openTunnel(answer: CallAnswer, { requestId }: CallRequest): void {
    const list = this.#begin(answer.status === 101 ? 200 : answer.status)
    for (const field of answer.fields.list) if (field.name !== WEBSOCKET_ACCEPT) list.add(field)
    list.add(new HeaderField(REQUEST_ID, requestId, PLAIN))
    this.#session.respond(this.#stream, list.end(), HEAD)
  }

  endTunnel(): void {
    this.end(NO_FIELDS)
  }
}

/** Answers a request that is too large to be looked at, and so is nobody's. */
export function refuseHead<Owner>(session: ServerSession<Owner>, stream: Http2Stream<Owner>): void {
  session.respond(stream, [STATUSES[ERRORS.head_too_large.http] as HeaderField], WHOLE)
}

const NOTHING: readonly HeaderField[] = []
const HEAD = Object.freeze({ endStream: false })
const WHOLE = Object.freeze({ endStream: true })

/**
 * What an exchange has for its client, written in the client's version of HTTP. Nothing leaves before the exchange has
 * counted it and flushes; see `Caller`.
 */
import type { GrpcMessageCounter } from '../../codec/grpc.ts'
import type { ErrorCode } from '../../core/errors.ts'
import type { Lender } from '../wire/outbox.ts'
import type { CallAnswer } from './call-answer.ts'
import type { CallRequest } from './call-request.ts'
import type { ErrorAnswer } from './error-response.ts'
import type { MessageFields } from './message-fields.ts'

export interface AnswerWriter {
  /** Whether something is kept that the client's windows do not let go: `downstreamDrained` follows when it is gone. */
  readonly heldUp: boolean
  /** Whether an answer of a known length is whole for its client with its last octet: HTTP/2 says its end besides. */
  readonly endsByLength: boolean
  /** Where the call is one of gRPC, `messages` gets to see the data of its answer when that is on its way to the client. */
  countMessages(messages: GrpcMessageCounter | undefined): void
  /** A 1xx, which is not the last word. */
  interim(answer: CallAnswer, request: CallRequest): void
  /** The answer begins. `keepAlive`: there may be another call behind it, where that is not a matter of course. */
  begin(answer: CallAnswer, request: CallRequest, keepAlive: boolean): void
  /** `bytes[start, end)` of the body, in the memory of `lender`; never empty. */
  data(bytes: Buffer, start: number, end: number, lender: Lender): void
  /** The same, and it is known to be the last piece; `end` follows all the same, without trailers. */
  lastData(bytes: Buffer, start: number, end: number, lender: Lender): void
  /** The answer is whole. */
  end(trailers: MessageFields): void
  /** An answer of the proxy's own, whole. */
  refuse(code: ErrorCode, answer: ErrorAnswer): void
  /** The whole answer to an OPTIONS that asks the proxy itself. */
  answerAsLastHop(request: CallRequest, keepAlive: boolean): void
  /** The answer by which the call becomes a tunnel: `data` is what it carries from here on. */
  openTunnel(answer: CallAnswer, request: CallRequest): void
  /** The deployment will send no more through the tunnel. */
  endTunnel(): void
}

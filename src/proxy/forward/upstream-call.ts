/** The deployment's side of one call, in the deployment's version of HTTP. */
import type { ErrorCode } from '../../core/errors.ts'
import type { Endpoint } from '../pool/endpoint.ts'
import type { Lender } from '../wire/outbox.ts'
import type { AnswerWriter } from './answer-writer.ts'
import type { CallAnswer } from './call-answer.ts'
import type { CallRequest } from './call-request.ts'
import type { MessageFields } from './message-fields.ts'

export interface UpstreamCall {
  readonly endpoint: Endpoint
  readonly connected: boolean
  /** Bytes of the request that the deployment does not take for now. */
  readonly waitingBytes: number
  /** Whether it may be refused unseen after it has begun, so that it is worth keeping what was sent. */
  readonly mayRefuse: boolean
  /** Whether the deployment may never have seen the call: the connection had rested, and nothing of an answer has come. */
  readonly stale: boolean
  /** Whether it can carry such a call, which may become a tunnel; asked once connected. */
  accepts(request: CallRequest): boolean
  /** Sends the head, once connected. */
  begin(request: CallRequest, tenant: string): void
  /** `bytes[start, end)` of the body, in the memory of `lender`; never empty. */
  data(bytes: Buffer, start: number, end: number, lender: Lender): void
  /** The same, and it is known to be the last piece; `end` follows all the same, without trailers. */
  lastData(bytes: Buffer, start: number, end: number, lender: Lender): void
  /** The request is whole. */
  end(trailers: MessageFields): void
  /** Nothing more goes through what has become a tunnel. */
  endTunnel(): void
  /** Hands on what was given; false where there should be no more until `upstreamDrained`. */
  flush(): boolean
  /** Stops and goes on reading the answer. */
  pause(): void
  resume(): void
  /** The answer is held to a bandwidth. */
  staySmall(): void
  /** The deployment ends the connection: whether that is the end of the answer. */
  endByClose(): boolean
  /** The deployment cannot go on, as `code` says: whether all that it has left out is the end that nobody waits for. */
  endUnsaid(code: ErrorCode): boolean
  /** The call is over. `whole`: both messages are; else the deployment must not take what it has for the whole. */
  letGo(whole: boolean): void
  /** Its connection is gone, or its stream. */
  closed(): void
  /** The call failed with `code`, with or without the begin of an answer. */
  blame(code: ErrorCode, answered: boolean): void
}

/** The call that is answered. Answers are valid during the call alone. */
export interface AnsweredCall {
  /** An interim answer. */
  answerInterim(answer: CallAnswer): void
  answerBegins(answer: CallAnswer): void
  /** Where the data of the answer goes. */
  readonly answer: AnswerWriter
  /** The deployment makes a tunnel of the call; false where nobody has asked for that. */
  answerSwitches(answer: CallAnswer): boolean
}

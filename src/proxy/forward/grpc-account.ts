/**
 * What the books of a gRPC call have besides those of every call: how it ended by its own status, and its messages. One
 * object takes many calls, one after the other.
 */
import { GrpcMessageCounter, grpcStatusOf } from '../../codec/grpc.ts'
import type { UsageMeter, UsageRow } from '../metering/usage-meter.ts'
import type { MessageFields } from './message-fields.ts'

const GRPC_STATUS = 'grpc-status'

export class GrpcAccount {
  /** OK until something else is known: trailers say it, and a long answer counts before they come. */
  status = 0
  readonly requests = new GrpcMessageCounter()
  readonly answers = new GrpcMessageCounter()
  /** Whether the deployment has said the status, or the proxy in its place. */
  #known = false
  #countedRequests = 0
  #countedAnswers = 0

  begin(): this {
    this.status = 0
    this.requests.reset()
    this.answers.reset()
    this.#known = false
    this.#countedRequests = 0
    this.#countedAnswers = 0
    return this
  }

  /** The head of an answer that is trailers alone says the status. */
  answerBegins(head: MessageFields): void {
    const value = head.valueOf(GRPC_STATUS)
    if (value !== '') this.endsWith(grpcStatusOf(value))
  }

  /** The trailers of all others do; where neither has said it, it is unknown. */
  answerEnds(trailers: MessageFields): void {
    const value = trailers.valueOf(GRPC_STATUS)
    if (value !== '' || !this.#known) this.endsWith(grpcStatusOf(value))
  }

  endsWith(status: number): void {
    this.status = status
    this.#known = true
  }

  /** What has passed since the last time counts under `row`. */
  count(meter: UsageMeter, row: UsageRow): void {
    const requests = this.requests.count - this.#countedRequests
    const answers = this.answers.count - this.#countedAnswers
    if (requests === 0 && answers === 0) return
    meter.messages(row, requests, answers)
    this.#countedRequests += requests
    this.#countedAnswers += answers
  }
}

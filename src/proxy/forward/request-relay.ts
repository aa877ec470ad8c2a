/**
 * The body of one request on its way to the deployment, or to nowhere where the call was refused. Of HTTP/1.1 it is read
 * out of its framing here; of HTTP/2 it comes as data already.
 */
import { BodyReader, type BodySink } from '../../codec/http1/body.ts'
import { BODY_LENGTH, BODY_NONE } from '../../codec/http1/framing.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { type Lender, OWN_MEMORY } from '../wire/outbox.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { CallRequest } from './call-request.ts'
import { MessageFields, NO_FIELDS } from './message-fields.ts'
import type { UpstreamCall } from './upstream-call.ts'

export class RequestRelay {
  /** Whether all of it has come. */
  done = true
  /** Bytes of the message that were read behind the head; of HTTP/2, of data. */
  bytes = 0
  readonly #body: BodyReader
  readonly #trailers = new MessageFields()
  /** Bytes that are announced, or -1. */
  #announced = -1
  #to: UpstreamCall | undefined
  #lender: Lender = OWN_MEMORY

  constructor({ fields, caps }: WorkerContext) {
    this.#body = new BodyReader(fields.request, caps)
  }

  begin({ kind, length, version }: CallRequest): void {
    this.bytes = 0
    this.done = kind === BODY_NONE
    this.#announced = kind === BODY_LENGTH ? length : -1
    if (version < 2) this.#body.begin(kind, length)
  }

  /** Set once the body is broken. */
  get error(): ErrorCode | undefined {
    return this.#body.error
  }

  /** Bytes of data that are announced and still to come, or -1 where nobody knows. */
  get remaining(): number {
    if (this.done) return 0
    return this.#announced < 0 ? -1 : this.#announced - this.bytes
  }

  /** Whether the rest is known to be longer than `limit`. */
  declaresMoreThan(limit: number): boolean {
    return this.remaining > limit
  }

  /** Where what is read next goes, nowhere without `to`, and whose memory it is in. */
  aim(to: UpstreamCall | undefined, lender: Lender): void {
    this.#to = to
    this.#lender = lender
  }

  /**
   * Passes on what `bytes[start, end)` of HTTP/1.1 has of the body. Returns the number of bytes used; fewer only at the end
   * of the body or an `error`.
   */
  read(bytes: Buffer, start: number, end: number): number {
    const body = this.#body
    const used = body.read(bytes, start, end, this.#sink) - start
    this.bytes += used
    this.done = body.done
    if (body.done) {
      this.#trailers.setLines(body.trailers)
      this.#to?.end(this.#trailers)
    }
    return used
  }

  readonly #sink: BodySink = {
    bodyData: (bytes, start, end) => {
      if (this.#body.done) this.#to?.lastData(bytes, start, end, this.#lender)
      else this.#to?.data(bytes, start, end, this.#lender)
    },
  }

  /** Passes on data of HTTP/2; `last`: there is no more. */
  take(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.bytes += end - start
    this.done = last
    if (end > start) {
      if (last) this.#to?.lastData(bytes, start, end, this.#lender)
      else this.#to?.data(bytes, start, end, this.#lender)
    }
    if (last) this.#to?.end(NO_FIELDS)
  }

  /** All data of HTTP/2 has come, and then these. */
  finish(trailers: MessageFields): void {
    this.done = true
    this.#to?.end(trailers)
  }
}

/**
 * The body of one request on its way to the deployment, or to nowhere where the call was refused. Of HTTP/1.1 it is read
 * out of its framing here; of HTTP/2 it comes as data already.
 */
import { Gathered } from '../../codec/gathered.ts'
import { BodyReader, type BodySink } from '../../codec/http1/body.ts'
import { BODY_LENGTH, BODY_NONE } from '../../codec/http1/framing.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { type Lender, OWN_MEMORY } from '../wire/outbox.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { CallRequest } from './call-request.ts'
import { MessageFields, NO_FIELDS } from './message-fields.ts'
import type { UpstreamCall } from './upstream-call.ts'

/** What is kept of a body for a deployment that refuses the call unseen: a message of gRPC, or a form. */
const MAX_KEPT_BYTES = 16 * 1024

export class RequestRelay {
  /** Whether all of it has come. */
  done = true
  /** Bytes of the message that were read behind the head; of HTTP/2, of data. */
  bytes = 0
  readonly #body: BodyReader
  readonly #trailers = new MessageFields()
  /** Bytes that are announced, or -1. */
  #announced = -1
  /** The beginning of what was passed on, or all of it; see `repeatable`. */
  #kept: Gathered | undefined
  #keptAll = true
  /** The trailers with which the end was passed on. */
  #endedWith: MessageFields | undefined
  #to: UpstreamCall | undefined
  #lender: Lender = OWN_MEMORY

  constructor({ fields, caps }: WorkerContext) {
    this.#body = new BodyReader(fields.request, caps)
  }

  begin({ kind, length, version }: CallRequest): void {
    this.bytes = 0
    this.done = kind === BODY_NONE
    this.#announced = kind === BODY_LENGTH ? length : -1
    this.#kept = undefined
    this.#keptAll = true
    this.#endedWith = undefined
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
      this.#end(this.#trailers)
    }
    return used
  }

  readonly #sink: BodySink = {
    bodyData: (bytes, start, end) => this.#pass(bytes, start, end, this.#body.done),
  }

  /** Passes on data of HTTP/2; `last`: there is no more. */
  take(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.bytes += end - start
    this.done = last
    if (end > start) this.#pass(bytes, start, end, last)
    if (last) this.#end(NO_FIELDS)
  }

  /** All data of HTTP/2 has come, and then these. */
  finish(trailers: MessageFields): void {
    this.done = true
    this.#end(trailers)
  }

  #pass(bytes: Buffer, start: number, end: number, last: boolean): void {
    const to = this.#to
    if (to === undefined) return
    if (to.mayRefuse && this.#keptAll) this.#keep(bytes, start, end)
    if (last) to.lastData(bytes, start, end, this.#lender)
    else to.data(bytes, start, end, this.#lender)
  }

  #end(trailers: MessageFields): void {
    this.#endedWith = trailers
    this.#to?.end(trailers)
  }

  // === a second try

  #keep(bytes: Buffer, start: number, end: number): void {
    this.#kept ??= new Gathered()
    if (this.#kept.length + end - start > MAX_KEPT_BYTES) this.forget()
    else this.#kept.add(Buffer.from(bytes.subarray(start, end)))
  }

  /** Whether all that was passed on can be passed on again. */
  get repeatable(): boolean {
    return this.#keptAll
  }

  /** Nobody will want it a second time. */
  forget(): void {
    this.#kept = undefined
    this.#keptAll = false
  }

  /** Passes on to another deployment what the former was given; nothing where that is the first. */
  repeat(to: UpstreamCall): void {
    const kept = this.#kept
    if (kept !== undefined) to.data(kept.bytes, 0, kept.length, OWN_MEMORY)
    if (this.#endedWith !== undefined) to.end(this.#endedWith)
  }
}

/** The body of one request on its way to the deployment, or to nowhere where the call was refused. */
import { BodyReader, type BodySink } from '../../codec/http1/body.ts'
import { chunkEnd, chunkHead } from '../../codec/http1/chunked.ts'
import { BODY_CHUNKED, BODY_LENGTH } from '../../codec/http1/framing.ts'
import type { RequestHead } from '../../codec/http1/request-head.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { type Lender, type Outbox, OWN_MEMORY } from '../wire/outbox.ts'
import type { WorkerContext } from '../worker/context.ts'

export class RequestRelay {
  /** Bytes of the message that were read behind the head. */
  bytes = 0
  readonly #body: BodyReader
  #to: Outbox | undefined
  #lender: Lender = OWN_MEMORY

  constructor({ fields, caps }: WorkerContext) {
    this.#body = new BodyReader(fields.request, caps)
  }

  begin({ kind, length }: RequestHead): void {
    this.bytes = 0
    this.#body.begin(kind, length)
  }

  get done(): boolean {
    return this.#body.done
  }

  /** Set once the body is broken. */
  get error(): ErrorCode | undefined {
    return this.#body.error
  }

  /** Bytes of data that are still to come, or -1 where nobody knows. */
  get remaining(): number {
    return this.#body.remaining
  }

  /** Whether the rest is known to be longer than `limit`. */
  declaresMoreThan(limit: number): boolean {
    return this.#body.kind === BODY_LENGTH && !this.done && this.remaining > limit
  }

  /** Where what is read next goes, nowhere without `to`, and whose memory it is in. */
  aim(to: Outbox | undefined, lender: Lender): void {
    this.#to = to
    this.#lender = lender
  }

  /**
   * Passes `bytes[start, end)` on, in chunks where it came in chunks. Returns the number of bytes used; fewer only at the
   * end of the body or an `error`.
   */
  read(bytes: Buffer, start: number, end: number): number {
    const body = this.#body
    const used = body.read(bytes, start, end, this.#sink) - start
    this.bytes += used
    if (body.done && body.kind === BODY_CHUNKED) this.#to?.text(chunkEnd(body.trailers))
    return used
  }

  readonly #sink: BodySink = {
    bodyData: (bytes, start, end) => {
      const to = this.#to
      if (to === undefined) return
      const chunked = this.#body.kind === BODY_CHUNKED
      if (chunked) to.text(chunkHead(end - start))
      to.bytes(bytes, start, end, this.#lender)
      if (chunked) to.text('\r\n')
    },
  }
}

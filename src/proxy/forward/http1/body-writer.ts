/** Writes the body of one HTTP/1.1 message after the other, in chunks where its head says so (RFC 9112 §7.1). */
import { chunkEnd, chunkHead } from '../../../codec/http1/chunked.ts'
import type { Lender, Outbox } from '../../wire/outbox.ts'
import type { MessageFields } from '../message-fields.ts'

export class BodyWriter {
  #outbox!: Outbox
  #chunked = false

  /** The head is written; the body of a tunnel has no framing either. */
  begin(outbox: Outbox, chunked: boolean): void {
    this.#outbox = outbox
    this.#chunked = chunked
  }

  /** `bytes[start, end)`, in the memory of `lender`; never empty. */
  data(bytes: Buffer, start: number, end: number, lender: Lender): void {
    const outbox = this.#outbox
    if (this.#chunked) outbox.text(chunkHead(end - start))
    outbox.bytes(bytes, start, end, lender)
    if (this.#chunked) outbox.text('\r\n')
  }

  /** May be said more than once. */
  end(trailers: MessageFields): void {
    if (this.#chunked) this.#outbox.text(chunkEnd(trailers.lines))
    this.#chunked = false
  }
}

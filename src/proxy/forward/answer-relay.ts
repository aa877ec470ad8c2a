/**
 * The answer of one call: read from the deployment with the same care as a request, and written for the client with
 * framing of our own. What it means for the call and its connections is decided by the exchange.
 */
import { BodyReader, type BodySink } from '../../codec/http1/body.ts'
import { chunkEnd, chunkHead } from '../../codec/http1/chunked.ts'
import { INCOMPLETE, INVALID } from '../../codec/http1/field-section.ts'
import { BODY_UNTIL_CLOSE } from '../../codec/http1/framing.ts'
import type { ResponseHead } from '../../codec/http1/response-head.ts'
import type { Lender, Outbox } from '../wire/outbox.ts'
import { OWN_MEMORY } from '../wire/outbox.ts'
import type { WorkerContext } from '../worker/context.ts'
import { opensTunnel } from './protocol-switch.ts'
import type { RequestWriter } from './request-writer.ts'
import { downstreamFraming, responseHeadText } from './response-writer.ts'

/** How far one `read` came. */
export const ANSWER_MORE = 0
export const ANSWER_DONE = 1
/** The head was a 101, or a 2xx to CONNECT, that the call accepted: what follows is not HTTP/1.1. */
export const ANSWER_SWITCHED = 2
export const ANSWER_MALFORMED = 3

/** The call that is answered. Heads are valid during the call alone. */
export interface AnsweredCall {
  /** An interim answer is passed on. */
  answerInterim(status: number): void
  /** The answer begins; returns whether the client's connection is kept. `untilClose`: only its end ends the body. */
  answerBegins(status: number, untilClose: boolean): boolean
  /** The deployment makes a tunnel of the connection; false where nobody has asked for that. */
  answerSwitches(head: ResponseHead): boolean
}

const EMPTY = Buffer.alloc(0)

export class AnswerRelay {
  /** Whether the head is on its way: from then on the client can be told nothing else. */
  begun = false
  done = false
  /** Whether the deployment's connection can serve another call, by what the head says. */
  reusable = false
  /** What the last `read` used is `input[0, position)`; behind it, up to `end`, is what it did not look at. */
  input: Buffer = EMPTY
  position = 0
  end = 0
  readonly #context: WorkerContext
  /** To the client that is served; set by `serve`, before anything else. */
  #outbox!: Outbox
  readonly #request: RequestWriter
  readonly #call: AnsweredCall
  readonly #body: BodyReader
  #chunked = false
  #switched = false
  /** Bytes of an unfinished head. */
  #partial: Buffer | undefined
  #lender: Lender = OWN_MEMORY

  constructor(context: WorkerContext, request: RequestWriter, call: AnsweredCall) {
    this.#context = context
    this.#request = request
    this.#call = call
    this.#body = new BodyReader(context.fields.response, context.caps)
  }

  /** The answers that follow go there. */
  serve(outbox: Outbox): void {
    this.#outbox = outbox
  }

  /** The next call begins. */
  reset(): void {
    this.begun = false
    this.done = false
    this.reusable = false
    this.#chunked = false
    this.#switched = false
    this.#partial = undefined
  }

  /** Whether nothing of an answer has come. */
  get untouched(): boolean {
    return !this.begun && this.#partial === undefined
  }

  /** Reads on with `bytes[0, length)`, which are memory of `lender`. */
  read(bytes: Buffer, length: number, lender: Lender): number {
    this.input = bytes
    this.end = length
    this.position = 0
    this.#lender = lender
    if (this.#partial !== undefined) this.#prepend(this.#partial)
    while (this.position < this.end && !this.done) {
      const next = this.begun ? this.#readBody() : this.#readHead()
      if (next < 0) return ANSWER_MALFORMED
      if (next === this.position) break
      this.position = next
      if (this.#switched) return ANSWER_SWITCHED
    }
    return this.done ? ANSWER_DONE : ANSWER_MORE
  }

  #prepend(partial: Buffer): void {
    this.input = Buffer.concat([partial, this.input.subarray(0, this.end)])
    this.end = this.input.length
    this.#lender = OWN_MEMORY
    this.#partial = undefined
  }

  /** Position behind the head, the same position where more is needed, or a negative number. */
  #readHead(): number {
    const head = this.#context.responseHead
    const next = head.read(this.input, this.position, this.end, this.#request.method === 'HEAD')
    if (next === INCOMPLETE) {
      this.#partial = Buffer.from(this.input.subarray(this.position, this.end))
      return this.position
    }
    return next !== INVALID && this.#acceptHead(head) ? next : -1
  }

  #acceptHead(head: ResponseHead): boolean {
    if (opensTunnel(this.#request.method, head.status)) {
      this.#switched = this.#call.answerSwitches(head)
      return this.#switched
    }
    if (head.status < 200) {
      this.#call.answerInterim(head.status)
      // A client of HTTP/1.0 knows none (RFC 9110 §15.2).
      if (this.#request.minor === 1)
        this.#outbox.text(`HTTP/1.1 ${head.status} ${head.reason}\r\n${head.lines}\r\n`)
      return true
    }
    const { minor, requestId } = this.#request
    const framing = downstreamFraming(head, minor)
    this.begun = true
    this.#body.begin(head.kind, head.length)
    this.done = this.#body.done
    this.reusable =
      head.kind !== BODY_UNTIL_CLOSE &&
      (head.minor === 1 ? !head.connection.close : head.connection.keepAlive)
    this.#chunked = framing.chunked
    const keepAlive = this.#call.answerBegins(head.status, framing.untilClose)
    this.#outbox.text(responseHeadText(head, framing, { requestId, keepAlive, minor }))
    return true
  }

  #readBody(): number {
    const body = this.#body
    const next = body.read(this.input, this.position, this.end, this.#toDownstream)
    if (body.error !== undefined) return -1
    this.done = body.done
    return next
  }

  readonly #toDownstream: BodySink = {
    bodyData: (bytes, start, end) => {
      const outbox = this.#outbox
      if (this.#chunked) outbox.text(chunkHead(end - start))
      outbox.bytes(bytes, start, end, this.#lender)
      if (this.#chunked) outbox.text('\r\n')
    },
  }

  /** The deployment ends its connection: true where that is the end of the body, too. */
  endByClose(): boolean {
    if (!this.begun || this.done || !this.#body.mayClose) return false
    this.done = true
    return true
  }

  /** Writes what stands behind the body. */
  writeEnd(): void {
    if (this.#chunked) this.#outbox.text(chunkEnd(this.#body.trailers))
  }
}

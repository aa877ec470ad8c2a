/**
 * The body that goes out on one stream of HTTP/2: what the windows and the socket do not take is kept, in order, until they
 * do. Whoever makes the data rests meanwhile, so that no more is kept than came at once.
 */
import type { GrpcMessageCounter } from '../../codec/grpc.ts'
import type { HeaderField } from '../../codec/http2/header-field.ts'
import type { Http2Stream } from '../../codec/http2/stream.ts'
import type { SessionTransport } from './session-transport.ts'

/** Whose stream it is. */
export interface StreamSender {
  /** Some of what was kept has been taken; it leaves at the end of the turn. */
  streamSent(): void
  /** All that was kept has been taken. */
  streamDrained(): void
}

/** Urgencies are 0 to 7; numbers of streams stay below it. */
const URGENCY_STEP = 2 ** 31

export class StreamOutput<Owner> {
  /** Of a gRPC call: sees what is taken of the data. */
  messages: GrpcMessageCounter | undefined
  readonly #sender: StreamSender
  #transport!: SessionTransport<Owner>
  #stream!: Http2Stream<Owner>
  #kept: Buffer[] = []
  #ended = false
  #trailers: readonly HeaderField[] = []

  constructor(sender: StreamSender) {
    this.#sender = sender
  }

  begin(transport: SessionTransport<Owner>, stream: Http2Stream<Owner>): void {
    this.#transport = transport
    this.#stream = stream
    this.#kept.length = 0
    this.#ended = false
  }

  /** Whether something is kept. */
  get heldUp(): boolean {
    return this.#kept.length > 0
  }

  /** By which streams of a session take turns: urgency, then number. */
  get order(): number {
    const { urgency, id } = this.#stream
    return urgency * URGENCY_STEP + id
  }

  /** `last`: nothing comes behind it, but `end` without trailers. */
  write(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (this.heldUp || this.#transport.full) {
      this.#keep(bytes, start, end)
      return
    }
    const { session } = this.#transport
    const taken = session.send(this.#stream, bytes, { start, end, endStream: last })
    this.messages?.pass(bytes, start, start + taken)
    if (taken < end - start && this.#stream.localOpen) this.#keep(bytes, start + taken, end)
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    this.#kept.push(Buffer.from(bytes.subarray(start, end)))
    if (this.#transport.full) this.#transport.hold(this)
  }

  end(trailers: readonly HeaderField[]): void {
    if (this.heldUp) {
      this.#ended = true
      this.#trailers = trailers.length === 0 ? trailers : [...trailers]
    } else this.#finish(trailers)
  }

  #finish(trailers: readonly HeaderField[]): void {
    const { session } = this.#transport
    if (trailers.length > 0) session.sendTrailers(this.#stream, trailers)
    else session.end(this.#stream)
  }

  /** There may be room again. */
  resume(): void {
    if (!this.heldUp) return
    while (this.heldUp && this.#sendFirst());
    if (!this.heldUp && this.#ended) this.#finish(this.#trailers)
    this.#sender.streamSent()
    if (!this.heldUp) this.#sender.streamDrained()
  }

  /** Whether all of the first piece that is kept was taken. */
  #sendFirst(): boolean {
    if (this.#transport.full) {
      this.#transport.hold(this)
      return false
    }
    const piece = this.#kept[0] as Buffer
    const last = this.#kept.length === 1 && this.#ended && this.#trailers.length === 0
    const { session } = this.#transport
    const whole = { start: 0, end: piece.length, endStream: last }
    const taken = session.send(this.#stream, piece, whole)
    this.messages?.pass(piece, 0, taken)
    if (taken < piece.length) this.#kept[0] = piece.subarray(taken)
    else this.#kept.shift()
    return taken === piece.length
  }

  /** The stream is over. */
  drop(): void {
    this.#kept.length = 0
    this.#transport.release(this)
  }
}

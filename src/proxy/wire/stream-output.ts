/**
 * The body that goes out on one stream of HTTP/2: what the windows and the socket do not take is kept, in order, until they
 * do. Whoever makes the data rests meanwhile, so that no more is kept than came at once.
 */
import { Gathered } from '../../codec/gathered.ts'
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

export class StreamOutput<Owner> {
  /** Of a gRPC call: sees what is taken of the data. */
  messages: GrpcMessageCounter | undefined
  readonly #sender: StreamSender
  #transport!: SessionTransport<Owner>
  #stream!: Http2Stream<Owner>
  /** What waits is `#kept` from `#from` on. */
  #kept: Gathered | undefined
  #from = 0
  #ended = false
  #trailers: readonly HeaderField[] = []

  constructor(sender: StreamSender) {
    this.#sender = sender
  }

  begin(transport: SessionTransport<Owner>, stream: Http2Stream<Owner>): void {
    this.#transport = transport
    this.#stream = stream
    this.#kept = undefined
    this.#ended = false
  }

  /** Whether something is kept. */
  get heldUp(): boolean {
    return this.#kept !== undefined
  }

  /** Bytes that are kept. */
  get waiting(): number {
    return this.#kept?.length ?? 0
  }

  get stream(): Http2Stream<Owner> {
    return this.#stream
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
    if (this.#kept === undefined) {
      this.#kept = new Gathered()
      this.#from = 0
    }
    // In one piece: many small ones would take a multiple of the memory.
    this.#kept.add(Buffer.from(bytes.subarray(start, end)))
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
    const kept = this.#kept
    if (kept === undefined) return
    if (this.#transport.full) {
      this.#transport.hold(this)
      return
    }
    const { session } = this.#transport
    const last = this.#ended && this.#trailers.length === 0
    const { bytes } = kept
    const rest = { start: this.#from, end: kept.length, endStream: last }
    const taken = session.send(this.#stream, bytes, rest)
    this.messages?.pass(bytes, this.#from, this.#from + taken)
    this.#from += taken
    if (this.#from === kept.length) {
      this.#kept = undefined
      if (this.#ended) this.#finish(this.#trailers)
    }
    this.#sender.streamSent()
    if (!this.heldUp) this.#sender.streamDrained()
  }

  /** The stream is over. */
  drop(): void {
    this.#kept = undefined
    this.#transport.release(this)
  }
}

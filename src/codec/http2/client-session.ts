/** The end of HTTP/2 that asks (RFC 9113). */
import { ENHANCE_YOUR_CALM, NO_ERROR, PROTOCOL_ERROR, STREAM_CLOSED } from './frame.ts'
import type { HeaderField } from './header-field.ts'
import { isTrailerSection } from './request-section.ts'
import { ResponseSection } from './response-section.ts'
import { Http2Session } from './session.ts'
import { DEFAULT_SESSION, type SessionEvents, type SessionOptions } from './session-options.ts'
import { ENABLE_PUSH } from './settings.ts'
import type { Http2Stream } from './stream.ts'

export interface ClientEvents<Owner> extends SessionEvents<Owner> {
  /** An answer, in part (1xx) or for good, and with `endStream` all of it; `response` is valid during the call. */
  response(stream: Http2Stream<Owner>, response: ResponseSection, endStream: boolean): void
}

/** Octets of DATA that the answer says there are, -1 where it does not; some never have any (RFC 9110 §6.4.1). */
function bodyOctets(bodiless: boolean): number {
  const { status, contentLength } = RESPONSE
  return bodiless || status === 204 || status === 304 ? 0 : contentLength
}

const RESPONSE = new ResponseSection()
/** Numbers of streams are used up; a connection is replaced before. */
const LAST_STREAM = 2 ** 31 - 1

export class ClientSession<Owner> extends Http2Session<Owner> {
  declare protected readonly events: ClientEvents<Owner>
  #next = 1
  /** The server takes no more streams. */
  closing = false

  constructor(events: ClientEvents<Owner>, now: number, options: SessionOptions = DEFAULT_SESSION) {
    super(events, options, now, 'server')
    this.writer.preface()
    this.greet([[ENABLE_PUSH, 0]])
  }

  /** Whether another stream may begin now. */
  get open(): boolean {
    return (
      !this.over &&
      !this.closing &&
      this.#next < LAST_STREAM &&
      this.streams.size < this.remote.maxConcurrentStreams
    )
  }

  /** Begins a stream; only while `open`. */
  request(owner: Owner, fields: readonly HeaderField[], endStream: boolean): Http2Stream<Owner> {
    if (!this.open) throw new Error('no stream can begin')
    const stream = this.createStream(this.#next)
    this.#next += 2
    stream.owner = owner
    stream.headersSent = true
    stream.sent += this.writer.headers(stream.id, fields, endStream)
    if (endStream) this.closeLocal(stream)
    return stream
  }

  /** A polite end, once no stream is left. */
  leave(): void {
    if (this.over) return
    this.closing = true
    this.writer.goaway(0, NO_ERROR)
  }

  /** Ends the streams that the server has not looked at, by its GOAWAY, and says which they are. */
  refusedAbove(lastStreamId: number): Http2Stream<Owner>[] {
    this.closing = true
    const refused = this.streams.all().filter(({ id }) => id > lastStreamId)
    for (const stream of refused) this.dropStream(stream)
    return refused
  }

  /** The answer to this request never has a body (HEAD): its length says nothing. */
  expectNoBody(stream: Http2Stream<Owner>): void {
    stream.bodiless = true
  }

  /** The request is CONNECT, plain or extended: an answer 2xx makes a tunnel of the stream. */
  expectTunnel(stream: Http2Stream<Owner>): void {
    stream.connects = true
  }

  protected isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId >= this.#next
  }

  protected section(stream: Http2Stream<Owner> | undefined): void {
    if (stream === undefined) {
      const { streamId } = this.reader
      if (this.isIdle(streamId)) this.fail(PROTOCOL_ERROR, 'headers of a stream that never was')
      else if (this.streams.closed.mayBeOnItsWay(streamId)) this.spendFrame()
      else this.fail(STREAM_CLOSED, 'headers of a stream that is over')
      return
    }
    if (!stream.remoteOpen) this.faultyStream(stream, STREAM_CLOSED)
    else if (this.decoder.tooLarge) this.faultyStream(stream, ENHANCE_YOUR_CALM)
    else if (stream.headersReceived) this.#trailers(stream)
    else this.#response(stream)
  }

  #response(stream: Http2Stream<Owner>): void {
    const { endsStream } = this.reader
    const valid = RESPONSE.read(this.decoder.fields)
    const interim = valid && RESPONSE.status < 200
    if (valid && !interim) {
      stream.headersReceived = true
      stream.tunnel = stream.connects && RESPONSE.status < 300
      stream.expected = stream.tunnel ? -1 : bodyOctets(stream.bodiless)
    }
    if (!valid || (endsStream && (interim || stream.expected > 0))) {
      this.faultyStream(stream, PROTOCOL_ERROR)
      return
    }
    // There may be any number of them before the answer, and none brings it nearer.
    if (interim && !this.spendFrame()) return
    this.events.response(stream, RESPONSE, endsStream)
    if (endsStream) this.closeRemote(stream)
  }

  #trailers(stream: Http2Stream<Owner>): void {
    const { fields } = this.decoder
    if (
      stream.tunnel ||
      !this.reader.endsStream ||
      stream.expected > 0 ||
      !isTrailerSection(fields)
    ) {
      this.faultyStream(stream, PROTOCOL_ERROR)
      return
    }
    this.events.trailers(stream, fields)
    this.closeRemote(stream)
  }

  protected prioritize(): void {
    this.fail(PROTOCOL_ERROR, 'a server gives no priorities')
  }
}

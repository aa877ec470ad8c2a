/** The end of HTTP/2 that is asked (RFC 9113). */
import {
  ENHANCE_YOUR_CALM,
  MAX_WINDOW,
  NO_ERROR,
  PROTOCOL_ERROR,
  REFUSED_STREAM,
  STREAM_CLOSED,
} from './frame.ts'
import { CLIENT_PREFACE } from './frame-writer.ts'
import type { HeaderField } from './header-field.ts'
import { type Priority, parsePriority } from './priority.ts'
import { isTrailerSection, RequestSection } from './request-section.ts'
import { Http2Session } from './session.ts'
import { DEFAULT_SESSION, type SessionEvents, type SessionOptions } from './session-options.ts'
import { ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES } from './settings.ts'
import type { Http2Stream } from './stream.ts'

export interface ServerEvents<Owner> extends SessionEvents<Owner> {
  /**
   * A request begins, and with `endStream` that is all of it. `request` is valid during the call. Where the section was
   * larger than allowed, `request` is undefined: the answer is 431.
   */
  request(stream: Http2Stream<Owner>, request: RequestSection | undefined, endStream: boolean): void
  /** A request that is malformed; its stream is reset after the call. */
  malformed(request: RequestSection): void
}

/** Shared: what it says is read during the event. */
const REQUEST = new RequestSection()
const MAX_PRIORITIES = 100

export class ServerSession<Owner> extends Http2Session<Owner> {
  declare protected readonly events: ServerEvents<Owner>
  #preface = 0
  /** The highest stream that was ignored; what follows for it was on its way. */
  #lastIgnored = 0
  /** Priorities of streams that are still to come (RFC 9218 §7.1). */
  #priorities: Map<number, Priority> | undefined = undefined

  constructor(events: ServerEvents<Owner>, now: number, options: SessionOptions = DEFAULT_SESSION) {
    super(events, options, now, 'client')
    this.greet([
      [ENABLE_CONNECT_PROTOCOL, 1],
      [NO_RFC7540_PRIORITIES, 1],
    ])
  }

  override receive(chunk: Buffer, now: number, end = chunk.length): void {
    if (this.#preface === CLIENT_PREFACE.length) {
      super.receive(chunk, now, end)
      return
    }
    const rest = this.#readPreface(chunk.subarray(0, end))
    if (rest.length > 0) super.receive(rest, now)
  }

  /** Answers a request, in part (1xx) or for good. */
  respond(
    stream: Http2Stream<Owner>,
    fields: readonly HeaderField[],
    how: { readonly interim?: boolean; readonly endStream: boolean },
  ): void {
    if (!stream.localOpen) return
    stream.sent += this.writer.headers(stream.id, fields, how.endStream)
    if (how.interim !== true) stream.headersSent = true
    if (how.endStream) this.closeLocal(stream)
  }

  /**
   * First step of a polite end: the client is told to open no more streams, and those that are on their way are still
   * taken. `end`, a round trip later, says which the last one was (RFC 9113 §6.8).
   */
  announceEnd(): void {
    if (!this.over) this.writer.goaway(MAX_WINDOW, NO_ERROR)
  }

  /** Second step: streams that begin from now on are ignored, and the client knows it. */
  endAfterStreams(): void {
    if (this.over || this.lastTaken !== MAX_WINDOW) return
    this.lastTaken = this.lastRemote
    this.writer.goaway(this.lastTaken, NO_ERROR)
  }

  #readPreface(chunk: Buffer): Buffer {
    const octets = Math.min(chunk.length, CLIENT_PREFACE.length - this.#preface)
    const from = this.#preface
    if (CLIENT_PREFACE.compare(chunk, 0, octets, from, from + octets) !== 0) {
      this.fail(PROTOCOL_ERROR, 'the preface is not one')
      return chunk.subarray(chunk.length)
    }
    this.#preface += octets
    return chunk.subarray(octets)
  }

  protected isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId > Math.max(this.lastRemote, this.#lastIgnored)
  }

  protected section(stream: Http2Stream<Owner> | undefined): void {
    const { streamId } = this.reader
    if (stream !== undefined) this.#trailers(stream)
    else if (streamId % 2 === 0) this.fail(PROTOCOL_ERROR, 'a client has odd streams only')
    else if (streamId > this.lastRemote) this.#begin(streamId)
    else if (!this.streams.closed.has(streamId)) this.fail(PROTOCOL_ERROR, 'streams go upwards')
    // What we have reset may have been under way.
    else if (this.streams.closed.mayBeOnItsWay(streamId)) this.spendFrame()
    else this.fail(STREAM_CLOSED, 'headers of a stream that is over')
  }

  #begin(streamId: number): void {
    const { endsStream, wireOctets } = this.reader
    const { fields, tooLarge } = this.decoder
    // Behind the last one of our GOAWAY the client sends again, elsewhere.
    if (streamId > this.lastTaken) {
      this.#lastIgnored = Math.max(this.#lastIgnored, streamId)
      this.spendFrame()
      return
    }
    this.lastRemote = streamId
    if (this.streams.size >= this.options.streams) {
      this.#refuse(streamId, REFUSED_STREAM)
      return
    }
    const valid = tooLarge || (REQUEST.read(fields) && (!endsStream || REQUEST.endsWithHeaders()))
    if (!valid) {
      this.events.malformed(REQUEST)
      this.#refuse(streamId, PROTOCOL_ERROR)
      return
    }
    const stream = this.createStream(streamId)
    stream.received = wireOctets
    stream.headersReceived = true
    stream.expected = tooLarge ? -1 : REQUEST.contentLength
    stream.tunnel = !tooLarge && REQUEST.method === 'CONNECT'
    this.#applyPriority(stream, tooLarge ? '' : REQUEST.priority)
    this.events.request(stream, tooLarge ? undefined : REQUEST, endsStream)
    if (endsStream) this.closeRemote(stream)
    // As if it had been reset, and once more: its answer gives one back.
    if (tooLarge) this.spendReset(2)
  }

  #refuse(streamId: number, code: number): void {
    this.writer.resetStream(streamId, code)
    this.streams.closed.add(streamId, true)
    this.spendReset()
  }

  #trailers(stream: Http2Stream<Owner>): void {
    const { fields, tooLarge } = this.decoder
    if (!stream.remoteOpen) this.faultyStream(stream, STREAM_CLOSED)
    else if (
      stream.tunnel ||
      !this.reader.endsStream ||
      stream.expected > 0 ||
      !isTrailerSection(fields)
    )
      this.faultyStream(stream, PROTOCOL_ERROR)
    else if (tooLarge) this.faultyStream(stream, ENHANCE_YOUR_CALM)
    else {
      this.events.trailers(stream, fields)
      this.closeRemote(stream)
    }
  }

  #applyPriority(stream: Http2Stream<Owner>, said: string): void {
    const early = this.#priorities?.get(stream.id)
    if (early === undefined) {
      if (said !== '') Object.assign(stream, parsePriority(said))
      return
    }
    Object.assign(stream, early)
    this.#priorities?.delete(stream.id)
  }

  protected prioritize(streamId: number, value: string): void {
    const stream = this.streams.get(streamId)
    if (stream !== undefined) Object.assign(stream, parsePriority(value))
    else if (streamId % 2 === 0) this.fail(PROTOCOL_ERROR, 'a priority of a push')
    else if (streamId > this.lastRemote) this.#remember(streamId, value)
  }

  #remember(streamId: number, value: string): void {
    this.#priorities ??= new Map()
    // What was said as text may be long, and is not kept.
    if (this.#priorities.size < MAX_PRIORITIES) this.#priorities.set(streamId, parsePriority(value))
  }
}

/**
 * One HTTP/2 connection without its socket (RFC 9113 §5 to §6.9): bytes in, events out; calls in, bytes out. Both ends are
 * made of it, see `server-session.ts` and `client-session.ts`. It never throws on anything that the other end sends: a fault
 * of a stream resets the stream, a fault of the connection writes GOAWAY and ends the session.
 */
import {
  ACK,
  COMPRESSION_ERROR,
  DATA,
  FLOW_CONTROL_ERROR,
  GOAWAY,
  HEADERS,
  MAX_WINDOW,
  NO_ERROR,
  PING,
  PRIORITY,
  PRIORITY_UPDATE,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  STREAM_CLOSED,
  WINDOW_UPDATE,
} from './frame.ts'
import { FRAME, FrameReader, INVALID, MORE, UNKNOWN } from './frame-reader.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { SendingSession } from './sending-session.ts'
import type { SessionEvents, SessionOptions } from './session-options.ts'
import type { Peer } from './settings.ts'
import type { Http2Stream } from './stream.ts'

export abstract class Http2Session<Owner> extends SendingSession<Owner> {
  protected readonly decoder: HpackDecoder
  protected readonly reader: FrameReader
  /** Whether the other end has said what it takes. */
  greeted = false

  /** `now` in milliseconds, of any beginning; it only goes forward. */
  protected constructor(
    events: SessionEvents<Owner>,
    options: SessionOptions,
    now: number,
    peer: Peer,
  ) {
    super(events, options, now, peer)
    this.decoder = new HpackDecoder(options.headers)
    this.reader = new FrameReader(options.frames)
  }

  /** Whether the other end has begun with something, its settings to begin with, that has to be whole to mean anything. */
  get midway(): boolean {
    return !this.greeted || this.reader.midway
  }

  /** Pieces of `take` have left. Need not be called; it saves memory. */
  giveBack(pieces: readonly Buffer[]): void {
    this.writer.giveBack(pieces)
  }

  /** Reads what came at `now`, `chunk[0, end)`. Events happen during the call. */
  receive(chunk: Buffer, now: number, end = chunk.length): void {
    if (this.over) return
    this.now = now
    this.reader.push(chunk, end)
    while (!this.over) {
      const found = this.reader.next()
      if (found === MORE) return
      if (found === INVALID) this.fail(this.reader.error, 'a frame is not valid')
      else if (found === FRAME) this.#frame()
      else if (found === UNKNOWN) this.#unknown()
      else this.#invalidStream()
    }
  }

  /** A header section: `decoder` has its fields and says whether they are all, `reader` of which stream and whether it ends. */
  protected abstract section(stream: Http2Stream<Owner> | undefined): void

  /** Whether a stream that is not there was never begun. */
  protected abstract isIdle(streamId: number): boolean

  /** It may come anywhere, but not before the settings. */
  #unknown(): void {
    if (this.#isGreeted(this.reader.type)) this.spendFrame()
  }

  #invalidStream(): void {
    const { type, streamId, error, wireOctets } = this.reader
    if (!this.#isGreeted(type)) return
    if (type === HEADERS && !this.#decode()) return
    const stream = this.streams.get(streamId)
    if (stream !== undefined) {
      stream.received += wireOctets
      this.faultyStream(stream, error)
    } else if (type !== PRIORITY && this.isIdle(streamId)) this.fail(error, 'a frame is not valid')
    else {
      this.writer.resetStream(streamId, error)
      this.spendReset()
    }
  }

  #frame(): void {
    const { type } = this.reader
    if (!this.#isGreeted(type)) return
    switch (type) {
      case DATA:
        this.#data()
        return
      case HEADERS:
        if (this.#decode()) this.#section()
        return
      case WINDOW_UPDATE:
        this.#windowUpdate()
        return
      case RST_STREAM:
        this.#resetByOther()
        return
      case PUSH_PROMISE:
        this.fail(PROTOCOL_ERROR, 'nothing can be pushed here')
        return
      default:
        if (this.spendFrame()) this.#control(type)
    }
  }

  /** Settings have to come first, and not only an answer to ours (RFC 9113 §3.4). */
  #isGreeted(type: number): boolean {
    if (this.greeted || (type === SETTINGS && (this.reader.flags & ACK) === 0)) return true
    this.fail(PROTOCOL_ERROR, 'settings have to come first')
    return false
  }

  #control(type: number): void {
    const reader = this.reader
    switch (type) {
      case SETTINGS:
        this.#settings()
        return
      case PING:
        if ((reader.flags & ACK) === 0)
          this.answer(() => this.writer.ping(reader.bytes, reader.start, true))
        else this.events.pong(reader.bytes.subarray(reader.start, reader.end))
        return
      case GOAWAY:
        this.events.goingAway(reader.otherStreamId, reader.code)
        return
      case PRIORITY_UPDATE:
        this.prioritize(
          reader.otherStreamId,
          reader.bytes.toString('latin1', reader.start, reader.end),
        )
        return
      case PRIORITY:
        // Ignored (RFC 9113 §5.3.2).
        this.#count(this.streams.get(reader.streamId))
        return
      default:
        throw new Error(`the reader let a frame of type ${type} pass`)
    }
  }

  /** A value of RFC 9218 for a stream; only servers take them. */
  protected abstract prioritize(streamId: number, value: string): void

  #settings(): void {
    const { flags, bytes, start, end } = this.reader
    this.greeted = true
    if ((flags & ACK) !== 0) {
      this.#acknowledge()
      return
    }
    const former = this.remote.initialWindowSize
    const error = this.remote.apply(bytes, start, end)
    if (error !== NO_ERROR) {
      this.fail(error, 'a setting has a value that it may not have')
      return
    }
    this.writer.frameSize = this.remote.maxFrameSize
    // Both: what does not fit into the smallest is gone at the other end, too (RFC 7541 §4.2).
    this.encoder.setLimit(this.remote.smallestHeaderTableSize)
    this.encoder.setLimit(this.remote.headerTableSize)
    this.answer(() => this.writer.settingsAck())
    this.#shiftWindows(this.remote.initialWindowSize - former)
  }

  /** From now on the other end keeps to our settings (RFC 9113 §6.5.3). */
  #acknowledge(): void {
    if (this.acknowledged) return
    this.settle()
    this.decoder.settle()
  }

  #shiftWindows(by: number): void {
    if (!this.streams.shiftSendWindows(by)) this.fail(FLOW_CONTROL_ERROR, 'a window is too large')
    else if (by > 0) this.#wakeBlocked()
  }

  #windowUpdate(): void {
    const { streamId, increment } = this.reader
    if (!this.spendFrame()) return
    if (streamId === 0) {
      this.#widen(increment)
      return
    }
    const stream = this.streams.get(streamId)
    if (stream === undefined) {
      if (this.isIdle(streamId)) this.fail(PROTOCOL_ERROR, 'a window of a stream that never was')
      return
    }
    this.#count(stream)
    stream.sendWindow += increment
    if (stream.sendWindow > MAX_WINDOW) this.faultyStream(stream, FLOW_CONTROL_ERROR)
    else if (stream.blocked && this.sendWindow > 0) this.#wake(stream)
  }

  /** While there is some of it left, nobody waits for it. */
  #widen(increment: number): void {
    const used = this.sendWindow <= 0
    this.sendWindow += increment
    if (this.sendWindow > MAX_WINDOW) this.fail(FLOW_CONTROL_ERROR, 'a window is too large')
    else if (used) this.#wakeBlocked()
  }

  #wakeBlocked(): void {
    for (const stream of this.streams.blocked()) {
      if (this.sendWindow <= 0) return
      // Those before it may have ended it.
      if (stream.blocked) this.#wake(stream)
    }
  }

  #wake(stream: Http2Stream<Owner>): void {
    stream.blocked = false
    this.events.writable(stream)
  }

  #resetByOther(): void {
    const { streamId, code } = this.reader
    const stream = this.streams.get(streamId)
    if (stream === undefined) {
      if (this.isIdle(streamId)) this.fail(PROTOCOL_ERROR, 'a reset of a stream that never was')
      else this.spendFrame()
      return
    }
    this.#count(stream)
    this.forget(stream, 'reset-by-other')
    this.events.reset(stream, code, false)
    this.spendReset()
  }

  /** Of the frame that was found, before anybody hears of it. */
  #count(stream: Http2Stream<Owner> | undefined): void {
    if (stream !== undefined) stream.received += this.reader.wireOctets
  }

  #decode(): boolean {
    const { bytes, start, end } = this.reader
    if (this.decoder.decode(bytes, start, end)) return true
    this.fail(COMPRESSION_ERROR, 'a header block cannot be read')
    return false
  }

  #section(): void {
    const stream = this.streams.get(this.reader.streamId)
    this.#count(stream)
    this.section(stream)
  }

  #data(): void {
    const { streamId, bytes, start, end, flowOctets, endsStream, finished, bare } = this.reader
    const octets = end - start
    if (bare && finished && !endsStream && !this.spendFrame()) return
    if (!this.receiveWindow.take(flowOctets)) {
      this.fail(FLOW_CONTROL_ERROR, 'more data than the window of the connection')
      return
    }
    this.returnToSession(flowOctets)
    const stream = this.streams.get(streamId)
    this.#count(stream)
    if (stream === undefined || !stream.remoteOpen) {
      this.#dataOfNoStream(streamId, stream)
      return
    }
    const fits = stream.receiveWindow.take(flowOctets)
    if (!fits || !isExpected(stream, octets, endsStream)) {
      this.faultyStream(stream, fits ? PROTOCOL_ERROR : FLOW_CONTROL_ERROR)
      return
    }
    // Padding is nobody's to consume.
    if (flowOctets > octets) this.consumed(stream, flowOctets - octets)
    if (octets > 0) this.events.data(stream, bytes, start, end, endsStream)
    if (endsStream) this.closeRemote(stream)
  }

  #dataOfNoStream(streamId: number, stream: Http2Stream<Owner> | undefined): void {
    if (stream !== undefined) this.faultyStream(stream, STREAM_CLOSED)
    else if (this.isIdle(streamId)) this.fail(PROTOCOL_ERROR, 'data of a stream that never was')
    else if (!this.streams.closed.mayBeOnItsWay(streamId))
      this.fail(STREAM_CLOSED, 'data of a stream that is over')
    // A frame counts once, in however many pieces it comes.
    else if (this.reader.finished) this.spendFrame()
  }
}

/** Whether its headers and its content-length let so many octets come, and none behind them (RFC 9113 §8.1.1). */
function isExpected<Owner>(stream: Http2Stream<Owner>, octets: number, last: boolean): boolean {
  if (!stream.headersReceived) return false
  if (stream.expected < 0) return true
  stream.expected -= octets
  return last ? stream.expected === 0 : stream.expected >= 0
}

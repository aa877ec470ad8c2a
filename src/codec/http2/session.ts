/**
 * One HTTP/2 connection without its socket (RFC 9113 §5 to §6.9): bytes in, events out; calls in, bytes out. Both ends are
 * made of it, see `server-session.ts` and `client-session.ts`. It never throws on anything that the other end sends: a fault
 * of a stream resets the stream, a fault of the connection writes GOAWAY and ends the session.
 */
import {
  ACK,
  CANCEL,
  COMPRESSION_ERROR,
  DATA,
  ENHANCE_YOUR_CALM,
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
import { FrameBudget } from './frame-budget.ts'
import { FRAME, FrameReader, INVALID, MORE, UNKNOWN } from './frame-reader.ts'
import { FrameWriter } from './frame-writer.ts'
import type { HeaderField } from './header-field.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { HpackEncoder } from './hpack-encoder.ts'
import { ReceiveWindow } from './receive-window.ts'
import type { Piece, SessionEvents, SessionOptions } from './session-options.ts'
import {
  DEFAULT_WINDOW,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
  MAX_HEADER_LIST_SIZE,
  Settings,
} from './settings.ts'
import { Http2Stream } from './stream.ts'
import { StreamTable } from './stream-table.ts'

/** What receivers answer data with: windows of stream and session, and a ping to measure the way (gRPC). */
const FRAMES_A_SEND = 4
/** Octets of DATA below which it is the window's fault where there are no more. */
const SMALL_PIECE = 256
/** What belongs to a stream that was served to its end: its windows and priority. */
const FRAMES_A_STREAM = 20

export abstract class Http2Session<Owner> {
  readonly remote = new Settings()
  protected readonly events: SessionEvents<Owner>
  protected readonly options: SessionOptions
  protected readonly writer: FrameWriter
  protected readonly streams = new StreamTable<Owner>()
  /** The highest stream of the other end that was begun. */
  protected lastRemote = 0
  /** Streams of the other end above it are not looked at any more. */
  protected lastTaken = MAX_WINDOW
  protected now = 0
  over = false
  /** Streams that were begun so far, those that are over included. */
  begun = 0
  readonly #encoder = new HpackEncoder()
  protected readonly decoder: HpackDecoder
  protected readonly reader: FrameReader
  readonly #frames: FrameBudget
  protected readonly resets: FrameBudget
  /** Whether the other end has said what it takes. */
  greeted = false
  #sendWindow: number = DEFAULT_WINDOW
  readonly #receiveWindow: ReceiveWindow
  #answers = 0

  /** `now` in milliseconds, of any beginning; it only goes forward. */
  protected constructor(events: SessionEvents<Owner>, options: SessionOptions, now: number) {
    this.events = events
    this.options = options
    this.now = now
    this.writer = new FrameWriter(this.#encoder)
    this.decoder = new HpackDecoder(options.headers)
    this.reader = new FrameReader(options.frames)
    this.#frames = new FrameBudget(options.frameBudget, now)
    this.resets = new FrameBudget(options.resetBudget, now)
    this.#receiveWindow = new ReceiveWindow(Math.max(DEFAULT_WINDOW, options.sessionWindow))
  }

  /** Streams that are not over. */
  get size(): number {
    return this.streams.size
  }

  /** Octets that wait for `take`. */
  get waiting(): number {
    return this.writer.waiting
  }

  /** What is to be sent, in its order. */
  take(): Buffer[] {
    this.#answers = 0
    return this.writer.take()
  }

  /** Reads what came at `now`. Events happen during the call. */
  receive(chunk: Buffer, now: number): void {
    if (this.over) return
    this.now = now
    this.reader.push(chunk)
    while (!this.over) {
      const found = this.reader.next()
      if (found === MORE) return
      if (found === INVALID) this.fail(this.reader.error, 'a frame is not valid')
      else if (found === FRAME) this.#frame()
      else if (found === UNKNOWN) this.spendFrame()
      else this.#invalidStream()
    }
  }

  /**
   * Sends as much of `bytes[start, end)` as the windows allow, and says how many octets that were; what is left is the
   * caller's, who hears from `writable` when there is room again. Where all of it was taken and nothing comes behind it
   * (`endStream`), the last frame says so.
   */
  send(stream: Http2Stream<Owner>, bytes: Buffer, { start, end, endStream }: Piece): number {
    if (!stream.localOpen) return 0
    const taken = Math.min(this.sendable(stream), end - start)
    const whole = taken === end - start
    const last = whole && endStream === true
    if (taken > 0 || last) {
      stream.sendWindow -= taken
      this.#sendWindow -= taken
      stream.sent += this.writer.data(stream.id, bytes, { start, end: start + taken }, last)
      // Windows that let out a few octets at a time make a frame of each, without an end (CVE-2019-9511).
      if (taken >= SMALL_PIECE || this.sendable(stream) > 0) this.#frames.earn(FRAMES_A_SEND)
    }
    stream.blocked = !whole
    if (last) this.closeLocal(stream)
    return taken
  }

  /** Octets that `send` takes now, by the windows of the stream and of the session. */
  sendable(stream: Http2Stream<Owner>): number {
    const window = Math.min(stream.sendWindow, this.#sendWindow)
    return stream.localOpen && window > 0 ? window : 0
  }

  /** Ends our side of a stream; all of its data was taken. */
  end(stream: Http2Stream<Owner>): void {
    this.send(stream, NOTHING, ALL_OF_NOTHING)
  }

  sendTrailers(stream: Http2Stream<Owner>, fields: readonly HeaderField[]): void {
    if (!stream.localOpen) return
    stream.sent += this.writer.headers(stream.id, fields, true)
    this.closeLocal(stream)
  }

  /** Ends a stream for both sides. No event follows. */
  reset(stream: Http2Stream<Owner>, code: number = CANCEL): void {
    if (stream.closed) return
    stream.sent += this.writer.resetStream(stream.id, code)
    this.#forget(stream, 'reset')
  }

  /** Octets of `data` were handed on: the sender may send as many more. */
  consumed(stream: Http2Stream<Owner>, octets: number): void {
    this.#returnToSession(octets)
    const increment = stream.remoteOpen ? stream.receiveWindow.giveBack(octets) : 0
    if (increment > 0) stream.sent += this.writer.windowUpdate(stream.id, increment)
  }

  /** Eight octets, which `pong` brings back. */
  ping(octets: Buffer): void {
    this.writer.ping(octets, 0, false)
  }

  /** The connection is gone: the session is over, and with it these streams. No event follows. */
  abandon(): Http2Stream<Owner>[] {
    this.over = true
    return this.streams.all()
  }

  /** Writes GOAWAY and ends the session. */
  fail(code: number, why: string): void {
    if (this.over) return
    this.over = true
    this.writer.goaway(this.lastRemote, code, why)
    this.events.failed(code, why)
  }

  /** First thing of either end, behind the preface of a client. */
  protected greet(pairs: readonly (readonly [number, number])[]): void {
    const { frames, headers, streams, streamWindow, sessionWindow } = this.options
    this.writer.settings([
      ...pairs,
      [MAX_CONCURRENT_STREAMS, streams],
      [INITIAL_WINDOW_SIZE, streamWindow],
      [MAX_FRAME_SIZE, frames.frameSize],
      [MAX_HEADER_LIST_SIZE, headers.listSize],
    ])
    if (sessionWindow > DEFAULT_WINDOW) this.writer.windowUpdate(0, sessionWindow - DEFAULT_WINDOW)
  }

  protected createStream(id: number): Http2Stream<Owner> {
    const { initialWindowSize } = this.remote
    this.begun += 1
    const stream = new Http2Stream<Owner>(id, initialWindowSize, this.options.streamWindow)
    this.streams.add(stream)
    return stream
  }

  /** A header section: `decoder` has its fields and says whether they are all, `reader` of which stream and whether it ends. */
  protected abstract section(stream: Http2Stream<Owner> | undefined): void

  /** Whether a stream that is not there was never begun. */
  protected abstract isIdle(streamId: number): boolean

  protected closeRemote(stream: Http2Stream<Owner>): void {
    if (!stream.remoteOpen) return
    stream.remoteOpen = false
    this.events.ended(stream)
    if (stream.closed) this.#forget(stream, 'served')
  }

  protected closeLocal(stream: Http2Stream<Owner>): void {
    stream.localOpen = false
    if (stream.closed) this.#forget(stream, 'served')
  }

  /** What came on the stream was not allowed. */
  protected faultyStream(stream: Http2Stream<Owner>, code: number): void {
    stream.sent += this.writer.resetStream(stream.id, code)
    this.#forget(stream, 'reset')
    this.events.reset(stream, code)
    this.spendReset()
  }

  /** A stream ended before its time, by whoever's fault: that must not go on without an end. */
  protected spendReset(): void {
    if (!this.resets.spend(this.now)) this.fail(ENHANCE_YOUR_CALM, 'too many streams were reset')
  }

  /** The other end has not looked at it and never will: it is over without a frame. */
  protected dropStream(stream: Http2Stream<Owner>): void {
    this.#forget(stream, 'reset')
  }

  #forget(stream: Http2Stream<Owner>, how: StreamEnd): void {
    if (!this.streams.remove(stream, how === 'reset') || how !== 'served') return
    this.#frames.earn(FRAMES_A_STREAM)
    this.resets.earn(1)
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

  /** Settings have to come first (RFC 9113 §3.4). */
  #isGreeted(type: number): boolean {
    if (this.greeted || type === SETTINGS) return true
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
          this.#answer(() => this.writer.ping(reader.bytes, reader.start, true))
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

  /** A frame that brings nothing has come. False where it was one too many: the session is over. */
  protected spendFrame(): boolean {
    if (this.#frames.spend(this.now)) return true
    this.fail(ENHANCE_YOUR_CALM, 'too many frames that bring nothing')
    return false
  }

  /** Whoever asks and does not read the answers would have us keep them all. */
  #answer(write: () => void): void {
    this.#answers += 1
    if (this.#answers > this.options.waitingAnswers)
      this.fail(ENHANCE_YOUR_CALM, 'answers are not read')
    else write()
  }

  #settings(): void {
    const { flags, bytes, start, end } = this.reader
    this.greeted = true
    if ((flags & ACK) !== 0) return
    const former = this.remote.initialWindowSize
    const error = this.remote.apply(bytes, start, end)
    if (error !== NO_ERROR) {
      this.fail(error, 'a setting has a value that it may not have')
      return
    }
    this.writer.frameSize = this.remote.maxFrameSize
    this.#encoder.setLimit(this.remote.headerTableSize)
    this.#answer(() => this.writer.settingsAck())
    this.#shiftWindows(this.remote.initialWindowSize - former)
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
    else if (stream.blocked && this.#sendWindow > 0) this.#wake(stream)
  }

  /** While there is some of it left, nobody waits for it. */
  #widen(increment: number): void {
    const used = this.#sendWindow <= 0
    this.#sendWindow += increment
    if (this.#sendWindow > MAX_WINDOW) this.fail(FLOW_CONTROL_ERROR, 'a window is too large')
    else if (used) this.#wakeBlocked()
  }

  #wakeBlocked(): void {
    for (const stream of this.streams.blocked()) {
      if (this.#sendWindow <= 0) return
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
    this.#forget(stream, 'reset-by-other')
    this.events.reset(stream, code)
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
    if (!this.#receiveWindow.take(flowOctets)) {
      this.fail(FLOW_CONTROL_ERROR, 'more data than the window of the connection')
      return
    }
    const stream = this.streams.get(streamId)
    this.#count(stream)
    if (stream === undefined || !stream.remoteOpen) {
      this.#returnToSession(flowOctets)
      this.#dataOfNoStream(streamId, stream)
      return
    }
    const fits = stream.receiveWindow.take(flowOctets)
    if (!fits || !isExpected(stream, octets, endsStream)) {
      this.#returnToSession(flowOctets)
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

  #returnToSession(octets: number): void {
    const increment = this.#receiveWindow.giveBack(octets)
    if (increment > 0) this.writer.windowUpdate(0, increment)
  }
}

/** Whether its headers and its content-length let so many octets come, and none behind them (RFC 9113 §8.1.1). */
function isExpected<Owner>(stream: Http2Stream<Owner>, octets: number, last: boolean): boolean {
  if (!stream.headersReceived) return false
  if (stream.expected < 0) return true
  stream.expected -= octets
  return last ? stream.expected === 0 : stream.expected >= 0
}

const NOTHING = Buffer.alloc(0)
const ALL_OF_NOTHING: Piece = Object.freeze({ start: 0, end: 0, endStream: true })

/** `reset` by us: what still comes for it may have been on its way. */
type StreamEnd = 'served' | 'reset' | 'reset-by-other'

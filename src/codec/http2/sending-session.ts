/**
 * What a session does of its own accord: it begins streams, sends on them, gives windows back, and ends streams or all of
 * it. What it does with what comes is in `session.ts`.
 */
import { CANCEL, ENHANCE_YOUR_CALM, MAX_WINDOW } from './frame.ts'
import { FrameBudget } from './frame-budget.ts'
import { FrameWriter } from './frame-writer.ts'
import type { HeaderField } from './header-field.ts'
import { HpackEncoder } from './hpack-encoder.ts'
import { ReceiveWindow } from './receive-window.ts'
import type { Piece, SessionEvents, SessionOptions } from './session-options.ts'
import {
  DEFAULT_WINDOW,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
  MAX_HEADER_LIST_SIZE,
  type Peer,
  Settings,
} from './settings.ts'
import { Http2Stream } from './stream.ts'
import { StreamTable } from './stream-table.ts'

/** What receivers answer data with: windows of stream and session, and a ping to measure the way (gRPC). */
const FRAMES_A_SEND = 4
/** And one for each 1,024 octets: whoever gives back windows by frames, small ones included, gets them back as small again. */
const OCTETS_A_FRAME_LOG = 10
/** Octets of DATA below which it is the window's fault where there are no more. */
const SMALL_PIECE = 1_024
/** What belongs to a stream that was served to its end: its windows and priority. */
const FRAMES_A_STREAM = 20

const NOTHING = Buffer.alloc(0)
const ALL_OF_NOTHING: Piece = Object.freeze({ start: 0, end: 0, endStream: true })

/** `reset` by us: what still comes for it may have been on its way. */
type StreamEnd = 'served' | 'reset' | 'reset-by-other'

export abstract class SendingSession<Owner> {
  readonly remote: Settings
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
  /** Whether the other end has said that it knows our settings. Until then it may hold those of the beginning for ours. */
  acknowledged = false
  /** Streams that were begun so far, those that are over included. */
  begun = 0
  protected readonly encoder = new HpackEncoder()
  protected readonly frames: FrameBudget
  protected readonly resets: FrameBudget
  /** Octets of DATA that we may send on all streams together. */
  protected sendWindow: number = DEFAULT_WINDOW
  protected readonly receiveWindow: ReceiveWindow
  /** Counts what was sent, so that streams can take turns. */
  #turns = 0
  #answers = 0

  /** `now` in milliseconds, of any beginning; it only goes forward. */
  protected constructor(
    events: SessionEvents<Owner>,
    options: SessionOptions,
    now: number,
    peer: Peer,
  ) {
    this.remote = new Settings(peer)
    this.events = events
    this.options = options
    this.now = now
    this.writer = new FrameWriter(this.encoder)
    this.frames = new FrameBudget(options.frameBudget, now)
    this.resets = new FrameBudget(options.resetBudget, now)
    this.receiveWindow = new ReceiveWindow(Math.max(DEFAULT_WINDOW, options.sessionWindow))
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
      this.sendWindow -= taken
      stream.turn = ++this.#turns
      stream.sent += this.writer.data(stream.id, bytes, { start, end: start + taken }, last)
      // Windows that let out a few octets at a time make a frame of each, without an end (CVE-2019-9511).
      if (taken >= SMALL_PIECE || this.sendable(stream) > 0)
        this.frames.earn(FRAMES_A_SEND + (taken >>> OCTETS_A_FRAME_LOG))
    }
    stream.blocked = !whole
    if (last) this.closeLocal(stream)
    return taken
  }

  /** Octets that `send` takes now, by the windows of the stream and of the session. */
  sendable(stream: Http2Stream<Owner>): number {
    const window = Math.min(stream.sendWindow, this.sendWindow)
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
    this.forget(stream, 'reset')
  }

  /**
   * Octets of `data` were handed on: the sender may send as many more on this stream. To the session they were given back when
   * they came, or streams that rest would stop all others of the connection; what it holds is at most a window a stream.
   */
  consumed(stream: Http2Stream<Owner>, octets: number): void {
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
      [HEADER_TABLE_SIZE, headers.tableSize],
      [MAX_CONCURRENT_STREAMS, streams],
      [INITIAL_WINDOW_SIZE, streamWindow],
      [MAX_FRAME_SIZE, frames.frameSize],
      [MAX_HEADER_LIST_SIZE, headers.listSize],
    ])
    if (sessionWindow > DEFAULT_WINDOW) this.writer.windowUpdate(0, sessionWindow - DEFAULT_WINDOW)
  }

  protected createStream(id: number): Http2Stream<Owner> {
    const { initialWindowSize } = this.remote
    const { streamWindow } = this.options
    const window = this.acknowledged ? streamWindow : Math.max(DEFAULT_WINDOW, streamWindow)
    this.begun += 1
    const stream = new Http2Stream<Owner>(id, initialWindowSize, window)
    this.streams.add(stream)
    return stream
  }

  /** The other end knows our settings: what it may send on streams that it has begun before is now as they say (§6.9.2). */
  protected settle(): void {
    this.acknowledged = true
    const less = Math.max(DEFAULT_WINDOW, this.options.streamWindow) - this.options.streamWindow
    if (less > 0) for (const stream of this.streams.all()) stream.receiveWindow.shrink(less)
  }

  protected closeRemote(stream: Http2Stream<Owner>): void {
    if (!stream.remoteOpen) return
    stream.remoteOpen = false
    this.events.ended(stream)
    if (stream.closed) this.forget(stream, 'served')
  }

  protected closeLocal(stream: Http2Stream<Owner>): void {
    stream.localOpen = false
    if (stream.closed) this.forget(stream, 'served')
  }

  /** What came on the stream was not allowed. */
  protected faultyStream(stream: Http2Stream<Owner>, code: number): void {
    stream.sent += this.writer.resetStream(stream.id, code)
    this.forget(stream, 'reset')
    this.events.reset(stream, code, true)
    this.spendReset()
  }

  /** A stream ended before its time, by whoever's fault: that must not go on without an end. */
  protected spendReset(times = 1): void {
    if (!this.resets.spend(this.now, times))
      this.fail(ENHANCE_YOUR_CALM, 'too many streams were reset')
  }

  /** The other end has not looked at it and never will: it is over without a frame. */
  protected dropStream(stream: Http2Stream<Owner>): void {
    this.forget(stream, 'reset')
  }

  protected forget(stream: Http2Stream<Owner>, how: StreamEnd): void {
    if (!this.streams.remove(stream, how === 'reset') || how !== 'served') return
    this.frames.earn(FRAMES_A_STREAM)
    this.resets.earn(1)
  }

  /** A frame that brings nothing has come. False where it was one too many: the session is over. */
  protected spendFrame(): boolean {
    if (this.frames.spend(this.now)) return true
    this.fail(ENHANCE_YOUR_CALM, 'too many frames that bring nothing')
    return false
  }

  /** Whoever asks and does not read the answers would have us keep them all. */
  protected answer(write: () => void): void {
    this.#answers += 1
    if (this.#answers > this.options.waitingAnswers)
      this.fail(ENHANCE_YOUR_CALM, 'answers are not read')
    else write()
  }

  protected returnToSession(octets: number): void {
    const increment = this.receiveWindow.giveBack(octets)
    if (increment > 0) this.writer.windowUpdate(0, increment)
  }
}

/** What a session is told, and what it tells. */
import { type BudgetLimits, DEFAULT_FRAME_BUDGET, DEFAULT_RESET_BUDGET } from './frame-budget.ts'
import { DEFAULT_FRAME_CAPS, type FrameCaps } from './frame-reader.ts'
import type { HeaderField } from './header-field.ts'
import { DEFAULT_TABLE_SIZE, type HpackCaps } from './hpack-decoder.ts'
import type { Http2Stream } from './stream.ts'

export interface SessionOptions {
  readonly frames: FrameCaps
  readonly headers: HpackCaps
  /** Streams of the other end at once. */
  readonly streams: number
  /** Octets of DATA that may be under way to us, or wait to be consumed, on each stream. */
  readonly streamWindow: number
  /** Octets of DATA that may be under way to us on all together. */
  readonly sessionWindow: number
  /** Answers to pings and settings that wait because the other end does not read. */
  readonly waitingAnswers: number
  readonly frameBudget: BudgetLimits
  readonly resetBudget: BudgetLimits
}

/** What an edge proxy is advised to take (Envoy: 100 streams, 64 KiB a stream, 1 MiB together). */
export const DEFAULT_SESSION: SessionOptions = Object.freeze({
  frames: DEFAULT_FRAME_CAPS,
  headers: { tableSize: DEFAULT_TABLE_SIZE, listSize: 32 * 1024, fields: 100 },
  streams: 100,
  streamWindow: 64 * 1024,
  sessionWindow: 1024 * 1024,
  waitingAnswers: 1_000,
  frameBudget: DEFAULT_FRAME_BUDGET,
  resetBudget: DEFAULT_RESET_BUDGET,
})

export interface SessionEvents<Owner> {
  /**
   * `bytes[start, end)` is the caller's again once this returns; `consumed` gives its octets back to the sender.
   * `endStream`: nothing follows but `ended`.
   */
  data(
    stream: Http2Stream<Owner>,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void
  trailers(stream: Http2Stream<Owner>, fields: readonly HeaderField[]): void
  /** The other end has said all that it will on this stream; behind the last of `request`, `response`, `data`, `trailers`. */
  ended(stream: Http2Stream<Owner>): void
  /** The stream is over before its end: the other end reset it, or we did because of what came on it (`isFault`). */
  reset(stream: Http2Stream<Owner>, code: number, isFault: boolean): void
  /** `send` takes more on a stream on which it took less than it was given. */
  writable(stream: Http2Stream<Owner>): void
  /** The other end takes no new streams; those above `lastStreamId` were not looked at and may be tried elsewhere. */
  goingAway(lastStreamId: number, code: number): void
  /** Answer to `ping`. */
  pong(octets: Buffer): void
  /** The session is over: GOAWAY is written, and what `take` has should be sent before the socket is closed. */
  failed(code: number, why: string): void
}

export interface Piece {
  readonly start: number
  readonly end: number
  /** Nothing comes behind it: where all of it is taken, our side of the stream ends with it. */
  readonly endStream?: boolean
}

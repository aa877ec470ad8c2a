/**
 * Frames into bytes. All that is written until `take` leaves in few large pieces: one write a turn is what makes many small
 * frames cheap. What a caller gives is copied, so that it may be used again at once.
 */
import {
  ACK,
  CONTINUATION,
  DATA,
  DEFAULT_FRAME_SIZE,
  END_HEADERS,
  END_STREAM,
  FRAME_HEADER_OCTETS,
  GOAWAY,
  HEADERS,
  PING,
  PRIORITY_UPDATE,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from './frame.ts'
import type { HeaderField } from './header-field.ts'
import { HpackEncoder } from './hpack-encoder.ts'

/** The client begins with it (RFC 9113 §3.4). */
export const CLIENT_PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

const PIECE_OCTETS = 64 * 1024

export class FrameWriter {
  /** Octets that wait for `take`. */
  waiting = 0
  /** Of frames that the other end takes, by its SETTINGS_MAX_FRAME_SIZE. */
  frameSize: number = DEFAULT_FRAME_SIZE
  readonly #encoder: HpackEncoder
  #full: Buffer[] = []
  #piece: Buffer
  #at = 0
  #block: Buffer

  constructor(encoder: HpackEncoder) {
    this.#encoder = encoder
    this.#piece = Buffer.allocUnsafe(PIECE_OCTETS)
    this.#block = Buffer.allocUnsafe(1_024)
  }

  /** What was written since the last time, in its order; the pieces are the caller's. */
  take(): Buffer[] {
    const pieces = this.#full
    if (this.#at > 0) {
      pieces.push(this.#piece.subarray(0, this.#at))
      // The rest of the piece serves until it is too small for what comes often.
      this.#piece =
        this.#piece.length - this.#at >= 4 * 1024
          ? this.#piece.subarray(this.#at)
          : Buffer.allocUnsafe(PIECE_OCTETS)
      this.#at = 0
    }
    this.#full = []
    this.waiting = 0
    return pieces
  }

  preface(): void {
    this.#octets(CLIENT_PREFACE, 0, CLIENT_PREFACE.length)
  }

  /** Pairs of an identifier and a value. */
  settings(pairs: readonly (readonly [id: number, value: number])[]): void {
    const at = this.#frame(pairs.length * 6, SETTINGS, 0, 0)
    for (const [index, [id, value]] of pairs.entries()) {
      this.#piece.writeUInt16BE(id, at + index * 6)
      this.#piece.writeUInt32BE(value, at + index * 6 + 2)
    }
  }

  settingsAck(): void {
    this.#frame(0, SETTINGS, ACK, 0)
  }

  /** `octets`: eight of them, from `start` on. */
  ping(octets: Buffer, start: number, ack: boolean): void {
    const at = this.#frame(8, PING, ack ? ACK : 0, 0)
    octets.copy(this.#piece, at, start, start + 8)
  }

  /** `reason` is for whoever debugs the other end; it names nothing of ours. */
  goaway(lastStreamId: number, code: number, reason = ''): void {
    const at = this.#frame(8 + reason.length, GOAWAY, 0, 0)
    this.#piece.writeUInt32BE(lastStreamId, at)
    this.#piece.writeUInt32BE(code, at + 4)
    this.#piece.write(reason, at + 8, 'latin1')
  }

  resetStream(streamId: number, code: number): void {
    const at = this.#frame(4, RST_STREAM, 0, streamId)
    this.#piece.writeUInt32BE(code, at)
  }

  /** `streamId` 0: of the connection. */
  windowUpdate(streamId: number, increment: number): void {
    const at = this.#frame(4, WINDOW_UPDATE, 0, streamId)
    this.#piece.writeUInt32BE(increment, at)
  }

  /** RFC 9218 §7.1. */
  priorityUpdate(streamId: number, value: string): void {
    const at = this.#frame(4 + value.length, PRIORITY_UPDATE, 0, 0)
    this.#piece.writeUInt32BE(streamId, at)
    this.#piece.write(value, at + 4, 'latin1')
  }

  /** A header section, in as many frames as the other end's frame size makes of it. */
  headers(streamId: number, fields: readonly HeaderField[], endStream: boolean): void {
    const most = HpackEncoder.mostOctets(fields)
    if (this.#block.length < most) this.#block = Buffer.allocUnsafe(2 * most)
    const octets = this.#encoder.encode(fields, this.#block, 0)
    let type = HEADERS
    let flags = endStream ? END_STREAM : 0
    let start = 0
    do {
      const end = Math.min(octets, start + this.frameSize)
      if (end === octets) flags |= END_HEADERS
      const at = this.#frame(end - start, type, flags, streamId)
      this.#block.copy(this.#piece, at, start, end)
      type = CONTINUATION
      flags = 0
      start = end
    } while (start < octets)
  }

  /** `source[start, end)` in as many frames as it takes; the caller keeps to the windows. Nothing at all is one empty frame. */
  data(streamId: number, source: Buffer, { start, end }: Range, endStream: boolean): void {
    let from = start
    do {
      const to = Math.min(end, from + this.frameSize)
      const at = this.#frame(to - from, DATA, endStream && to === end ? END_STREAM : 0, streamId)
      source.copy(this.#piece, at, from, to)
      from = to
    } while (from < end)
  }

  /** Writes a frame's header, and answers where its payload goes, for which there is room. */
  #frame(length: number, type: number, flags: number, streamId: number): number {
    const at = this.#room(FRAME_HEADER_OCTETS + length)
    const piece = this.#piece
    piece[at] = length >> 16
    piece[at + 1] = length >> 8
    piece[at + 2] = length
    piece[at + 3] = type
    piece[at + 4] = flags
    piece.writeUInt32BE(streamId, at + 5)
    return at + FRAME_HEADER_OCTETS
  }

  #octets(source: Buffer, start: number, end: number): void {
    const at = this.#room(end - start)
    source.copy(this.#piece, at, start, end)
  }

  #room(octets: number): number {
    if (this.#at + octets > this.#piece.length) {
      if (this.#at > 0) this.#full.push(this.#piece.subarray(0, this.#at))
      this.#piece = Buffer.allocUnsafe(Math.max(PIECE_OCTETS, octets))
      this.#at = 0
    }
    const at = this.#at
    this.#at += octets
    this.waiting += octets
    return at
  }
}

export interface Range {
  readonly start: number
  readonly end: number
}

/**
 * Frames into bytes. All that is written until `take` leaves in few large pieces: one write a turn is what makes many small
 * frames cheap. What a caller gives is copied, so that it may be used again at once.
 *
 * All writers of a thread write into memory that they share, each into a part of it that is its own until `take` cuts off
 * what was used. It is never used again, so that a piece may wait in the kernel's queue as long as it must; a writer that
 * has nothing to say holds no memory at all.
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
import { giveBackPiece, type Slab, slabWith } from './frame-memory.ts'
import type { HeaderField } from './header-field.ts'
import { HpackEncoder } from './hpack-encoder.ts'

/** The client begins with it (RFC 9113 §3.4). */
export const CLIENT_PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/** What a writer takes of a slab at a time; as long as nobody else has taken some, its part grows in place. */
const PART_OCTETS = 4 * 1024

const NOTHING = Buffer.alloc(0)
/** Where header blocks stand that are longer than a frame, while they are cut. */
let longBlock: Buffer = NOTHING
const KEPT_BLOCK_OCTETS = 128 * 1024

export class FrameWriter {
  /** Octets that wait for `take`. */
  waiting = 0
  /** Of frames that the other end takes, by its SETTINGS_MAX_FRAME_SIZE. */
  frameSize: number = DEFAULT_FRAME_SIZE
  readonly #encoder: HpackEncoder
  #full: Buffer[] | undefined = undefined
  /** Its part of the slab is `[start, end)` of its memory, written up to `at`. */
  #slab: Slab | undefined = undefined
  #piece: Buffer = NOTHING
  #start = 0
  #at = 0
  #end = 0

  constructor(encoder: HpackEncoder) {
    this.#encoder = encoder
  }

  /** What was written since the last time, in its order; the pieces are the caller's. */
  take(): Buffer[] {
    this.#cut()
    const pieces = this.#full ?? []
    this.#full = undefined
    this.waiting = 0
    return pieces
  }

  /**
   * Pieces that `take` has given have left, and are not needed any more. Where all of them have, their memory is used again: it
   * is still in the caches, and need not be collected. Need not be called.
   */
  giveBack(pieces: readonly Buffer[]): void {
    for (let index = 0; index < pieces.length; index++) giveBackPiece(pieces[index] as Buffer)
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

  /** Frames of streams answer with their octets, frame headers included. */
  resetStream(streamId: number, code: number): number {
    const at = this.#frame(4, RST_STREAM, 0, streamId)
    this.#piece.writeUInt32BE(code, at)
    return FRAME_HEADER_OCTETS + 4
  }

  /** `streamId` 0: of the connection. */
  windowUpdate(streamId: number, increment: number): number {
    const at = this.#frame(4, WINDOW_UPDATE, 0, streamId)
    this.#piece.writeUInt32BE(increment, at)
    return FRAME_HEADER_OCTETS + 4
  }

  /** RFC 9218 §7.1. */
  priorityUpdate(streamId: number, value: string): void {
    const at = this.#frame(4 + value.length, PRIORITY_UPDATE, 0, 0)
    this.#piece.writeUInt32BE(streamId, at)
    this.#piece.write(value, at + 4, 'latin1')
  }

  /** A header section, in as many frames as the other end's frame size makes of it. */
  headers(streamId: number, fields: readonly HeaderField[], endStream: boolean): number {
    const flags = endStream ? END_STREAM : 0
    const most = HpackEncoder.mostOctets(fields)
    if (most > this.frameSize) return this.#longHeaders(streamId, fields, { most, flags })
    this.#room(FRAME_HEADER_OCTETS + most)
    const from = this.#at
    const to = this.#encoder.encode(fields, this.#piece, from + FRAME_HEADER_OCTETS)
    this.#frame(to - from - FRAME_HEADER_OCTETS, HEADERS, flags | END_HEADERS, streamId)
    return to - from
  }

  #longHeaders(
    streamId: number,
    fields: readonly HeaderField[],
    { most, flags: firstFlags }: { readonly most: number; readonly flags: number },
  ): number {
    if (longBlock.length < most) longBlock = Buffer.allocUnsafeSlow(most)
    const octets = this.#encoder.encode(fields, longBlock, 0)
    let type = HEADERS
    let flags = firstFlags
    let frames = 0
    let start = 0
    do {
      const end = Math.min(octets, start + this.frameSize)
      if (end === octets) flags |= END_HEADERS
      const at = this.#frame(end - start, type, flags, streamId)
      longBlock.copy(this.#piece, at, start, end)
      type = CONTINUATION
      flags = 0
      frames += 1
      start = end
    } while (start < octets)
    if (longBlock.length > KEPT_BLOCK_OCTETS) longBlock = NOTHING
    return octets + frames * FRAME_HEADER_OCTETS
  }

  /** `source[start, end)` in as many frames as it takes; the caller keeps to the windows. Nothing at all is one empty frame. */
  data(streamId: number, source: Buffer, { start, end }: Range, endStream: boolean): number {
    let from = start
    let frames = 0
    do {
      const to = Math.min(end, from + this.frameSize)
      const at = this.#frame(to - from, DATA, endStream && to === end ? END_STREAM : 0, streamId)
      source.copy(this.#piece, at, from, to)
      frames += 1
      from = to
    } while (from < end)
    return end - start + frames * FRAME_HEADER_OCTETS
  }

  /** Writes a frame's header, and answers where its payload goes, for which there is room. */
  #frame(length: number, type: number, flags: number, streamId: number): number {
    const at = this.#put(FRAME_HEADER_OCTETS + length)
    const piece = this.#piece
    piece[at] = length >> 16
    piece[at + 1] = length >> 8
    piece[at + 2] = length
    piece[at + 3] = type
    piece[at + 4] = flags
    piece[at + 5] = streamId >>> 24
    piece[at + 6] = streamId >> 16
    piece[at + 7] = streamId >> 8
    piece[at + 8] = streamId
    return at + FRAME_HEADER_OCTETS
  }

  #octets(source: Buffer, start: number, end: number): void {
    const at = this.#put(end - start)
    source.copy(this.#piece, at, start, end)
  }

  /** Where so many octets go. */
  #put(octets: number): number {
    this.#room(octets)
    const at = this.#at
    this.#at += octets
    this.waiting += octets
    return at
  }

  /** Has room for so many octets from `at` on. */
  #room(octets: number): void {
    if (this.#at + octets > this.#end) this.#takePart(octets)
  }

  #takePart(octets: number): void {
    let slab = this.#slab
    if (slab === undefined || this.#end < slab.at || this.#at + octets > slab.memory.length) {
      this.#cut()
      slab = slabWith(octets)
      slab.users += 1
      this.#slab = slab
      this.#piece = slab.memory
      this.#start = slab.at
      this.#at = slab.at
    }
    this.#end = Math.min(slab.memory.length, this.#at + Math.max(PART_OCTETS, octets))
    slab.at = this.#end
  }

  /** What was written becomes a piece; what was not goes back, where nobody stands behind it. */
  #cut(): void {
    const slab = this.#slab
    if (slab === undefined) return
    if (this.#end === slab.at) slab.at = this.#at
    // A piece uses the slab in the place of the part that it is made of.
    if (this.#at > this.#start) {
      this.#full ??= []
      this.#full.push(this.#piece.subarray(this.#start, this.#at))
    } else slab.leave()
    this.#slab = undefined
    this.#piece = NOTHING
    this.#start = 0
    this.#at = 0
    this.#end = 0
  }
}

export interface Range {
  readonly start: number
  readonly end: number
}

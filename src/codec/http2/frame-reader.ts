/**
 * Frames out of bytes that may be cut anywhere (RFC 9113 §4, §6). Each frame is checked by itself: its size, its stream, its
 * padding. Header blocks come out whole, however many CONTINUATION frames they took; DATA comes out as it arrives, so that
 * nothing waits for the end of a frame. Of frames of unknown types no more is told than that they came (§5.5).
 */
import {
  CONTINUATION,
  DATA,
  DEFAULT_FRAME_SIZE,
  END_HEADERS,
  END_STREAM,
  ENHANCE_YOUR_CALM,
  FRAME_HEADER_OCTETS,
  FRAME_SIZE_ERROR,
  GOAWAY,
  HEADERS,
  PADDED,
  PRIORITY,
  PRIORITY_UPDATE,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  RST_STREAM,
  WINDOW_UPDATE,
  WITH_PRIORITY,
} from './frame.ts'
import { faultOf, isKnown } from './frame-forms.ts'

/** What `next` found. */
export const MORE = 0
export const FRAME = 1
/** The connection is at fault: `error` says how, and nothing more can be read. */
export const INVALID = 2
/** The stream `streamId` is at fault, and reading goes on. A header block is there as for FRAME, since the table of HPACK needs it. */
export const INVALID_STREAM = 3
/** A frame of a type that nobody knows begins, and is left out: it means nothing, and still costs something. */
export const UNKNOWN = 4
export type Found =
  | typeof MORE
  | typeof FRAME
  | typeof INVALID
  | typeof INVALID_STREAM
  | typeof UNKNOWN

export interface FrameCaps {
  /** Our SETTINGS_MAX_FRAME_SIZE. */
  readonly frameSize: number
  /** Octets of a header block, compressed. */
  readonly blockSize: number
  /** CONTINUATION frames of a header block; without a bound they cost whoever sends them next to nothing (CVE-2024-27316). */
  readonly continuations: number
}

export const DEFAULT_FRAME_CAPS: FrameCaps = Object.freeze({
  frameSize: DEFAULT_FRAME_SIZE,
  blockSize: 64 * 1024,
  continuations: 8,
})

const NOTHING = Buffer.alloc(0)

const HEADER = 0
const PAYLOAD = 1
const DATA_OCTETS = 2
const PADDING = 3
const SKIPPED = 4
const BROKEN = 5

export class FrameReader {
  /** Of the frame that was found. A header block that was continued has the type and flags of its first frame. */
  type = 0
  flags = 0
  streamId = 0
  /** Its payload, or the piece of DATA, is `bytes[start, end)`, without padding and priority. Valid until the next `next`. */
  bytes: Buffer = NOTHING
  start = 0
  end = 0
  /** DATA: octets that count for flow control, padding and its length included (§6.9.1). */
  flowOctets = 0
  /**
   * Octets on the wire, frame headers included: of a header block with all of its CONTINUATION frames; of a piece of DATA
   * its own, where the first has the header and the length of the padding as well. Each octet counts once.
   */
  wireOctets = 0
  /** DATA: this is the last piece of its frame. */
  finished = true
  /** DATA: so far there is nothing in its frame but padding. */
  bare = true
  /** RST_STREAM and GOAWAY: the code; WINDOW_UPDATE: the increment; PUSH_PROMISE, GOAWAY and PRIORITY_UPDATE: a stream. */
  code = 0
  increment = 0
  otherStreamId = 0
  /** Of INVALID and INVALID_STREAM. */
  error = 0

  readonly #caps: FrameCaps
  #chunk: Buffer = NOTHING
  #at = 0
  /** What stands behind it in the chunk is not of this connection. */
  #end = 0
  #state = HEADER
  /** What there is of a frame header or payload that is not whole yet. */
  #held: Buffer = NOTHING
  #heldOctets = 0
  /** Octets of the payload that are still to come. */
  #left = 0
  #padding = 0
  /** Octets of the present DATA frame that no piece has counted yet: for flow control, and on the wire. */
  #uncounted = 0
  #uncountedOnWire = 0
  /** The header block that waits for its CONTINUATION; 0 where none does. */
  #blockStream = 0
  #block: Buffer = NOTHING
  #blockOctets = 0
  #blockWireOctets = 0
  #continuations = 0
  #blockFlags = 0
  #blockOther = 0

  constructor(caps: FrameCaps = DEFAULT_FRAME_CAPS) {
    this.#caps = caps
  }

  /** A DATA frame ends its stream with its last piece, a header block with its first frame. */
  get endsStream(): boolean {
    return (this.flags & END_STREAM) !== 0 && this.finished
  }

  /** Whether a header block, or a frame other than DATA, has begun and not ended; also the header of any frame. */
  get midway(): boolean {
    return (
      this.#blockStream !== 0 ||
      this.#heldOctets > 0 ||
      this.#state === PAYLOAD ||
      this.#state === SKIPPED
    )
  }

  /** Takes more bytes, `chunk[0, end)`, once `next` has answered MORE. They must stay as they are until it does again. */
  push(chunk: Buffer, end = chunk.length): void {
    this.#chunk = chunk
    this.#at = 0
    this.#end = end
  }

  next(): Found {
    const found = this.#find()
    if (found === MORE) {
      // What was pushed is not kept: an idle connection would hold a whole read buffer.
      this.bytes = NOTHING
      this.#chunk = NOTHING
      this.#at = 0
      this.#end = 0
    }
    return found
  }

  #find(): Found {
    for (;;) {
      switch (this.#state) {
        case HEADER: {
          const header = this.#gather(FRAME_HEADER_OCTETS)
          if (header < 0) return MORE
          const found = this.#begin(header)
          if (found !== MORE) return found
          break
        }
        case PAYLOAD: {
          const start = this.#gather(this.#left)
          if (start < 0) return MORE
          this.#state = HEADER
          this.start = start
          this.end = start + this.#left
          const found = this.#payload()
          if (found !== MORE) return found
          break
        }
        case DATA_OCTETS:
          return this.#dataPiece()
        case PADDING:
        case SKIPPED:
          if (!this.#skip()) return MORE
          if (this.#state === PADDING) return this.#dataEnd()
          this.#state = HEADER
          break
        default:
          return INVALID
      }
    }
  }

  /** Where `octets` of them stand whole in `bytes`, or -1 where they have not all come yet. */
  #gather(octets: number): number {
    const available = this.#end - this.#at
    if (this.#heldOctets === 0 && available >= octets) {
      const start = this.#at
      this.bytes = this.#chunk
      this.#at += octets
      return start
    }
    // Most reads end with a frame, and nothing of the next one has come.
    if (available === 0) return -1
    if (this.#heldOctets === 0) this.#held = Buffer.allocUnsafeSlow(octets)
    const taken = Math.min(available, octets - this.#heldOctets)
    this.#chunk.copy(this.#held, this.#heldOctets, this.#at, this.#at + taken)
    this.#heldOctets += taken
    this.#at += taken
    if (this.#heldOctets < octets) return -1
    this.#heldOctets = 0
    this.bytes = this.#held
    this.#held = NOTHING
    return 0
  }

  #begin(at: number): Found {
    const { bytes } = this
    const length =
      ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number)
    const type = bytes[at + 3] as number
    const flags = bytes[at + 4] as number
    const streamId = uint31(bytes, at + 5)
    this.type = type
    this.flags = flags
    this.streamId = streamId
    this.finished = true
    this.wireOctets = FRAME_HEADER_OCTETS + length
    this.#left = length
    if (length > this.#caps.frameSize) return this.#invalid(FRAME_SIZE_ERROR)
    // Between a header block and the rest of it there is nothing, not even of an unknown type (§4.3, §5.5).
    if (this.#blockStream !== 0 && (type !== CONTINUATION || streamId !== this.#blockStream))
      return this.#invalid(PROTOCOL_ERROR)
    const fault = faultOf(type, flags, streamId, length)
    if (fault > 0) return this.#invalid(fault)
    if (fault < 0) {
      this.#state = SKIPPED
      return this.#invalidStream(-fault)
    }
    if (type === DATA) return this.#beginData(length)
    if (type === CONTINUATION && this.#blockStream === 0) return this.#invalid(PROTOCOL_ERROR)
    if (!isKnown(type)) {
      this.#state = SKIPPED
      return UNKNOWN
    }
    this.#state = PAYLOAD
    return MORE
  }

  #beginData(length: number): Found {
    this.#uncounted = 0
    this.#uncountedOnWire = FRAME_HEADER_OCTETS
    this.#padding = 0
    this.bare = true
    this.#state = (this.flags & PADDED) === 0 ? DATA_OCTETS : PAYLOAD
    // The length of the padding is read as a payload of its own.
    if (this.#state === PAYLOAD) {
      this.#padding = length
      this.#left = 1
    }
    return MORE
  }

  #payload(): Found {
    switch (this.type) {
      case DATA:
        return this.#dataPadding()
      case HEADERS:
      case PUSH_PROMISE:
        return this.#firstFragment()
      case CONTINUATION:
        return this.#furtherFragment()
      default:
        return this.#fields()
    }
  }

  #dataPadding(): Found {
    const length = this.#padding
    const padding = this.bytes[this.start] as number
    if (padding >= length) return this.#invalid(PROTOCOL_ERROR)
    this.#padding = padding
    this.#left = length - 1 - padding
    this.#uncounted = 1
    this.#state = DATA_OCTETS
    return MORE
  }

  /** What there is of a DATA frame's octets. Where padding follows, it comes out behind them as a piece without octets. */
  #dataPiece(): Found {
    const octets = Math.min(this.#left, this.#end - this.#at)
    if (octets === 0 && this.#left > 0) return MORE
    this.bytes = this.#chunk
    this.start = this.#at
    this.#at += octets
    this.end = this.#at
    if (octets > 0) this.bare = false
    this.#left -= octets
    this.flowOctets = octets + this.#uncounted
    this.wireOctets = this.flowOctets + this.#uncountedOnWire
    this.#uncounted = 0
    this.#uncountedOnWire = 0
    this.finished = this.#left === 0 && this.#padding === 0
    if (this.finished) this.#state = HEADER
    else if (this.#left === 0) {
      this.#left = this.#padding
      this.#state = PADDING
    }
    return FRAME
  }

  #dataEnd(): Found {
    this.start = 0
    this.end = 0
    this.flowOctets = this.#padding
    this.wireOctets = this.#padding
    this.finished = true
    this.#state = HEADER
    return FRAME
  }

  #skip(): boolean {
    const octets = Math.min(this.#left, this.#end - this.#at)
    this.#at += octets
    this.#left -= octets
    return this.#left === 0
  }

  /** HEADERS and PUSH_PROMISE: padding, priority and the promised stream aside, what is left is a header block. */
  #firstFragment(): Found {
    const { bytes } = this
    if ((this.flags & PADDED) !== 0) {
      const padding = bytes[this.start] as number
      this.start += 1
      this.end -= padding
    }
    // The sizes were checked as far as they are known without the padding.
    const fixed = this.type === PUSH_PROMISE ? 4 : (this.flags & WITH_PRIORITY) === 0 ? 0 : 5
    if (this.end - this.start < fixed) return this.#invalid(PROTOCOL_ERROR)
    const other = fixed === 0 ? 0 : uint31(bytes, this.start)
    this.start += fixed
    this.otherStreamId = other
    // Handed out with what there is of its block: neither end takes one, and has to say so at once (§8.4).
    if (this.type === PUSH_PROMISE)
      return other === 0 || other % 2 === 1 ? this.#invalid(PROTOCOL_ERROR) : FRAME
    const octets = this.end - this.start
    if (octets > this.#caps.blockSize) return this.#invalid(ENHANCE_YOUR_CALM)
    if ((this.flags & END_HEADERS) === 0) {
      this.#keepFragment(0)
      this.#blockStream = this.streamId
      this.#blockWireOctets = this.wireOctets
      this.#blockFlags = this.flags
      this.#blockOther = other
      this.#continuations = 0
      return MORE
    }
    return this.#dependsOnItself ? this.#invalidStream(PROTOCOL_ERROR) : FRAME
  }

  #furtherFragment(): Found {
    this.#continuations += 1
    const octets = this.#blockOctets + this.end - this.start
    if (octets > this.#caps.blockSize || this.#continuations > this.#caps.continuations)
      return this.#invalid(ENHANCE_YOUR_CALM)
    this.#keepFragment(this.#blockOctets)
    this.#blockWireOctets += this.wireOctets
    if ((this.flags & END_HEADERS) === 0) return MORE
    this.type = HEADERS
    this.flags = this.#blockFlags | END_HEADERS
    this.otherStreamId = this.#blockOther
    this.wireOctets = this.#blockWireOctets
    this.bytes = this.#block
    this.start = 0
    this.end = this.#blockOctets
    this.#block = NOTHING
    this.#blockStream = 0
    return this.#dependsOnItself ? this.#invalidStream(PROTOCOL_ERROR) : FRAME
  }

  /** Priorities are ignored, but for this (RFC 7540 §5.3.1). Its header block is there: the table of HPACK needs it. */
  get #dependsOnItself(): boolean {
    return (
      this.type === HEADERS &&
      (this.flags & WITH_PRIORITY) !== 0 &&
      this.otherStreamId === this.streamId
    )
  }

  #keepFragment(at: number): void {
    const octets = this.end - this.start
    if (this.#block.length < at + octets) {
      const larger = Buffer.allocUnsafeSlow(Math.min(this.#caps.blockSize, 2 * (at + octets)))
      this.#block.copy(larger, 0, 0, at)
      this.#block = larger
    }
    this.bytes.copy(this.#block, at, this.start, this.end)
    this.#blockOctets = at + octets
  }

  /** Frames whose payload has a fixed beginning. */
  #fields(): Found {
    const { bytes, start } = this
    switch (this.type) {
      case PRIORITY:
        this.otherStreamId = uint31(bytes, start)
        return this.otherStreamId === this.streamId ? this.#invalidStream(PROTOCOL_ERROR) : FRAME
      case RST_STREAM:
        this.code = bytes.readUInt32BE(start)
        return FRAME
      case GOAWAY:
        this.otherStreamId = uint31(bytes, start)
        this.code = bytes.readUInt32BE(start + 4)
        this.start += 8
        return FRAME
      case WINDOW_UPDATE:
        this.increment = uint31(bytes, start)
        if (this.increment > 0) return FRAME
        return this.streamId === 0
          ? this.#invalid(PROTOCOL_ERROR)
          : this.#invalidStream(PROTOCOL_ERROR)
      case PRIORITY_UPDATE:
        this.otherStreamId = uint31(bytes, start)
        this.start += 4
        return this.otherStreamId === 0 ? this.#invalid(PROTOCOL_ERROR) : FRAME
      default:
        return FRAME
    }
  }

  #invalid(error: number): Found {
    this.error = error
    this.#state = BROKEN
    return INVALID
  }

  #invalidStream(error: number): Found {
    this.error = error
    return INVALID_STREAM
  }
}

/** 32 bits without the first, which is reserved. */
function uint31(bytes: Buffer, at: number): number {
  return (
    (((bytes[at] as number) & 0x7f) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  )
}

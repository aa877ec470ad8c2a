/** One stream of a `FramePeer`: what it says and hears, and every octet of its frames (docs/metering.md). */
import {
  CANCEL,
  DATA,
  END_STREAM,
  FRAME_HEADER_OCTETS,
  PADDED,
  RST_STREAM,
  WINDOW_UPDATE,
} from '../../../src/codec/http2/frame.ts'
import { frame, uint32 } from './frames.ts'

export type Fields = readonly (readonly [name: string, value: string])[]

export interface DataShape {
  /** Octets of data in a frame at most. */
  readonly frame?: number
  /** Octets of padding in each frame. */
  readonly padding?: number
}

export interface SectionShape {
  readonly end?: boolean
  /** Octets of the header block in a frame at most: more go into CONTINUATION. */
  readonly fragment?: number
  readonly padding?: number
  /** With the priority that RFC 7540 had. */
  readonly priority?: boolean
}

/** What a stream needs of its connection. */
export interface FrameSink {
  /** Octets of DATA that the other end takes now, on all streams together. */
  sendWindow: number
  readonly over: boolean
  write(bytes: Buffer): void
  /** Frames of a header section; the table of HPACK is that of the connection. */
  section(streamId: number, fields: Fields, shape: SectionShape): Buffer
}

/** `needed`: unless the content-length says that no more is to come than the window has room for. */
export type Granting = 'needed' | 'always' | 'never'

const LARGEST_FRAME = 16_384
const WINDOW_UPDATE_OCTETS = FRAME_HEADER_OCTETS + 4
const RESET_OCTETS = FRAME_HEADER_OCTETS + 4

/** How a side ends: with the flag of its last data, in a frame of its own, or with trailers. */
type Ending = 'no' | 'flag' | 'frame' | Fields

interface Piece {
  bytes: Buffer
  readonly frame: number
  readonly padding: number
}

export class FrameStream {
  readonly id: number
  /** Octets of frames with their headers; what came behind an own reset is part of it. */
  sent = 0
  received = 0
  /** Header sections that came, in their order: interim ones, the first one, trailers. */
  readonly sections: Fields[] = []
  /** Octets of data, without padding. */
  dataReceived = 0
  dataSent = 0
  /** Octets of data and sections that came behind the end of the other side: there may be none. */
  stray = 0
  /** The other end has said all. */
  remoteEnded = false
  /** We have. */
  localEnded = false
  /** Code of the other end's RST_STREAM. */
  resetByPeer: number | undefined
  /** Code of our RST_STREAM. */
  resetByUs: number | undefined
  onData: (bytes: Buffer) => void = () => {}
  onSection: (fields: Fields) => void = () => {}
  /** It is over for us, however that came. */
  onOver: () => void = () => {}
  readonly #sink: FrameSink
  readonly #granting: Granting
  #sendWindow: number
  readonly #queue: Piece[] = []
  #ending: Ending = 'no'
  /** Octets that the other end may have sent in all, and has; padding counts. */
  #granted: number
  #flowed = 0
  readonly #grants: number[] = []
  readonly #size: number
  #waiting: (() => void)[] = []
  #told = false

  constructor(
    sink: FrameSink,
    id: number,
    windows: { readonly send: number; readonly receive: number; readonly granting: Granting },
  ) {
    this.#sink = sink
    this.id = id
    this.#sendWindow = windows.send
    this.#granted = windows.receive
    this.#size = windows.receive
    this.#granting = windows.granting
  }

  get over(): boolean {
    return (
      (this.remoteEnded && this.localEnded) ||
      this.resetByPeer !== undefined ||
      this.resetByUs !== undefined ||
      this.#sink.over
    )
  }

  /** Octets of data that wait for a window. */
  get unsent(): number {
    return this.#queue.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  /**
   * Octets that we sent when the other end may have been through with the stream already, and then counts them for nobody: a
   * window that the rest of the data did not need, a reset that met the end. 0 where all was certain.
   */
  get uncertain(): number {
    if (this.resetByPeer !== undefined && !this.remoteEnded) return this.sent
    if (!this.remoteEnded) return 0
    const grants = this.#grants.filter(before => this.#flowed <= before).length
    const reset = this.resetByUs === undefined ? 0 : RESET_OCTETS
    return grants * WINDOW_UPDATE_OCTETS + reset
  }

  /** A field of the answer, the interim ones before included. */
  header(name: string): string | undefined {
    return this.sections
      .findLast(section => section[0]?.[0] === ':status')
      ?.find(field => field[0] === name)?.[1]
  }

  /** Of the last section that has one; 0 before. */
  get status(): number {
    return Number(this.header(':status') ?? 0)
  }

  /** The section behind the data, if there was one. */
  get trailers(): Fields | undefined {
    const last = this.sections.at(-1)
    return last?.[0]?.[0].startsWith(':') === true ? undefined : last
  }

  /** Any frames, as they are. */
  raw(bytes: Buffer): void {
    this.sent += bytes.length
    this.#sink.write(bytes)
  }

  section(fields: Fields, shape: SectionShape = {}): void {
    if (this.over) return
    this.raw(this.#sink.section(this.id, fields, shape))
    if (shape.end === true) this.#endLocal()
  }

  /** As windows allow; `ending` as `end` has it, with the last of these bytes. */
  write(
    bytes: Buffer,
    { frame: octets = LARGEST_FRAME, padding = 0 }: DataShape = {},
    ending: Ending = 'no',
  ): void {
    const most = LARGEST_FRAME - (padding > 0 ? padding + 1 : 0)
    if (bytes.length > 0) this.#queue.push({ bytes, frame: Math.min(octets, most), padding })
    if (ending !== 'no') this.#ending = ending
    this.pump()
  }

  /** Behind all data: END_STREAM with the last of it, in a frame of its own, or with trailers. */
  end(how: 'flag' | 'frame' | Fields = 'flag'): void {
    this.#ending = how
    this.pump()
  }

  reset(code: number = CANCEL): void {
    if (this.over) return
    this.raw(frame(RST_STREAM, this.id, uint32(code)))
    this.resetByUs = code
    this.#queue.length = 0
    this.#changed()
  }

  /** Lets the other end send so many octets more. */
  grant(octets: number): void {
    if (this.over || this.remoteEnded) return
    this.#grants.push(this.#granted)
    this.#granted += octets
    this.raw(frame(WINDOW_UPDATE, this.id, uint32(octets)))
  }

  /** The other end takes more, or less. */
  widen(octets: number): void {
    this.#sendWindow += octets
    this.pump()
  }

  pump(): void {
    while (!this.over && !this.localEnded) {
      const [piece] = this.#queue
      if (piece === undefined) {
        this.#finish()
        return
      }
      if (!this.#send(piece)) return
    }
  }

  /** False where no window is open. */
  #send(piece: Piece): boolean {
    const window = Math.min(this.#sendWindow, this.#sink.sendWindow)
    // Where the padding alone would fill the window, there is none.
    const padding = window > piece.padding + 1 ? piece.padding : 0
    const beside = padding > 0 ? padding + 1 : 0
    const octets = Math.min(piece.bytes.length, piece.frame, window - beside)
    if (octets <= 0) return false
    const data = piece.bytes.subarray(0, octets)
    piece.bytes = piece.bytes.subarray(octets)
    if (piece.bytes.length === 0) this.#queue.shift()
    this.#sendWindow -= octets + beside
    this.#sink.sendWindow -= octets + beside
    this.dataSent += octets
    const last = this.#queue.length === 0 && this.#ending === 'flag'
    const flags = (last ? END_STREAM : 0) | (padding > 0 ? PADDED : 0)
    const payload =
      padding > 0 ? Buffer.concat([Buffer.of(padding), data, Buffer.alloc(padding)]) : data
    this.raw(frame(DATA, this.id, payload, flags))
    if (last) this.#endLocal()
    else if (this.#queue.length === 0) this.#changed()
    return true
  }

  #finish(): void {
    if (this.#ending === 'no') return
    if (typeof this.#ending === 'string') {
      this.raw(frame(DATA, this.id, '', END_STREAM))
      this.#endLocal()
    } else this.section(this.#ending, { end: true })
  }

  #endLocal(): void {
    this.localEnded = true
    this.#changed()
  }

  /** A whole header section has come. */
  takeSection(fields: Fields, ends: boolean): void {
    if (this.remoteEnded || this.resetByPeer !== undefined) this.stray += 1
    this.sections.push(fields)
    this.onSection(fields)
    if (ends) this.remoteEnded = true
    this.#changed()
  }

  /** A frame of data has come; `flow` counts its padding. */
  takeData(bytes: Buffer, flow: number, ends: boolean): void {
    if (this.remoteEnded || this.resetByPeer !== undefined) this.stray += flow
    this.#flowed += flow
    this.dataReceived += bytes.length
    if (bytes.length > 0) this.onData(bytes)
    if (ends) this.remoteEnded = true
    else this.#grantMore()
    this.#changed()
  }

  takeReset(code: number): void {
    this.resetByPeer = code
    this.#queue.length = 0
    this.#changed()
  }

  #grantMore(): void {
    const open = this.#granted - this.#flowed
    if (this.#granting === 'never' || open > this.#size / 2) return
    const length = Number(this.header('content-length') ?? Number.POSITIVE_INFINITY)
    if (this.#granting === 'needed' && length - this.dataReceived <= open) return
    this.grant(this.#size)
  }

  /** Resolves as soon as `holds`; false where nothing more can come before. */
  async until(holds: () => boolean): Promise<boolean> {
    while (!holds()) {
      if (this.#sink.over) return false
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
    return true
  }

  /** The connection is over, or something has come. */
  wake(): void {
    this.#changed()
  }

  #changed(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
    if (!this.over || this.#told) return
    this.#told = true
    this.onOver()
  }
}

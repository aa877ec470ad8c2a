/**
 * What RFC 9113 says of bytes that one end received, as far as a connection ends of it: the code with which it must end, and
 * the codes with which it may. A second reading of the same text, slow and plain, that knows frames and next to nothing of
 * streams; header blocks it has decoded, and leaves what they say to others.
 */
import { HpackDecoder } from '../../../src/codec/http2/hpack-decoder.ts'
import type { SessionOptions } from '../../../src/codec/http2/session-options.ts'
import { framesOf, type WireFrame } from '../http2/wire-frames.ts'

/** Of RFC 9113 §7, by their names there. */
export const CODES = {
  PROTOCOL_ERROR: 1,
  FLOW_CONTROL_ERROR: 3,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  COMPRESSION_ERROR: 9,
  ENHANCE_YOUR_CALM: 11,
} as const
type Code = keyof typeof CODES

/** §6, by type. */
const NAMES = [
  'DATA',
  'HEADERS',
  'PRIORITY',
  'RST_STREAM',
  'SETTINGS',
  'PUSH_PROMISE',
  'PING',
  'GOAWAY',
  'WINDOW_UPDATE',
  'CONTINUATION',
] as const
type Name = (typeof NAMES)[number] | 'PRIORITY_UPDATE' | 'unknown'

const LARGEST_WINDOW = 2 ** 31 - 1
const INITIAL_WINDOW = 65_535

export interface Ruling {
  /** Codes one of which must end the connection; empty where nothing must. */
  readonly must: readonly number[]
  /** What also may, earlier or instead. */
  readonly may: ReadonlySet<number>
  /** The frame that ends it, or what comes behind the last one. */
  readonly at: string
}

export interface Reader {
  readonly role: 'server' | 'client'
  /** Streams that a client began: 1, 3, 5, … */
  readonly streams: number
  readonly options: SessionOptions
  /** A PRIORITY of another size is answered with a reset, also on a stream that is idle (as h2spec wants it). */
  readonly takesIdleResets?: boolean
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/** What must and may become of `bytes`. */
export function ruling(bytes: Buffer, reader: Reader): Ruling {
  const judge = new Judge(reader)
  let rest = bytes
  if (reader.role === 'server') {
    const length = Math.min(bytes.length, PREFACE.length)
    if (!bytes.subarray(0, length).equals(PREFACE.subarray(0, length)))
      return { must: [CODES.PROTOCOL_ERROR], may: new Set(), at: 'preface' }
    rest = bytes.subarray(length)
  }
  const { frames, end } = framesOf(rest)
  for (const [index, frame] of frames.entries()) {
    const must = judge.frame(frame)
    if (must.length > 0)
      return { must: must.map(code => CODES[code]), may: judge.may, at: `${index}: ${show(frame)}` }
  }
  judge.beginning(rest.subarray(end))
  return { must: [], may: judge.may, at: '' }
}

function show({ type, flags, streamId, payload }: WireFrame): string {
  return `${nameOf(type)} ${flags.toString(2)} of ${streamId}, ${payload.length} octets`
}

function nameOf(type: number): Name {
  return type === 0x10 ? 'PRIORITY_UPDATE' : (NAMES[type] ?? 'unknown')
}

interface OpenBlock {
  readonly streamId: number
  readonly fragments: Buffer[]
  continuations: number
}

class Judge {
  readonly may = new Set<number>()
  readonly #reader: Reader
  readonly #decoder: HpackDecoder
  #highest: number
  readonly #begun = new Set<number>()
  #first = true
  #early = false
  #lost = false
  /** The header block that is not whole. */
  #open: OpenBlock | undefined
  #sessionWindow = INITIAL_WINDOW
  #largestUpdate = 0
  #initial = INITIAL_WINDOW
  #connectProtocol = false

  constructor(reader: Reader) {
    this.#reader = reader
    this.#decoder = new HpackDecoder(reader.options.headers)
    this.#highest = reader.role === 'client' ? 2 * reader.streams - 1 : 0
  }

  /** Codes one of which this frame demands. */
  frame(frame: WireFrame): Code[] {
    if (this.#lost) return []
    const name = nameOf(frame.type)
    const { frameSize } = this.#reader.options.frames
    // A SETTINGS that only acknowledges is not the one that has to come first.
    if (this.#first) {
      this.#first = false
      this.#early = name !== 'SETTINGS' || (frame.flags & 1) !== 0
    }
    const wrong = this.#wrongHeader(frame)
    if (frame.payload.length > frameSize) return ['FRAME_SIZE_ERROR', ...wrong, ...this.#tooEarly()]
    if (wrong.length > 0) return [...wrong, ...this.#tooEarly()]
    // Nobody has seen a header block before it is whole.
    const demanded = this.#content(name, frame)
    if (this.#open === undefined) return [...demanded, ...this.#tooEarly()]
    return demanded
  }

  /** Something came before the settings. */
  #tooEarly(): Code[] {
    return this.#early ? ['PROTOCOL_ERROR'] : []
  }

  /** The header of a frame that is not whole can be wrong already. */
  beginning(rest: Buffer): void {
    if (rest.length >= 9) this.#mayAll()
  }

  #mayAll(): void {
    for (const code of Object.values(CODES)) this.may.add(code)
  }

  #wrongHeader({ type, flags, streamId, payload }: WireFrame): Code[] {
    const name = nameOf(type)
    const codes: Code[] = []
    if (this.#open !== undefined && (name !== 'CONTINUATION' || streamId !== this.#open.streamId))
      return ['PROTOCOL_ERROR', 'FRAME_SIZE_ERROR']
    if (name === 'unknown') return []
    const ofConnection = ['SETTINGS', 'PING', 'GOAWAY', 'PRIORITY_UPDATE'].includes(name)
    if (name !== 'WINDOW_UPDATE' && ofConnection !== (streamId === 0)) codes.push('PROTOCOL_ERROR')
    if (isWrongSize(name, flags, payload.length)) codes.push('FRAME_SIZE_ERROR')
    if (name === 'CONTINUATION' && this.#open === undefined) codes.push('PROTOCOL_ERROR')
    return codes
  }

  #content(name: Name, frame: WireFrame): Code[] {
    const { streamId, payload, flags } = frame
    switch (name) {
      case 'DATA':
        return this.#data(frame)
      case 'HEADERS':
        return this.#headers(frame)
      case 'CONTINUATION':
        return this.#continuation(frame)
      case 'RST_STREAM':
        return this.#isIdle(streamId) && this.#reader.takesIdleResets !== true
          ? ['PROTOCOL_ERROR']
          : []
      case 'SETTINGS':
        return (flags & 1) === 0 ? this.#settings(payload) : []
      case 'PUSH_PROMISE':
        if ((flags & 0x4) !== 0) return ['PROTOCOL_ERROR', 'COMPRESSION_ERROR']
        // That it is refused shows once its block is whole; what becomes of the rest until then is not looked at.
        this.#lost = true
        this.#mayAll()
        return []
      case 'WINDOW_UPDATE':
        return this.#windowUpdate(streamId, payload.readUInt32BE(0) & LARGEST_WINDOW)
      case 'PRIORITY_UPDATE':
        return this.#priorityUpdate(payload.readUInt32BE(0) & LARGEST_WINDOW)
      case 'PRIORITY':
      case 'PING':
      case 'GOAWAY':
      case 'unknown':
        return []
    }
  }

  #data({ flags, streamId, payload }: WireFrame): Code[] {
    if (isPaddedTooMuch(flags, payload, 0)) return ['PROTOCOL_ERROR']
    if (this.#isIdle(streamId)) return ['PROTOCOL_ERROR']
    // Whether it is closed depends on more than is known here.
    this.may.add(CODES.STREAM_CLOSED)
    return []
  }

  #headers({ flags, streamId, payload }: WireFrame): Code[] {
    const fixed = (flags & 0x20) === 0 ? 0 : 5
    if (isPaddedTooMuch(flags, payload, fixed)) return ['PROTOCOL_ERROR', 'FRAME_SIZE_ERROR']
    const padded = (flags & 0x8) !== 0
    const from = (padded ? 1 : 0) + fixed
    const fragment = payload.subarray(from, payload.length - (padded ? (payload[0] as number) : 0))
    this.#open = { streamId, fragments: [fragment], continuations: 0 }
    return this.#blockEnd(flags)
  }

  #continuation({ flags, payload }: WireFrame): Code[] {
    const open = this.#open as OpenBlock
    open.fragments.push(payload)
    open.continuations += 1
    if (open.continuations > this.#reader.options.frames.continuations) return ['ENHANCE_YOUR_CALM']
    return this.#blockEnd(flags)
  }

  #blockEnd(flags: number): Code[] {
    const open = this.#open as OpenBlock
    const block = Buffer.concat(open.fragments)
    if (block.length > this.#reader.options.frames.blockSize) return ['ENHANCE_YOUR_CALM']
    if ((flags & 0x4) === 0) return []
    this.#open = undefined
    const readable = this.#decoder.decode(block, 0, block.length)
    const { streamId } = open
    if (streamId % 2 === 0) return ['PROTOCOL_ERROR', 'COMPRESSION_ERROR']
    if (this.#reader.role === 'client') {
      if (this.#isIdle(streamId)) return ['PROTOCOL_ERROR', 'COMPRESSION_ERROR']
    } else if (streamId > this.#highest) {
      this.#highest = streamId
      this.#begun.add(streamId)
    } else if (!this.#begun.has(streamId)) return ['PROTOCOL_ERROR', 'COMPRESSION_ERROR']
    if (!readable) return ['COMPRESSION_ERROR']
    this.may.add(CODES.STREAM_CLOSED)
    // A stream that cannot begin, and depends on itself, may take the connection with it (RFC 7540 §5.3.1).
    this.may.add(CODES.PROTOCOL_ERROR)
    return []
  }

  #settings(payload: Buffer): Code[] {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      const code = this.#setting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
      if (code !== undefined) return [code]
    }
    return []
  }

  #setting(id: number, value: number): Code | undefined {
    // A server is pushed nothing, whatever it says (§6.5.2).
    if (id === 2 && value > (this.#reader.role === 'client' ? 0 : 1)) return 'PROTOCOL_ERROR'
    // RFC 9218 §2.1.
    if (id === 9 && value > 1) return 'PROTOCOL_ERROR'
    if (id === 4 && value > LARGEST_WINDOW) return 'FLOW_CONTROL_ERROR'
    if (id === 4) {
      this.#initial = Math.max(this.#initial, value)
      if (this.#initial + this.#largestUpdate > LARGEST_WINDOW)
        this.may.add(CODES.FLOW_CONTROL_ERROR)
    }
    if (id === 5 && (value < 16_384 || value > 2 ** 24 - 1)) return 'PROTOCOL_ERROR'
    // RFC 8441 §3.
    if (id === 8 && (value > 1 || (this.#connectProtocol && value === 0))) return 'PROTOCOL_ERROR'
    if (id === 8) this.#connectProtocol = value === 1
    return undefined
  }

  #windowUpdate(streamId: number, by: number): Code[] {
    if (streamId !== 0) {
      this.#largestUpdate += by
      if (this.#initial + this.#largestUpdate > LARGEST_WINDOW)
        this.may.add(CODES.FLOW_CONTROL_ERROR)
      return this.#isIdle(streamId) ? ['PROTOCOL_ERROR'] : []
    }
    if (by === 0) return ['PROTOCOL_ERROR']
    this.#sessionWindow += by
    // What was sent meanwhile is less than any window.
    if (this.#sessionWindow - INITIAL_WINDOW > LARGEST_WINDOW) return ['FLOW_CONTROL_ERROR']
    if (this.#sessionWindow > LARGEST_WINDOW) this.may.add(CODES.FLOW_CONTROL_ERROR)
    return []
  }

  /** RFC 9218 §7.1. */
  #priorityUpdate(streamId: number): Code[] {
    return this.#reader.role === 'client' || streamId === 0 || streamId % 2 === 0
      ? ['PROTOCOL_ERROR']
      : []
  }

  #isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId > this.#highest
  }
}

function isWrongSize(name: Name, flags: number, length: number): boolean {
  switch (name) {
    case 'RST_STREAM':
    case 'WINDOW_UPDATE':
      return length !== 4
    case 'PING':
      return length !== 8
    case 'GOAWAY':
      return length < 8
    case 'PRIORITY_UPDATE':
      return length < 4
    case 'SETTINGS':
      return length % 6 !== 0 || ((flags & 1) !== 0 && length > 0)
    case 'DATA':
      return (flags & 0x8) !== 0 && length < 1
    case 'HEADERS':
      return length < ((flags & 0x8) === 0 ? 0 : 1) + ((flags & 0x20) === 0 ? 0 : 5)
    case 'PUSH_PROMISE':
      return length < ((flags & 0x8) === 0 ? 4 : 5)
    // One of another size is a fault of its stream.
    case 'PRIORITY':
    case 'CONTINUATION':
    case 'unknown':
      return false
  }
}

function isPaddedTooMuch(flags: number, payload: Buffer, fixed: number): boolean {
  return (flags & 0x8) !== 0 && (payload[0] as number) + 1 + fixed > payload.length
}

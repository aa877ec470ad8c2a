/**
 * One end of an HTTP/2 connection, apart from the sessions that are tested: it writes the frames that a test wants, cut and
 * padded as it wants, and counts each octet of each frame for the stream that the frame names. Only HPACK is the codec's.
 */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  FRAME_HEADER_OCTETS,
  GOAWAY,
  HEADERS,
  PADDED,
  PING,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
  WITH_PRIORITY,
} from '../../../src/codec/http2/frame.ts'
import { CLIENT_PREFACE } from '../../../src/codec/http2/frame-writer.ts'
import { HeaderField, INDEXED, PLAIN } from '../../../src/codec/http2/header-field.ts'
import { HpackDecoder } from '../../../src/codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../../src/codec/http2/hpack-encoder.ts'
import {
  DEFAULT_WINDOW,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  Settings,
} from '../../../src/codec/http2/settings.ts'
import {
  type Fields,
  type FrameSink,
  FrameStream,
  type Granting,
  type SectionShape,
} from './frame-stream.ts'
import { frame, uint32 } from './frames.ts'

export interface FramePeerOptions {
  /** Octets that the other end may send ahead on a stream. */
  readonly window?: number
  /** When a stream lets it send more. */
  readonly granting?: Granting
  /** Further settings, as pairs of identifier and value. */
  readonly settings?: readonly (readonly [id: number, value: number])[]
}

/** Streams that the other end may have; none where it may have none at all. */
const SERVED_STREAMS = 1_000
/** Of the connection, where it is given back. */
const SESSION_WINDOW = 1024 * 1024
const MAX_LIST = 1024 * 1024

/** A header block that waits for the rest of it. */
interface Block {
  readonly streamId: number
  readonly flags: number
  bytes: Buffer
}

export class FramePeer implements FrameSink {
  readonly socket: net.Socket
  readonly streams = new Map<number, FrameStream>()
  readonly remote = new Settings()
  /** Octets of frames that belong to no stream, and of the preface. */
  connectionSent = 0
  connectionReceived = 0
  /** Octets of all that was given to the socket, and came from it. */
  sent = 0
  received = 0
  sendWindow: number = DEFAULT_WINDOW
  /** What was said with it, for whoever looks for a reason. */
  farewell = ''
  goneAway: { readonly lastStreamId: number; readonly code: number } | undefined
  /** Every GOAWAY that came, in order. */
  readonly goneAways: { readonly lastStreamId: number; readonly code: number }[] = []
  /** PINGs that came and were not answered. */
  readonly heldPings: Buffer[] = []
  /** PINGs that came. */
  pings = 0
  /** False keeps them unanswered, until `answerPings`. */
  answersPings = true
  /** Nothing more comes. */
  over = false
  /** Octets of frames that name a stream which was never there, or is forgotten. */
  stray = 0
  /** Of a server: a stream whose first section is there. */
  onStream: (stream: FrameStream) => void = () => {}
  readonly #role: 'client' | 'server'
  readonly #window: number
  readonly #granting: Granting
  readonly #encoder = new HpackEncoder()
  readonly #decoder = new HpackDecoder({ tableSize: 4_096, listSize: MAX_LIST, fields: 1_000 })
  #input: Buffer = Buffer.alloc(0)
  #preface: number
  #block: Block | undefined
  #strayBlock: Buffer = Buffer.alloc(0)
  #next = 1
  #last = 0
  #returned = 0
  #barriers = 0
  #pongs = 0
  #output: Buffer[] = []
  #waiting: (() => void)[] = []

  constructor(socket: net.Socket, role: 'client' | 'server', options: FramePeerOptions = {}) {
    this.socket = socket
    this.#role = role
    this.#window = options.window ?? DEFAULT_WINDOW
    this.#granting = options.granting ?? 'always'
    this.#preface = role === 'server' ? CLIENT_PREFACE.length : 0
    socket.on('data', (chunk: Buffer) => this.take(chunk))
    socket.on('end', () => this.#end())
    socket.on('close', () => this.#end())
    // A reset is an end as well.
    socket.on('error', () => {})
    this.#greet(options.settings ?? [])
  }

  /** A client on a new connection; over TLS it must get `h2` by ALPN. */
  static async connect(
    place: {
      readonly host: string
      readonly port: number
      readonly tls?: tls.ConnectionOptions | undefined
    },
    options: FramePeerOptions = {},
  ): Promise<FramePeer> {
    const { host, port, tls: secure } = place
    const all = { host, port, noDelay: true, allowHalfOpen: true }
    const socket =
      secure === undefined
        ? net.connect(all)
        : tls.connect({ ...all, ...secure, ALPNProtocols: ['h2'] })
    await once(socket, secure === undefined ? 'connect' : 'secureConnect')
    if (socket instanceof tls.TLSSocket && socket.alpnProtocol !== 'h2') {
      socket.destroy()
      throw new Error(`the other end speaks ${String(socket.alpnProtocol)} instead of h2`)
    }
    return new FramePeer(socket, 'client', options)
  }

  #greet(settings: readonly (readonly [id: number, value: number])[]): void {
    if (this.#role === 'client') this.connection(CLIENT_PREFACE)
    const pairs: (readonly [id: number, value: number])[] = [
      [INITIAL_WINDOW_SIZE, this.#window],
      ...(this.#role === 'server' ? [[MAX_CONCURRENT_STREAMS, SERVED_STREAMS] as const] : []),
      ...settings,
    ]
    const payload = Buffer.alloc(pairs.length * 6)
    for (const [index, [id, value]] of pairs.entries()) {
      payload.writeUInt16BE(id, index * 6)
      payload.writeUInt32BE(value, index * 6 + 2)
    }
    this.connection(frame(SETTINGS, 0, payload))
    this.connection(frame(WINDOW_UPDATE, 0, uint32(SESSION_WINDOW - DEFAULT_WINDOW)))
  }

  /** Begins a stream with a request. */
  request(fields: Fields, shape: SectionShape = {}): FrameStream {
    const stream = this.#stream(this.#next)
    this.#next += 2
    stream.section(fields, shape)
    return stream
  }

  #stream(id: number): FrameStream {
    const stream = new FrameStream(this, id, {
      send: this.remote.initialWindowSize,
      receive: this.#window,
      granting: this.#granting,
    })
    this.streams.set(id, stream)
    return stream
  }

  section(streamId: number, fields: Fields, shape: SectionShape): Buffer {
    const list = fields.map(
      ([name, value]) => new HeaderField(name, value, name.startsWith(':') ? INDEXED : PLAIN),
    )
    const block = Buffer.alloc(HpackEncoder.mostOctets(list))
    const octets = block.subarray(0, this.#encoder.encode(list, block, 0))
    const { end = false, fragment = 16_000, padding = 0, priority = false } = shape
    const frames: Buffer[] = []
    for (let at = 0; at === 0 || at < octets.length; at += fragment) {
      const piece = octets.subarray(at, at + fragment)
      const last = at + fragment >= octets.length ? END_HEADERS : 0
      if (at > 0) {
        frames.push(frame(CONTINUATION, streamId, piece, last))
        continue
      }
      const flags =
        last | (end ? END_STREAM : 0) | (padding > 0 ? PADDED : 0) | (priority ? WITH_PRIORITY : 0)
      const before = [
        ...(padding > 0 ? [Buffer.of(padding)] : []),
        ...(priority ? [Buffer.concat([uint32(0), Buffer.of(15)])] : []),
      ]
      frames.push(
        frame(HEADERS, streamId, Buffer.concat([...before, piece, Buffer.alloc(padding)]), flags),
      )
    }
    return Buffer.concat(frames)
  }

  /** Frames that belong to no stream. */
  connection(bytes: Buffer): void {
    this.connectionSent += bytes.length
    this.write(bytes)
  }

  /** All of one turn leaves at once. */
  write(bytes: Buffer): void {
    this.sent += bytes.length
    this.#output.push(bytes)
    if (this.#output.length === 1) queueMicrotask(() => this.#flush())
  }

  #flush(): void {
    const all = Buffer.concat(this.#output)
    this.#output = []
    if (!this.socket.destroyed && this.socket.writable) this.socket.write(all)
  }

  /** Says that no stream above `lastStreamId`, by default the last one that came, is served; those up to it are. */
  goAway(code = 0, lastStreamId = this.#last): void {
    this.connection(frame(GOAWAY, 0, uint32(lastStreamId, code)))
  }

  /** The other end has said that it does not look at this one of our streams. */
  ignores({ id }: FrameStream): boolean {
    return this.goneAway !== undefined && id > this.goneAway.lastStreamId
  }

  /** The last stream of the other end. */
  get lastStreamId(): number {
    return this.#last
  }

  /** Resolves when the other end has read all up to here, and what it sent before has come; false where it cannot. */
  async barrier(): Promise<boolean> {
    const number = ++this.#barriers
    this.connection(frame(PING, 0, uint32(0, number)))
    return this.until(() => this.#pongs >= number)
  }

  async until(holds: () => boolean): Promise<boolean> {
    while (!holds()) {
      if (this.over) return false
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
    return true
  }

  /** Leaves in good order, and waits for the end of the other side. */
  async close(): Promise<void> {
    // Not within an arrival: a TLS socket of Node loses records there.
    await new Promise(resolve => setImmediate(resolve))
    this.socket.end()
    await this.until(() => this.over)
    this.socket.destroy()
  }

  /** Leaves at once: with a reset, or as a process that ends. */
  abort(how: 'reset' | 'end'): void {
    if (how === 'reset' && !(this.socket instanceof tls.TLSSocket)) this.socket.resetAndDestroy()
    else this.socket.destroy()
    this.#end()
  }

  /** Of a socket that somebody else has read from. */
  take(chunk: Buffer): void {
    if (this.over) return
    this.received += chunk.length
    let input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk])
    if (this.#preface > 0) {
      const octets = Math.min(this.#preface, input.length)
      this.#preface -= octets
      this.connectionReceived += octets
      input = input.subarray(octets)
    }
    while (input.length >= FRAME_HEADER_OCTETS) {
      const end = FRAME_HEADER_OCTETS + input.readUIntBE(0, 3)
      if (input.length < end) break
      this.#frame(input.subarray(0, end))
      input = input.subarray(end)
    }
    this.#input = input
    this.#wake()
  }

  #frame(bytes: Buffer): void {
    const type = bytes[3] as number
    const flags = bytes[4] as number
    const streamId = bytes.readUInt32BE(5)
    const payload = bytes.subarray(FRAME_HEADER_OCTETS)
    if (streamId === 0) {
      this.connectionReceived += bytes.length
      this.#connectionFrame(type, flags, payload)
      return
    }
    let stream = this.streams.get(streamId)
    if (this.#role === 'server' && type === HEADERS && streamId > this.#last)
      stream = this.#stream(streamId)
    if (stream === undefined) {
      this.stray += bytes.length
      this.#strayFrame(type, flags, payload)
      return
    }
    this.#last = Math.max(this.#last, streamId)
    stream.received += bytes.length
    this.#streamFrame(stream, { type, flags, payload })
  }

  /** Of a stream that is forgotten: what the connection needs of it. */
  #strayFrame(type: number, flags: number, payload: Buffer): void {
    if (type === DATA) this.#returnWindow(payload.length)
    if (type !== HEADERS && type !== CONTINUATION) return
    const fragment =
      type === HEADERS
        ? withoutPadding(payload, flags, (flags & WITH_PRIORITY) === 0 ? 0 : 5)
        : payload
    this.#strayBlock = Buffer.concat([this.#strayBlock, fragment])
    if ((flags & END_HEADERS) === 0) return
    this.#decoder.decode(this.#strayBlock, 0, this.#strayBlock.length)
    this.#strayBlock = Buffer.alloc(0)
  }

  #streamFrame(
    stream: FrameStream,
    { type, flags, payload }: { type: number; flags: number; payload: Buffer },
  ): void {
    switch (type) {
      case HEADERS:
        this.#block = {
          streamId: stream.id,
          flags,
          bytes: withoutPadding(payload, flags, (flags & WITH_PRIORITY) === 0 ? 0 : 5),
        }
        if ((flags & END_HEADERS) !== 0) this.#sectionEnds(stream)
        return
      case CONTINUATION:
        if (this.#block?.streamId !== stream.id) throw new Error('CONTINUATION of nothing')
        this.#block.bytes = Buffer.concat([this.#block.bytes, payload])
        if ((flags & END_HEADERS) !== 0) this.#sectionEnds(stream)
        return
      case DATA:
        this.#returnWindow(payload.length)
        stream.takeData(
          withoutPadding(payload, flags, 0),
          payload.length,
          (flags & END_STREAM) !== 0,
        )
        return
      case RST_STREAM:
        stream.takeReset(payload.readUInt32BE(0))
        return
      case WINDOW_UPDATE:
        stream.widen(payload.readUInt32BE(0))
    }
  }

  #sectionEnds(stream: FrameStream): void {
    const { bytes, flags } = this.#block as Block
    this.#block = undefined
    if (!this.#decoder.decode(bytes, 0, bytes.length)) throw new Error('a block of no HPACK')
    const fields = this.#decoder.fields.map(({ name, value }) => [name, value] as const)
    const first = stream.sections.length === 0
    stream.takeSection(fields, (flags & END_STREAM) !== 0)
    if (first && this.#role === 'server') this.onStream(stream)
  }

  #connectionFrame(type: number, flags: number, payload: Buffer): void {
    switch (type) {
      case SETTINGS:
        if ((flags & ACK) === 0) this.#settings(payload)
        return
      case PING:
        if ((flags & ACK) === 0) this.#ping(payload)
        else this.#pongs = payload.readUInt32BE(4)
        return
      case GOAWAY:
        this.goneAway = { lastStreamId: payload.readUInt32BE(0), code: payload.readUInt32BE(4) }
        this.farewell = payload.toString('latin1', 8)
        this.goneAways.push(this.goneAway)
        for (const stream of this.streams.values()) stream.wake()
        return
      case WINDOW_UPDATE:
        this.sendWindow += payload.readUInt32BE(0)
        for (const stream of this.streams.values()) stream.pump()
    }
  }

  #ping(payload: Buffer): void {
    this.pings++
    if (this.answersPings) this.connection(frame(PING, 0, payload, ACK))
    else this.heldPings.push(Buffer.from(payload))
  }

  /** Answers those that were held, and all from now on. */
  answerPings(): void {
    this.answersPings = true
    for (const payload of this.heldPings.splice(0)) this.connection(frame(PING, 0, payload, ACK))
  }

  #settings(payload: Buffer): void {
    const before = this.remote.initialWindowSize
    this.remote.apply(payload, 0, payload.length)
    this.#encoder.setLimit(this.remote.headerTableSize)
    this.connection(frame(SETTINGS, 0, '', ACK))
    const by = this.remote.initialWindowSize - before
    for (const stream of this.streams.values()) stream.widen(by)
  }

  #returnWindow(octets: number): void {
    this.#returned += octets
    if (this.#returned < SESSION_WINDOW / 2) return
    this.connection(frame(WINDOW_UPDATE, 0, uint32(this.#returned)))
    this.#returned = 0
  }

  #end(): void {
    if (this.over) return
    this.over = true
    for (const stream of this.streams.values()) stream.wake()
    this.#wake()
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}

function withoutPadding(payload: Buffer, flags: number, skipped: number): Buffer {
  if ((flags & PADDED) === 0) return payload.subarray(skipped)
  return payload.subarray(1 + skipped, payload.length - (payload[0] as number))
}

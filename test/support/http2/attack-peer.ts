/**
 * One end of an HTTP/2 connection in the hands of a test: it sends frames as they are given, keeps no rule, and notes what
 * the other end says. Of what comes it keeps sums, so that a flood of answers costs the test nothing.
 */
import type { Socket } from 'node:net'
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
import { HpackDecoder } from '../../../src/codec/http2/hpack-decoder.ts'
import { frame, uint32 } from './frames.ts'
import type { Pair } from './raw-fields.ts'

/** Nothing that a test waits for takes a tenth of it on an idle machine. */
const PATIENCE_MS = 15_000
/** Octets of bodies that are kept a stream. */
const KEPT_BODY = 64 * 1024
/** What leaves before the other end is heard again. */
const BATCH_OCTETS = 32 * 1024

/** What was heard on a stream. */
export class HeardStream {
  /** Header sections in their order: 1xx, the final one, trailers. */
  readonly sections: Pair[][] = []
  /** Its first octets. */
  body = ''
  /** All of its octets. */
  octets = 0
  dataFrames = 0
  windowOctets = 0
  ended = false
  reset: number | undefined

  /** Of the last header section so far that has one; 0 before. */
  status = 0

  value(name: string): string | undefined {
    return this.sections.map(section => valueOf(section, name)).find(each => each !== undefined)
  }
}

function valueOf(section: readonly Pair[], name: string): string | undefined {
  return section.find(([each]) => each === name)?.[1]
}

export interface AttackPeerOptions {
  /** Octets of a preface that come before the first frame. */
  readonly skip?: number
  /** Settings of the other end are acknowledged, as any end has to; so are its pings. */
  readonly polite?: boolean
  /** What it takes of the window of the connection it gives back. */
  readonly grants?: boolean
}

export class AttackPeer {
  readonly socket: Socket
  /** Code of the last GOAWAY, and the last stream that it names. */
  goaway: number | undefined
  lastStreamId: number | undefined
  /** How many frames came, by their type. */
  readonly counts: number[] = Array.from({ length: 256 }, () => 0)
  readonly streams = new Map<number, HeardStream>()
  /** All octets that came. */
  received = 0
  ended = false
  closed = false
  /** Told of each stream whose first section is there, and of each that the other end has ended. */
  streamBegan: (streamId: number, stream: HeardStream) => void = () => {}
  streamEnded: (streamId: number, stream: HeardStream) => void = () => {}
  readonly #polite: boolean
  readonly #grants: boolean
  readonly #decoder = new HpackDecoder({ tableSize: 4_096, listSize: 1024 * 1024, fields: 10_000 })
  readonly #waiting = new Set<() => void>()
  #skip: number
  #unread: Buffer = Buffer.alloc(0)
  #fragments: Buffer[] = []
  #blockEnds = false

  constructor(socket: Socket, { skip = 0, polite = true, grants = false }: AttackPeerOptions = {}) {
    this.socket = socket
    this.#skip = skip
    this.#polite = polite
    this.#grants = grants
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.length
      this.#read(chunk)
      this.#changed()
    })
    socket.on('end', () => {
      this.ended = true
      this.#changed()
    })
    socket.on('error', () => {})
    socket.on('drain', () => this.#changed())
    socket.on('close', () => {
      this.closed = true
      this.#changed()
    })
  }

  /** Whether the other end has given up this connection. */
  get over(): boolean {
    return this.goaway !== undefined || this.ended || this.closed
  }

  stream(id: number): HeardStream {
    const known = this.streams.get(id)
    if (known !== undefined) return known
    const stream = new HeardStream()
    this.streams.set(id, stream)
    return stream
  }

  /** How many streams were reset with this code. */
  resetsOf(code: number): number {
    return [...this.streams.values()].filter(({ reset }) => reset === code).length
  }

  send(...pieces: readonly Buffer[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(pieces))
  }

  /**
   * Sends `piece(0)`, `piece(1)`, … as fast as the other end reads, until it gives up this connection or `turns` were sent.
   * Returns how many left; what was on its way when it gave up is among them.
   */
  async flood(turns: number, piece: (turn: number) => Buffer): Promise<number> {
    let turn = 0
    while (turn < turns && !this.over) {
      const batch: Buffer[] = []
      for (let octets = 0; turn < turns && octets < BATCH_OCTETS; turn += 1) {
        const next = piece(turn)
        batch.push(next)
        octets += next.length
      }
      this.send(...batch)
      if (this.socket.writableNeedDrain)
        await this.until(() => this.over || !this.socket.writableNeedDrain, 'taking the flood')
      await new Promise(resolve => setImmediate(resolve))
    }
    return turn
  }

  /** Resolves as soon as `holds`; rejects, naming `what`, where it does not within `patienceMs` or the connection closes before. */
  async until(holds: () => boolean, what: string, patienceMs: number = PATIENCE_MS): Promise<void> {
    if (holds()) return
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(look)
      }
      const fail = (why: string): void => {
        leave()
        reject(new Error(`${what}: ${why}; ${this.#state}`))
      }
      const timer = setTimeout(() => fail('not in time'), patienceMs)
      const look = (): void => {
        if (holds()) {
          leave()
          resolve()
        } else if (this.closed) fail('closed')
      }
      this.#waiting.add(look)
    })
  }

  get #state(): string {
    const streams = [...this.streams].slice(-3)
    const frames = this.counts.flatMap((count, type) => (count > 0 ? [`${type}×${count}`] : []))
    return `frames ${frames.join(' ')}, GOAWAY ${this.goaway}, streams ${JSON.stringify(streams)}`
  }

  /** The answer to a request is there, or its stream was reset. */
  async answered(streamId: number): Promise<HeardStream> {
    const stream = this.stream(streamId)
    await this.until(
      () => stream.ended || stream.reset !== undefined || this.goaway !== undefined,
      `the answer on ${streamId}`,
    )
    return stream
  }

  /** The other end gives up the connection; the code with which it does, undefined where it says none. */
  async end(patienceMs?: number): Promise<number | undefined> {
    await this.until(() => this.ended || this.closed, 'the end', patienceMs)
    return this.goaway
  }

  destroy(): void {
    this.socket.destroy()
  }

  #changed(): void {
    for (const look of this.#waiting) look()
  }

  #read(chunk: Buffer): void {
    const skipped = Math.min(this.#skip, chunk.length)
    this.#skip -= skipped
    this.#unread = Buffer.concat([this.#unread, chunk.subarray(skipped)])
    for (;;) {
      const bytes = this.#unread
      if (bytes.length < FRAME_HEADER_OCTETS) return
      const end = FRAME_HEADER_OCTETS + bytes.readUIntBE(0, 3)
      if (bytes.length < end) return
      this.#unread = bytes.subarray(end)
      const streamId = bytes.readUInt32BE(5) & 0x7fffffff
      this.#frame(
        { type: bytes[3] as number, flags: bytes[4] as number, streamId },
        bytes.subarray(FRAME_HEADER_OCTETS, end),
      )
    }
  }

  #frame(head: FrameHead, payload: Buffer): void {
    const { type, flags, streamId } = head
    this.counts[type] = (this.counts[type] as number) + 1
    switch (type) {
      case DATA:
        this.#data(head, payload)
        return
      case HEADERS:
      case CONTINUATION:
        this.#section(head, payload)
        return
      case RST_STREAM:
        this.stream(streamId).reset = payload.readUInt32BE(0)
        return
      case WINDOW_UPDATE:
        if (streamId !== 0) this.stream(streamId).windowOctets += payload.readUInt32BE(0)
        return
      case GOAWAY:
        this.lastStreamId = payload.readUInt32BE(0)
        this.goaway = payload.readUInt32BE(4)
        return
      case SETTINGS:
      case PING:
        if (this.#polite && (flags & ACK) === 0)
          this.send(frame(type, 0, type === PING ? payload : '', ACK))
    }
  }

  #data({ flags, streamId }: FrameHead, payload: Buffer): void {
    const stream = this.stream(streamId)
    stream.octets += payload.length
    if (this.#grants && payload.length > 0)
      this.send(frame(WINDOW_UPDATE, 0, uint32(payload.length)))
    stream.dataFrames += 1
    if (stream.body.length < KEPT_BODY) stream.body += payload.toString('latin1')
    if ((flags & END_STREAM) !== 0) this.#streamEnds(streamId, stream)
  }

  #streamEnds(streamId: number, stream: HeardStream): void {
    stream.ended = true
    this.streamEnded(streamId, stream)
  }

  #section({ type, flags, streamId }: FrameHead, payload: Buffer): void {
    if (type === HEADERS) {
      const padding = (flags & PADDED) === 0 ? 0 : (payload[0] as number)
      const start = ((flags & PADDED) === 0 ? 0 : 1) + ((flags & WITH_PRIORITY) === 0 ? 0 : 5)
      this.#fragments = [payload.subarray(start, payload.length - padding)]
      this.#blockEnds = (flags & END_STREAM) !== 0
    } else this.#fragments.push(payload)
    if ((flags & END_HEADERS) === 0) return
    const block = Buffer.concat(this.#fragments)
    const stream = this.stream(streamId)
    if (!this.#decoder.decode(block, 0, block.length)) throw new Error('a block cannot be read')
    const section = this.#decoder.fields.map(({ name, value }) => [name, value] as const)
    // Of sections without an end, the last ones say nothing new.
    if (stream.sections.length < 100) stream.sections.push(section)
    stream.status = Number(valueOf(section, ':status') ?? stream.status)
    if (stream.sections.length === 1) this.streamBegan(streamId, stream)
    if (this.#blockEnds) this.#streamEnds(streamId, stream)
  }
}

interface FrameHead {
  readonly type: number
  readonly flags: number
  readonly streamId: number
}

/**
 * The client's end of an HTTP/2 connection in cleartext, on the codec of this repository: what a subclass does with answers is
 * its own. All that is written during one turn leaves in one write.
 */
import type { Socket } from 'node:net'
import { type ClientEvents, ClientSession } from '../../src/codec/http2/client-session.ts'
import type { HeaderField } from '../../src/codec/http2/header-field.ts'
import type { ResponseSection } from '../../src/codec/http2/response-section.ts'
import { DEFAULT_SESSION, type SessionOptions } from '../../src/codec/http2/session-options.ts'
import type { Http2Stream } from '../../src/codec/http2/stream.ts'
import { openSocket } from './caller.ts'

const READ_BYTES = 65_536
const STALLED_MS = 10_000

/** Windows so large that nobody waits for them, as load generators have them. */
const OPTIONS: SessionOptions = {
  ...DEFAULT_SESSION,
  streamWindow: 1024 * 1024,
  sessionWindow: 16 * 1024 * 1024,
}

export abstract class Http2Connection<Owner> implements ClientEvents<Owner> {
  protected readonly session: ClientSession<Owner>
  /** When the last bytes came, in milliseconds of `performance.now()`. */
  protected now: number = performance.now()
  #socket: Socket | undefined
  #closed = false

  constructor() {
    this.session = new ClientSession<Owner>(this, this.now, OPTIONS)
  }

  async connect(port: number): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
    const callback = (octets: number): boolean => {
      this.#read(buffer.subarray(0, octets))
      return true
    }
    const socket = await openSocket({ tls: undefined }, port, { onread: { buffer, callback } })
    this.#socket = socket
    socket.on('error', () => {})
    socket.on('close', () => {
      if (!this.#closed) this.fault('the connection was closed')
    })
    socket.setTimeout(STALLED_MS, () => this.fault('nothing came for ten seconds'))
    this.flush()
  }

  /** Sends what was written. Needed after what was not done during an event. */
  flush(): void {
    for (const piece of this.session.take()) this.#socket?.write(piece)
  }

  close(): void {
    this.#closed = true
    this.#socket?.destroy()
  }

  #read(bytes: Buffer): void {
    this.now = performance.now()
    this.session.receive(bytes, this.now)
    this.turn()
    this.flush()
  }

  /** After the events of some bytes, and before what they caused is sent. */
  protected turn(): void {}

  /** The proxy did what it must not do. May be called again and again. */
  abstract fault(reason: string): void

  abstract response(stream: Http2Stream<Owner>, response: ResponseSection): void

  /** `consumed` is called with them. */
  abstract octets(stream: Http2Stream<Owner>, bytes: Buffer, start: number, end: number): void

  abstract ended(stream: Http2Stream<Owner>): void

  abstract trailers(stream: Http2Stream<Owner>, fields: readonly HeaderField[]): void

  abstract writable(stream: Http2Stream<Owner>): void

  data(stream: Http2Stream<Owner>, bytes: Buffer, start: number, end: number): void {
    this.octets(stream, bytes, start, end)
    this.session.consumed(stream, end - start)
  }

  reset(_stream: Http2Stream<Owner>, code: number): void {
    this.fault(`a stream was reset with code ${code}`)
  }

  goingAway(_lastStreamId: number, code: number): void {
    this.fault(`the proxy went away with code ${code}`)
  }

  failed(code: number, why: string): void {
    this.fault(`the connection failed with code ${code}: ${why}`)
  }

  pong(): void {}
}

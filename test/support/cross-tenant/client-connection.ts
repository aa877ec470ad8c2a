/** A client's connection to the proxy on a raw socket. What it gets is checked by its reader. */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import type { SeededRandom } from '../seeded-random.ts'
import { AnswerReader } from './answer-reader.ts'

export interface Place {
  readonly host: string
  readonly port: number
  /** With TLS; `cert` and `key` of the client are part of it. */
  readonly tls: tls.ConnectionOptions | undefined
}

export class ClientConnection {
  readonly reader: AnswerReader
  readonly socket: net.Socket
  readonly #port: number | undefined
  /** Resolves when the proxy will send no more. */
  readonly ended: Promise<void>
  /** Bytes given to the socket. */
  sent = 0
  readonly #random: SeededRandom
  #whenReceived: { bytes: number; act: () => void } | undefined
  #ended = false
  /** How it ended: with a FIN, an error, or by this side alone. */
  #endedBy = ''

  private constructor(socket: net.Socket, random: SeededRandom, violation: (text: string) => void) {
    this.socket = socket
    this.#port = socket.localPort
    this.#random = random
    this.reader = new AnswerReader(violation)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ended = promise
    const end = (clean: boolean, by: string): void => {
      if (this.#ended) return
      this.#ended = true
      this.#endedBy = `${by} at ${new Date().toISOString()}`
      this.reader.end(clean)
      resolve()
    }
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    let failure = 'closed'
    socket.on('end', () => end(true, 'FIN'))
    socket.on('error', error => {
      const { code = error, syscall = '' } = error as NodeJS.ErrnoException
      failure = `${String(code)} ${syscall}`
    })
    socket.on('close', () => end(false, failure))
  }

  static async open(
    { host, port, tls: secure }: Place,
    random: SeededRandom,
    violation: (text: string) => void,
  ): Promise<ClientConnection> {
    const options = { host, port, noDelay: true, allowHalfOpen: true }
    const socket =
      secure === undefined ? net.connect(options) : tls.connect({ ...options, ...secure })
    await once(socket, secure === undefined ? 'connect' : 'secureConnect')
    return new ClientConnection(socket, random, violation)
  }

  get open(): boolean {
    return !this.#ended
  }

  describe(): string {
    const { readyState, writableLength } = this.socket
    return `port ${this.#port} is ${readyState}, ${this.sent} bytes written, ${writableLength} unsent, ended by ${this.#endedBy || 'nobody'}; ${this.reader.describe()}`
  }

  #take(chunk: Buffer): void {
    this.reader.take(chunk)
    const when = this.#whenReceived
    if (when !== undefined && this.reader.receivedOfFirst >= when.bytes) {
      this.#whenReceived = undefined
      when.act()
    }
    // Now and then a client that is slow to read.
    if (chunk.length > 4_000 && this.#random.chance(0.05)) {
      this.socket.pause()
      setTimeout(() => this.socket.resume(), this.#random.between(1, 10))
    }
  }

  /** Once that many bytes came for the call that is answered then. */
  onReceived(bytes: number, act: () => void): void {
    this.#whenReceived = { bytes, act }
  }

  /** Writes in one piece or in several, a turn apart. */
  async write(bytes: Buffer): Promise<void> {
    const pieces = this.#random.chance(0.15) ? this.#random.between(2, 5) : 1
    let at = 0
    for (let piece = pieces; piece > 0 && this.socket.writable; piece--) {
      const end = piece === 1 ? bytes.length : at + this.#random.below(bytes.length - at + 1)
      if (end > at) this.socket.write(bytes.subarray(at, end))
      this.sent += end - at
      at = end
      if (piece > 1) await new Promise(resolve => setImmediate(resolve))
    }
  }

  /** Leaves at once: with a reset, or as a process that ends. */
  abort(how: 'reset' | 'end'): void {
    if (how === 'reset' && !(this.socket instanceof tls.TLSSocket)) this.socket.resetAndDestroy()
    else this.socket.destroy()
  }

  /**
   * Says that no more will come. Not within an arrival: a TLS socket of Node loses the records that it has received but
   * not yet told of when it is ended there.
   */
  async end(): Promise<void> {
    await new Promise(resolve => setImmediate(resolve))
    this.socket.end()
  }

  /** Leaves in good order, and sees that nothing more comes. */
  async close(): Promise<void> {
    await this.end()
    await this.ended
    this.socket.destroy()
  }
}

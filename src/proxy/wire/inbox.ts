/** Reads a socket into memory that is used again, and tells its owner of every read. */
import type { Duplex } from 'node:stream'
import type { HandleReader, SocketHandle } from '../../runtime/socket-handle.ts'
import { LONG_READ_BYTES, type Resting } from './long-reads.ts'
import type { Lender } from './outbox.ts'
import type { ReadBuffers } from './read-buffers.ts'

/** Whose socket it is. An object and no function: a closure more would be 90 bytes of each idle connection. */
export interface Receiver {
  /** `bytes[0, length)` has arrived and is valid during the call. False stops reading until `resume`. */
  received(bytes: Buffer, length: number): boolean
}

export class Inbox implements Lender, HandleReader, Resting {
  readonly #buffers: ReadBuffers
  readonly #receiver: Receiver
  #socket: Duplex | undefined
  #handle: SocketHandle | undefined
  /** Read into next: the shared one, or one of its own. */
  #buffer: Buffer
  /** Whether its own buffer should go back as soon as it can. */
  #sated = false
  /** Whether reads should stay small. */
  #small = false
  /** Whether a write still needs what is in the buffer. */
  #lent = false
  /** What a write still needed when the socket was closed. */
  #lost: Buffer | undefined
  #paused = false
  /** Whether it has had its part of this turn. */
  #resting = false

  constructor(buffers: ReadBuffers, receiver: Receiver) {
    this.#buffers = buffers
    this.#receiver = receiver
    this.#buffer = buffers.shared
  }

  /**
   * Takes over reading, by the handle of the socket where it has one that we know. What its stream had read ahead comes
   * first, within this call.
   */
  attach(socket: Duplex, handle: SocketHandle | undefined): void {
    this.#socket = socket
    this.#handle = handle
    if (handle === undefined) {
      socket.on('data', (chunk: Buffer) => {
        if (!this.#receiver.received(chunk, chunk.length)) this.pause()
      })
      if (!this.#paused) socket.resume()
      return
    }
    const early = socket.readableLength > 0 ? (socket.read() as Buffer | null) : null
    handle.readInto(this.#buffer, this)
    if (early !== null && !this.#receiver.received(early, early.length)) this.#paused = true
    this.#startOrStop()
  }

  /** For the handle alone. */
  take(length: number): Buffer | undefined {
    const buffer = this.#buffer
    const full = length === buffer.length
    if (!this.#receiver.received(buffer, length)) this.#paused = true
    if (length >= LONG_READ_BYTES && !this.#paused && !this.#lent) this.#readLong()
    if (this.#paused || this.#lent || this.#resting) this.#handle?.stop()
    if (full && buffer === this.#buffers.shared) {
      this.#sated = false
      this.#buffer = (this.#small ? this.#buffers.takeSmall() : this.#buffers.take()) ?? buffer
    } else if (this.#sated && !this.#lent) this.#giveBack()
    return this.#buffer === buffer ? undefined : this.#buffer
  }

  /** A transfer is over: a buffer of its own is not needed beyond the next read. */
  sate(): void {
    this.#sated = true
    this.#small = false
  }

  /** This transfer is held to a bandwidth: large reads would pass in bursts. A small buffer of its own it may keep. */
  staySmall(): void {
    this.#small = true
    if (this.#buffer.length > this.#buffers.shared.length) this.#sated = true
  }

  get paused(): boolean {
    return this.#paused
  }

  pause(): void {
    this.#paused = true
    this.#startOrStop()
  }

  resume(): void {
    this.#paused = false
    this.#startOrStop()
  }

  #readLong(): void {
    const { longReads } = this.#buffers
    this.#resting = longReads.crowded()
    if (this.#resting) longReads.rest(this)
  }

  /** The others have had their part, too. */
  nextTurn(): void {
    if (!this.#resting) return
    this.#resting = false
    this.#startOrStop()
  }

  #startOrStop(): void {
    const rest = this.#paused || this.#lent || this.#resting
    if (this.#handle !== undefined) {
      if (rest) this.#handle.stop()
      else this.#handle.start()
    } else if (rest) this.#socket?.pause()
    else this.#socket?.resume()
  }

  /** Of a stream every chunk has memory of its own; of a handle only a buffer of one connection can be spared. */
  lend(): boolean {
    if (this.#handle === undefined) return true
    if (this.#buffer === this.#buffers.shared) return false
    this.#lent = true
    return true
  }

  returned(): void {
    if (this.#lost !== undefined) {
      this.#buffers.find(this.#lost)
      this.#lost = undefined
    }
    if (!this.#lent) return
    this.#lent = false
    this.#startOrStop()
  }

  /** The socket is closed. */
  close(): void {
    this.#resting = false
    if (this.#lent) {
      // Its write is cancelled, but who knows when.
      this.#buffers.lose(this.#buffer)
      this.#lost = this.#buffer
      this.#buffer = this.#buffers.shared
      this.#lent = false
    } else this.#giveBack()
  }

  #giveBack(): void {
    this.#sated = false
    if (this.#buffer === this.#buffers.shared) return
    this.#buffers.give(this.#buffer)
    this.#buffer = this.#buffers.shared
  }
}

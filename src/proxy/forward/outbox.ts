/**
 * Gathers what one turn has to send on a socket, so that a head and a small body leave in one write. Text is Latin-1,
 * one character a byte: a small piece of a body goes that way too, which is cheaper than a second buffer and a writev.
 */
import type { Duplex } from 'node:stream'

/** Node copies text of up to 16 KiB on the stack for an immediate write; beyond that a buffer is cheaper. */
const SMALL_BYTES = 8 * 1024

export class Outbox {
  /** Bytes put in since the beginning. */
  total = 0
  readonly #socket: Duplex
  #text = ''
  #corked = false

  constructor(socket: Duplex) {
    this.#socket = socket
  }

  /** Bytes that the kernel does not have yet. */
  get unsent(): number {
    return this.#text.length + this.#socket.writableLength
  }

  text(text: string): void {
    this.total += text.length
    this.#text += text
  }

  /** Adds `bytes[start, end)`. They are copied unless `owned` says that nobody will write over them. */
  bytes(bytes: Buffer, start: number, end: number, owned: boolean): void {
    this.total += end - start
    if (end - start <= SMALL_BYTES) {
      this.#text += bytes.toString('latin1', start, end)
      return
    }
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
    }
    this.#writeText()
    const piece = bytes.subarray(start, end)
    this.#socket.write(owned ? piece : Buffer.from(piece))
  }

  /** Hands everything to the socket; false where it should rest until `drain`. */
  flush(): boolean {
    this.#writeText()
    if (this.#corked) {
      this.#corked = false
      this.#socket.uncork()
    }
    return !this.#socket.writableNeedDrain
  }

  #writeText(): void {
    if (this.#text === '') return
    const text = this.#text
    this.#text = ''
    this.#socket.write(text, 'latin1')
  }
}

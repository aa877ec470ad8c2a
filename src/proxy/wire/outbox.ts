/**
 * Gathers what one turn has to send on a socket, so that a head and a small body leave in one write. Text is Latin-1,
 * one character a byte: a small piece of a body goes that way too, which is cheaper than a second buffer and a writev.
 * A large piece goes as it is, without a copy, where its memory can be lent until it has left.
 *
 * What is small leaves at the end of the turn, what is large at once; in any case behind what has to be on record first.
 */
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { latin1Text } from '../../codec/latin1.ts'
import { type HandleWriter, PENDING, type SocketHandle } from '../../runtime/socket-handle.ts'
import { cut } from './cut.ts'
import type { TurnWriter, TurnWrites } from './turn-writes.ts'

/** Node copies text of up to 16 KiB on the stack for an immediate write; beyond that a buffer is cheaper. */
const SMALL_BYTES = 8 * 1024
/** Text that waits for the end of the turn. */
const MAX_WAITING_TEXT = 16 * 1024

/** Whose memory a piece is in. */
export interface Lender {
  /** True promises that the bytes stay as they are until `returned`. */
  lend(): boolean
  returned(): void
}

/** Memory that nobody writes to any more. */
export const OWN_MEMORY: Lender = { lend: () => true, returned: () => {} }

/** Memory that is read over next. */
export const BORROWED_MEMORY: Lender = { lend: () => false, returned: () => {} }

/** Whose socket it is. */
export interface Sender {
  /** `flush` returned true, and only at the end of the turn it shows that it is enough: rest until `drained`. */
  heldUp(): void
  /** More may be sent after `flush` returned false, or after `heldUp`. */
  drained(): void
}

export class Outbox implements HandleWriter, TurnWriter {
  /** Bytes put in since the beginning. */
  total = 0
  readonly #socket: Duplex
  readonly #sender: Sender
  readonly #turn: TurnWrites
  #handle: SocketHandle | undefined
  /** Whether a write that is pending means that the kernel has enough. In TLS every write is, until the turn is over. */
  #plain = false
  #text = ''
  /** Whether it leaves at the end of this turn. */
  #due = false
  #pieces: Buffer[] = []
  /** Whether whoever makes the bytes should rest until `drained`; it is always called then. */
  blocked = false
  /** Bytes in `#text` and `#pieces`. */
  #queued = 0
  /** Bytes of the write that is under way; there is one at a time. */
  #pending = 0
  #lender: Lender | undefined
  #ending: { readonly done: (() => void) | undefined } | undefined

  /** The socket is used from `attach` on. */
  constructor(turn: TurnWrites, socket: Duplex, sender: Sender) {
    this.#turn = turn
    this.#socket = socket
    this.#sender = sender
  }

  /** The socket is connected; `handle` is its handle, where it has one that we know. */
  attach(handle: SocketHandle | undefined): void {
    this.#handle = handle
    this.#plain = handle !== undefined && !(this.#socket instanceof TLSSocket)
  }

  get handle(): SocketHandle | undefined {
    return this.#handle
  }

  /** Bytes that the kernel may not have yet. */
  get unsent(): number {
    if (this.#pending === 0) return this.#queued
    const held = this.#handle === undefined ? this.#pending : this.#handle.unsent
    return this.#queued + Math.min(this.#pending, held)
  }

  /** Whether all that was put in has left. */
  get idle(): boolean {
    return this.#queued === 0 && this.#pending === 0
  }

  text(text: string): void {
    this.total += text.length
    this.#queued += text.length
    this.#text += text
  }

  /** Adds `bytes[start, end)`. They are copied unless `lender` can spare them; then `flush` must follow in this turn. */
  bytes(bytes: Buffer, start: number, end: number, lender?: Lender): void {
    const length = end - start
    this.total += length
    this.#queued += length
    if (length <= SMALL_BYTES) {
      this.#text += latin1Text(bytes, start, end)
      return
    }
    this.#textToPiece()
    const piece = bytes.subarray(start, end)
    this.#pieces.push(this.#borrow(lender) ? piece : Buffer.from(piece))
  }

  /** Adds memory that nobody writes to any more, as it is; then `flush` must follow in this turn. */
  piece(bytes: Buffer): void {
    this.total += bytes.length
    this.#queued += bytes.length
    this.#textToPiece()
    this.#pieces.push(bytes)
  }

  /** Whether `lender` lends; from one at a time, and only what leaves at once or is waited for. */
  #borrow(lender: Lender | undefined): boolean {
    if (lender === undefined || this.#pending > 0) return false
    if (this.#lender !== undefined && this.#lender !== lender) return false
    if (!lender.lend()) return false
    this.#lender = lender
    return true
  }

  /** Hands everything on, in this turn; false where whoever makes it should rest until `drained`. */
  flush(): boolean {
    if (this.#pending > 0 || this.#queued === 0) this.#noteBlocked()
    else if (this.#pieces.length > 0 || this.#text.length > MAX_WAITING_TEXT) {
      this.#send()
      this.#noteBlocked()
    } else if (!this.#due) {
      this.#due = true
      this.#turn.add(this)
    }
    return !this.blocked
  }

  sendNow(): void {
    this.#due = false
    if (this.#pending > 0 || this.#queued === 0) return
    this.#send()
    this.#noteBlocked()
    if (this.blocked) this.#sender.heldUp()
  }

  #noteBlocked(): void {
    if (this.#pending > 0 && !this.blocked)
      this.blocked = this.#plain || this.unsent >= this.#socket.writableHighWaterMark
  }

  /** Ends the socket behind all that was put in; `done` is called when the end has left. Nothing may follow. */
  end(done?: () => void): void {
    if (this.#pending === 0 && this.#queued > 0) this.#send()
    // An end says something, too.
    else this.#turn.commit()
    this.#ending = { done }
    if (this.idle) this.#socket.end(done)
  }

  /** Ends the socket at once, as `cut` does; what is due in this turn still leaves before. */
  cut(): void {
    if (this.#pending === 0 && this.#queued > 0 && !this.#socket.destroyed) this.#send()
    else this.#turn.commit()
    cut(this.#socket)
  }

  #send(): void {
    const size = this.#queued
    this.#queued = 0
    this.#turn.commit()
    const status = this.#write()
    if (status === PENDING) {
      this.#pending = size
      return
    }
    this.#giveBack()
    // As the stream would do it: 'error' and 'close' follow.
    if (status < 0) this.#fail(status)
  }

  #write(): number {
    if (this.#pieces.length === 0) {
      const text = this.#text
      this.#text = ''
      return this.#handle === undefined
        ? this.#writeToStream([text])
        : this.#handle.writeText(text, this)
    }
    this.#textToPiece()
    const pieces = this.#pieces
    this.#pieces = []
    return this.#handle === undefined
      ? this.#writeToStream(pieces)
      : this.#handle.writeBytes(pieces, this)
  }

  #writeToStream(pieces: readonly (Buffer | string)[]): number {
    const socket = this.#socket
    const last = pieces.length - 1
    const done = (error?: Error | null): void => this.writeSettled(error ? -1 : 0)
    socket.cork()
    for (const [index, piece] of pieces.entries())
      socket.write(piece, 'latin1', index === last ? done : undefined)
    socket.uncork()
    return PENDING
  }

  #textToPiece(): void {
    if (this.#text === '') return
    this.#pieces.push(Buffer.from(this.#text, 'latin1'))
    this.#text = ''
  }

  /** For the handle alone. */
  writeSettled(status: number): void {
    this.#pending = 0
    this.#giveBack()
    if (status < 0) {
      this.#fail(status)
      return
    }
    // What was put in meanwhile; it was flushed, or the turn that put it in would not be over.
    if (this.#queued > 0) this.#send()
    if (this.#ending !== undefined && this.idle) this.#socket.end(this.#ending.done)
    if (!this.blocked || (this.#plain && this.#pending > 0)) return
    this.blocked = false
    this.#sender.drained()
  }

  #giveBack(): void {
    const lender = this.#lender
    if (lender === undefined) return
    this.#lender = undefined
    lender.returned()
  }

  #fail(status: number): void {
    this.#socket.destroy(new Error(`write failed with ${status}`))
  }
}

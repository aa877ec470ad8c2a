/** The streams of a session that are not over, and what is remembered of those that are. */
import { ClosedStreams } from './closed-streams.ts'
import { MAX_WINDOW } from './frame.ts'
import { byPriority } from './priority.ts'
import type { Http2Stream } from './stream.ts'

const SMALLEST = 16
const LARGEST = 256

export class StreamTable<Owner> {
  readonly closed = new ClosedStreams()
  /** A stream is at its number, which counts by two, as far as the slots go; where another is there already, it is in the map. */
  #slots: (Http2Stream<Owner> | undefined)[] = []
  #others: Map<number, Http2Stream<Owner>> | undefined = undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: number): Http2Stream<Owner> | undefined {
    const { length } = this.#slots
    if (length === 0) return undefined
    const stream = this.#slots[(id >> 1) & (length - 1)]
    return stream?.id === id ? stream : this.#others?.get(id)
  }

  add(stream: Http2Stream<Owner>): void {
    const { length } = this.#slots
    if (this.#size * 2 >= length && length < LARGEST) this.#grow(Math.max(SMALLEST, length * 2))
    this.#size += 1
    this.#put(stream)
  }

  /** The stream is over, for both sides. False where that is no news. */
  remove(stream: Http2Stream<Owner>, resetByUs: boolean): boolean {
    stream.localOpen = false
    stream.remoteOpen = false
    stream.blocked = false
    const { id } = stream
    const slot = (id >> 1) & (this.#slots.length - 1)
    if (this.#slots[slot] === stream) this.#slots[slot] = undefined
    else if (this.#others?.delete(id) !== true) return false
    this.#size -= 1
    this.closed.add(id, resetByUs)
    return true
  }

  /** The other end changed its initial window (RFC 9113 §6.9.2). False where one would be too large; they may be negative. */
  shiftSendWindows(by: number): boolean {
    for (const stream of this.all()) {
      stream.sendWindow += by
      if (stream.sendWindow > MAX_WINDOW) return false
    }
    return true
  }

  /** Streams that wait for a larger window, in the order in which they may write. */
  blocked(): Http2Stream<Owner>[] {
    return this.all()
      .filter(({ blocked, sendWindow }) => blocked && sendWindow > 0)
      .toSorted(byPriority)
  }

  /** A list of its own, in no order. */
  all(): Http2Stream<Owner>[] {
    const inSlots = this.#slots.filter(stream => stream !== undefined)
    return this.#others === undefined ? inSlots : [...inSlots, ...this.#others.values()]
  }

  #put(stream: Http2Stream<Owner>): void {
    const slot = (stream.id >> 1) & (this.#slots.length - 1)
    if (this.#slots[slot] === undefined) {
      this.#slots[slot] = stream
      return
    }
    this.#others ??= new Map()
    this.#others.set(stream.id, stream)
  }

  #grow(length: number): void {
    const streams = this.all()
    this.#slots = Array.from({ length }, () => undefined)
    this.#others = undefined
    for (const stream of streams) this.#put(stream)
  }
}

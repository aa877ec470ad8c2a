/** The streams of a session that are not over, and what is remembered of those that are. */
import { ClosedStreams } from './closed-streams.ts'
import { MAX_WINDOW } from './frame.ts'
import { byPriority } from './priority.ts'
import type { Http2Stream } from './stream.ts'

export class StreamTable<Owner> {
  readonly closed = new ClosedStreams()
  readonly #streams = new Map<number, Http2Stream<Owner>>()

  get size(): number {
    return this.#streams.size
  }

  get(id: number): Http2Stream<Owner> | undefined {
    return this.#streams.get(id)
  }

  all(): IterableIterator<Http2Stream<Owner>> {
    return this.#streams.values()
  }

  add(stream: Http2Stream<Owner>): void {
    this.#streams.set(stream.id, stream)
  }

  /** The stream is over, for both sides. False where that is no news. */
  remove(stream: Http2Stream<Owner>, resetByUs: boolean): boolean {
    stream.localOpen = false
    stream.remoteOpen = false
    stream.blocked = false
    if (!this.#streams.delete(stream.id)) return false
    this.closed.add(stream.id, resetByUs)
    return true
  }

  /** The other end changed its initial window (RFC 9113 §6.9.2). False where one would be too large; they may be negative. */
  shiftSendWindows(by: number): boolean {
    for (const stream of this.#streams.values()) {
      stream.sendWindow += by
      if (stream.sendWindow > MAX_WINDOW) return false
    }
    return true
  }

  /** Streams that wait for a larger window, in the order in which they may write. */
  blocked(): Http2Stream<Owner>[] {
    return [...this.#streams.values()]
      .filter(({ blocked, sendWindow }) => blocked && sendWindow > 0)
      .toSorted(byPriority)
  }
}

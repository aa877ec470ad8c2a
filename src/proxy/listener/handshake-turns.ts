/**
 * When the TLS handshakes of a worker begin: one a turn of the event loop, behind what the turn has to send, and in turns of
 * the sources that they come from. What is computed for one takes 0.5 to 1 ms and cannot be divided, so thirty that came
 * together would keep every call waiting for twenty; and of a flood from one source another one has only the next to wait for.
 */
import type { Source } from '../limits/sources.ts'

export interface WaitingHandshake {
  /** Whose turn it is; undefined stands for all peers that are trusted. */
  readonly source: Source | undefined
  /** It waits no longer. */
  begin(): void
}

export class HandshakeTurns {
  readonly #nextTurn: (run: () => void) => void
  /** By source, in the order of their turns; none is empty. How many there may be is the business of whoever joins. */
  readonly #queues = new Map<Source | undefined, Set<WaitingHandshake>>()
  #scheduled = false

  /** `nextTurn` runs something once all of this turn is done and sent. */
  constructor(nextTurn: (run: () => void) => void) {
    this.#nextTurn = nextTurn
  }

  /** Waits for its turn, which is this one where nobody waits. */
  join(handshake: WaitingHandshake): void {
    const queue = this.#queues.get(handshake.source)
    if (queue === undefined) this.#queues.set(handshake.source, new Set([handshake]))
    else queue.add(handshake)
    this.#schedule()
  }

  /** Waits no longer; nothing happens where it does not. */
  leave(handshake: WaitingHandshake): void {
    const { source } = handshake
    const queue = this.#queues.get(source)
    if (queue?.delete(handshake) === true && queue.size === 0) this.#queues.delete(source)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#nextTurn(this.#beginOne)
  }

  readonly #beginOne = (): void => {
    this.#scheduled = false
    const [next] = this.#queues
    if (next === undefined) return
    const [source, queue] = next
    this.#queues.delete(source)
    const [handshake] = queue
    if (handshake !== undefined) queue.delete(handshake)
    if (queue.size > 0) this.#queues.set(source, queue)
    if (this.#queues.size > 0) this.#schedule()
    handshake?.begin()
  }
}

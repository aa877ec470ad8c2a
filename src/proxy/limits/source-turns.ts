/**
 * When something of which many may come together begins: one a turn of the event loop, behind what the turn has to send, and in
 * turns of the sources that they come from. So of a flood from one source another one has only the next to wait for.
 *
 * TLS handshakes: what is computed for one takes 0.5 to 1 ms and cannot be divided, so thirty that came together would keep every
 * call waiting for twenty. Connections whose penalty is over: in a tick of the wheel there may be dozens, each with another bad
 * credential, of which thirty take 2.5 ms.
 */
import type { Source } from './sources.ts'

export interface WaitingTurn {
  /** Whose turn it is; undefined stands for all peers that are trusted. */
  readonly source: Source | undefined
  /** It waits no longer. */
  turnCame(): void
}

export class SourceTurns {
  readonly #nextTurn: (run: () => void) => void
  /** By source, in the order of their turns; none is empty. How many there may be is the business of whoever joins. */
  readonly #queues = new Map<Source | undefined, Set<WaitingTurn>>()
  #scheduled = false

  /** `nextTurn` runs something once all of this turn is done and sent. */
  constructor(nextTurn: (run: () => void) => void) {
    this.#nextTurn = nextTurn
  }

  /** Waits for its turn, which is this one where nobody waits. */
  join(waiting: WaitingTurn): void {
    const queue = this.#queues.get(waiting.source)
    if (queue === undefined) this.#queues.set(waiting.source, new Set([waiting]))
    else queue.add(waiting)
    this.#schedule()
  }

  /** Waits no longer; nothing happens where it does not. */
  leave(waiting: WaitingTurn): void {
    const { source } = waiting
    const queue = this.#queues.get(source)
    if (queue?.delete(waiting) === true && queue.size === 0) this.#queues.delete(source)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#nextTurn(this.#giveOne)
  }

  readonly #giveOne = (): void => {
    this.#scheduled = false
    const [next] = this.#queues
    if (next === undefined) return
    const [source, queue] = next
    this.#queues.delete(source)
    const [first] = queue
    if (first !== undefined) queue.delete(first)
    if (queue.size > 0) this.#queues.set(source, queue)
    if (this.#queues.size > 0) this.#schedule()
    first?.turnCame()
  }
}

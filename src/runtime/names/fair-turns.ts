/**
 * Turns at something of which there is little. Owners come one after the other, each with so many turns at once at most;
 * those whose turns take long never have all of them, so that nobody else waits for them.
 */

export interface FairTurnsOptions {
  /** Turns at once, of all owners. */
  readonly places: number
  /** Of each owner. */
  readonly each: number
  /** An owner is slow whose last turn took longer, or whose present one does. Slow ones leave one place to the others. */
  readonly slowMs: number
  /** Monotonic, ms. */
  readonly now: () => number
}

/** When it began. */
interface Turn {
  readonly at: number
}

interface Owner {
  readonly begun: Set<Turn>
  readonly waiting: ((turn: Turn) => void)[]
  /** Its last turn took long. */
  slow: boolean
}

/** Owners of which it is known that they were slow a moment ago; what is forgotten costs one more slow turn. */
const MAX_REMEMBERED = 1_000

export class FairTurns {
  readonly #options: FairTurnsOptions
  /** In the order of their turns. */
  readonly #owners = new Map<string, Owner>()
  /** Those with turns at the moment. */
  readonly #running = new Set<Owner>()
  #taken = 0

  constructor(options: FairTurnsOptions) {
    this.#options = options
  }

  /** Does `work` once it is the turn of `owner`. */
  async take<T>(owner: string, work: () => Promise<T>): Promise<T> {
    const known = this.#ownerOf(owner)
    const turn = await new Promise<Turn>(resolve => {
      known.waiting.push(resolve)
      this.#serve()
    })
    try {
      return await work()
    } finally {
      known.begun.delete(turn)
      if (known.begun.size === 0) this.#running.delete(known)
      known.slow = this.#options.now() - turn.at > this.#options.slowMs
      this.#taken--
      // Also behind those that came while it had its turn.
      this.#putBehind(owner, known)
      this.#serve()
      this.#forget(owner, known)
    }
  }

  #ownerOf(name: string): Owner {
    let owner = this.#owners.get(name)
    if (owner === undefined) {
      owner = { begun: new Set(), waiting: [], slow: false }
      this.#owners.set(name, owner)
    }
    return owner
  }

  #serve(): void {
    while (this.#taken < this.#options.places) {
      const next = this.#next()
      if (next === undefined) return
      const [name, owner] = next
      this.#putBehind(name, owner)
      this.#taken++
      const turn = { at: this.#options.now() }
      owner.begun.add(turn)
      this.#running.add(owner)
      owner.waiting.shift()?.(turn)
    }
  }

  #putBehind(name: string, owner: Owner): void {
    this.#owners.delete(name)
    this.#owners.set(name, owner)
  }

  /** The first whose turn it may be. */
  #next(): [string, Owner] | undefined {
    let slowTurns = 0
    for (const owner of this.#running) if (this.#isSlow(owner)) slowTurns += owner.begun.size
    const { places, each } = this.#options
    for (const entry of this.#owners) {
      const owner = entry[1]
      if (owner.waiting.length === 0 || owner.begun.size >= each) continue
      if (slowTurns < places - 1 || !this.#isSlow(owner)) return entry
    }
    return undefined
  }

  #isSlow({ slow, begun }: Owner): boolean {
    if (slow) return true
    const since = this.#options.now() - this.#options.slowMs
    return [...begun].some(({ at }) => at < since)
  }

  #forget(name: string, owner: Owner): void {
    if (owner.begun.size > 0 || owner.waiting.length > 0) return
    if (!owner.slow || this.#owners.size > MAX_REMEMBERED) this.#owners.delete(name)
  }
}

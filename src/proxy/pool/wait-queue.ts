/** First come, first served, with a cap: joining, being served and leaving from the middle take the same few steps each. */

export interface Place<T, Need> {
  readonly who: T
  /** What it waits for. */
  readonly need: Need
  /** Until when it waits; later places have later ones. */
  readonly deadline: number
}

interface Link<T, Need> extends Place<T, Need> {
  previous: Link<T, Need> | undefined
  next: Link<T, Need> | undefined
}

export class WaitQueue<T, Need> {
  /** Beyond it nobody joins; who is there stays. */
  most: number
  /** Made for the first who waits: most queues never have one, and each call asks for their length. */
  #links: Map<T, Link<T, Need>> | undefined
  #first: Link<T, Need> | undefined
  #last: Link<T, Need> | undefined

  constructor(most: number) {
    this.most = most
  }

  get size(): number {
    return this.#links?.size ?? 0
  }

  get first(): Place<T, Need> | undefined {
    return this.#first
  }

  /** All of them in their order; one may leave while it is looked at. */
  *[Symbol.iterator](): Generator<T> {
    for (let link = this.#first; link !== undefined; link = link.next) yield link.who
  }

  /** False where it is full. Nobody may join twice. */
  join(place: Place<T, Need>): boolean {
    if (this.size >= this.most) return false
    const link: Link<T, Need> = { ...place, previous: this.#last, next: undefined }
    if (this.#last === undefined) this.#first = link
    else this.#last.next = link
    this.#last = link
    this.#links ??= new Map()
    this.#links.set(place.who, link)
    return true
  }

  /** False where it was not in the queue. */
  leave(who: T): boolean {
    const link = this.#links?.get(who)
    if (link === undefined) return false
    this.#links?.delete(who)
    if (link.previous === undefined) this.#first = link.next
    else link.previous.next = link.next
    if (link.next === undefined) this.#last = link.previous
    else link.next.previous = link.previous
    return true
  }
}

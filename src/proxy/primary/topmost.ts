/** The first few of very many in some order, without sorting them all. */
export class Topmost<T> {
  readonly #most: number
  readonly #compare: (a: T, b: T) => number
  /** Up to twice as many; the first `#most` are sorted once there were that many. */
  #items: T[] = []
  #last: T | undefined

  constructor(most: number, compare: (a: T, b: T) => number) {
    this.#most = most
    this.#compare = compare
  }

  add(item: T): void {
    if (this.#last !== undefined && this.#compare(item, this.#last) > 0) return
    this.#items.push(item)
    if (this.#items.length < 2 * this.#most) return
    this.#items = this.items()
    this.#last = this.#items.at(-1)
  }

  /** In order. */
  items(): T[] {
    return this.#items.toSorted(this.#compare).slice(0, this.#most)
  }
}

/**
 * The names that listeners have had since the start of a worker, each with a number that counters go by. A listener that comes
 * back counts on where it left off.
 */

/** A name is never forgotten, as its usage may still be on its way. */
const MOST = 10_000

export class ListenerNames {
  readonly all: string[] = []
  readonly #indexes = new Map<string, number>()

  constructor(names: readonly string[]) {
    for (const name of names) this.indexOf(name)
  }

  /** Whether so many more new ones can be told apart. */
  hasRoomFor(names: readonly string[]): boolean {
    const fresh = names.filter(name => !this.#indexes.has(name))
    return this.all.length + fresh.length <= MOST
  }

  indexOf(name: string): number {
    const known = this.#indexes.get(name)
    if (known !== undefined) return known
    this.#indexes.set(name, this.all.length)
    return this.all.push(name) - 1
  }
}

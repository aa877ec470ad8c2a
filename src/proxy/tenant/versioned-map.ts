/**
 * Maps that many snapshots share. Each holds what the newest snapshot says, in a plain `Map`; a snapshot that has been left
 * behind knows what it had otherwise than its successor, and asks on. So a snapshot never changes, the newest one is looked
 * up at the cost of a `Map`, a change costs what it changes, and what a snapshot remembers goes with its last holder. (After
 * H. G. Baker, "Shallow Binding Makes Functional Arrays Fast", 1991.)
 */
export class Version {
  /** Of the snapshot after this one; undefined for the newest. */
  next: Version | undefined = undefined
  /** By map and key: what this one has, or undefined for nothing, where the next one has something else. */
  readonly former = new Map<VersionedMap<unknown>, Map<string, unknown>>()
}

export class VersionedMap<V> {
  readonly #newest: Map<string, V>

  constructor(entries: Iterable<readonly [string, V]> = []) {
    this.#newest = new Map(entries)
  }

  get(version: Version, key: string): V | undefined {
    for (let at = version; at.next !== undefined; at = at.next) {
      const former = at.former.get(this)
      if (former?.has(key) === true) return former.get(key) as V | undefined
    }
    return this.#newest.get(key)
  }

  /** What the newest version has. */
  newest(key: string): V | undefined {
    return this.#newest.get(key)
  }

  /** Entries of the newest version. */
  get size(): number {
    return this.#newest.size
  }

  *entries(version: Version): Generator<[key: string, value: V]> {
    const keys = new Set<string>()
    for (let at = version; at.next !== undefined; at = at.next) {
      for (const key of at.former.get(this)?.keys() ?? []) keys.add(key)
    }
    for (const [key, value] of this.#newest) if (!keys.has(key)) yield [key, value]
    for (const key of keys) {
      const value = this.get(version, key)
      if (value !== undefined) yield [key, value]
    }
  }

  /**
   * Gives the newest version another value, or none; `left` is the one that has been the newest, and remembers. There is
   * none where nobody knows the map yet.
   */
  set(left: Version | undefined, key: string, value: V | undefined): void {
    if (left !== undefined) this.#remember(left, key)
    this.#put(key, value)
  }

  /** Takes back all that was set since `left` was the newest. */
  restore(left: Version): void {
    for (const [key, value] of left.former.get(this) ?? []) this.#put(key, value as V | undefined)
    left.former.delete(this)
  }

  /** With what `version` has; it shares nothing with this one. */
  copy(version: Version): VersionedMap<V> {
    return new VersionedMap(version.next === undefined ? this.#newest : this.entries(version))
  }

  #remember(left: Version, key: string): void {
    let former = left.former.get(this)
    if (former === undefined) {
      former = new Map()
      left.former.set(this, former)
    }
    if (!former.has(key)) former.set(key, this.#newest.get(key))
  }

  #put(key: string, value: V | undefined): void {
    if (value === undefined) this.#newest.delete(key)
    else this.#newest.set(key, value)
  }
}

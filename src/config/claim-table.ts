/**
 * Which owner has claimed which keys, by hash: of half a million keys nothing is kept but twelve bytes each, as every owner
 * can say again what it has claimed. As strings in a map they would take ten times the memory, and most of the time of a
 * start.
 */

const EMPTY = 0
/** Of a slot whose claim is gone: those that were put behind it are still behind it. */
const GONE = -1
const FIRST_SLOTS = 1_024
/** Slots in use, at most, of all. */
const LARGEST_SHARE = 0.6

interface Hash {
  readonly high: number
  readonly low: number
}

export class ClaimTable<O> {
  /** Whether an owner has claimed just this key; two keys may have the same hash. */
  readonly #hasKey: (owner: O, key: string) => boolean
  readonly #numbers = new Map<O, number>()
  /** By number; numbers begin with 1. */
  readonly #owners: (O | undefined)[] = [undefined]
  readonly #free: number[] = []
  #high = new Uint32Array(FIRST_SLOTS)
  #low = new Uint32Array(FIRST_SLOTS)
  #slots = new Int32Array(FIRST_SLOTS)
  /** Slots that are not empty. */
  #used = 0
  #size = 0

  constructor(hasKey: (owner: O, key: string) => boolean) {
    this.#hasKey = hasKey
  }

  /** How many claims there are. */
  get size(): number {
    return this.#size
  }

  /** Who has claimed `key` already, if it is another; then nothing is added. */
  claim(key: string, owner: O): O | undefined {
    const number = this.#numberOf(owner)
    if (this.#used >= this.#slots.length * LARGEST_SHARE) this.#rehash()
    const hash = hashOf(key)
    const mask = this.#slots.length - 1
    for (let slot = hash.low & mask; ; slot = (slot + 1) & mask) {
      const found = this.#slots[slot] ?? EMPTY
      if (found === EMPTY) {
        this.#put(slot, hash, number)
        return undefined
      }
      if (found === number && this.#isHash(slot, hash)) return undefined
      if (found === GONE || !this.#isHash(slot, hash)) continue
      const other = this.#owners[found]
      if (other !== undefined && this.#hasKey(other, key)) return other
    }
  }

  /** Lets go of these keys where `owner` has them. */
  release(keys: Iterable<string>, owner: O): void {
    const number = this.#numbers.get(owner)
    if (number === undefined) return
    for (const key of keys) this.#remove(hashOf(key), number)
    this.#numbers.delete(owner)
    this.#owners[number] = undefined
    this.#free.push(number)
  }

  #remove(hash: Hash, number: number): void {
    const mask = this.#slots.length - 1
    for (let slot = hash.low & mask; ; slot = (slot + 1) & mask) {
      const found = this.#slots[slot] ?? EMPTY
      if (found === EMPTY) return
      if (found !== number || !this.#isHash(slot, hash)) continue
      this.#slots[slot] = GONE
      this.#size -= 1
      return
    }
  }

  #numberOf(owner: O): number {
    const known = this.#numbers.get(owner)
    if (known !== undefined) return known
    const number = this.#free.pop() ?? this.#owners.length
    this.#owners[number] = owner
    this.#numbers.set(owner, number)
    return number
  }

  #isHash(slot: number, { high, low }: Hash): boolean {
    return this.#high[slot] === high && this.#low[slot] === low
  }

  #put(slot: number, { high, low }: Hash, number: number): void {
    this.#high[slot] = high
    this.#low[slot] = low
    this.#slots[slot] = number
    this.#used += 1
    this.#size += 1
  }

  /** Larger where claims have become more, and without those that are gone. */
  #rehash(): void {
    const [highs, lows, slots] = [this.#high, this.#low, this.#slots]
    const length = this.#size > slots.length * (LARGEST_SHARE / 2) ? slots.length * 2 : slots.length
    this.#high = new Uint32Array(length)
    this.#low = new Uint32Array(length)
    this.#slots = new Int32Array(length)
    this.#used = 0
    this.#size = 0
    for (let index = 0; index < slots.length; index += 1) {
      const number = slots[index] ?? EMPTY
      if (number <= EMPTY) continue
      const hash = { high: highs[index] ?? 0, low: lows[index] ?? 0 }
      let slot = hash.low & (length - 1)
      while (this.#slots[slot] !== EMPTY) slot = (slot + 1) & (length - 1)
      this.#put(slot, hash, number)
    }
  }
}

/** Two 32-bit hashes of different kinds (FNV-1a, and one that multiplies by another odd number first), mixed at the end. */
function hashOf(key: string): Hash {
  let high = 0x811c9dc5
  let low = 0x9e3779b9
  for (let index = 0; index < key.length; index += 1) {
    const code = key.charCodeAt(index)
    high = Math.imul(high ^ code, 0x01000193)
    low = Math.imul(low + code, 0x85ebca6b) ^ (low >>> 13)
  }
  return { high: mixed(high), low: mixed(low ^ high) }
}

function mixed(hash: number): number {
  let value = Math.imul(hash ^ (hash >>> 16), 0x7feb352d)
  value = Math.imul(value ^ (value >>> 15), 0x846ca68b)
  return (value ^ (value >>> 16)) >>> 0
}

/** Randomness that can be had again: the same seed gives the same numbers (mulberry32). Not for secrets. */
export class SeededRandom {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** Another sequence for each `index`, so that what one user of it takes does not move the others. */
  static fork(seed: number, index: number): SeededRandom {
    return new SeededRandom(Math.imul(seed ^ (index + 0x9e3779b9), 0x85ebca6b) ^ (index << 7))
  }

  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let value = this.#state
    value = Math.imul(value ^ (value >>> 15), value | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return (value ^ (value >>> 14)) >>> 0
  }

  /** 0 … `limit` - 1. */
  below(limit: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * limit)
  }

  /** `least` … `most`, both included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  chance(probability: number): boolean {
    return this.uint32() < probability * 2 ** 32
  }

  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)] as T
  }

  /** One of the keys, as often as their weights say. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const entries = Object.entries(weights) as [K, number][]
    let at = this.below(entries.reduce((sum, [, weight]) => sum + weight, 0))
    for (const [key, weight] of entries) {
      if (at < weight) return key
      at -= weight
    }
    throw new RangeError('no weights')
  }

  /** Lower-case letters and digits. */
  text(length: number): string {
    let text = ''
    while (text.length < length) text += this.uint32().toString(36)
    return text.slice(0, length)
  }
}

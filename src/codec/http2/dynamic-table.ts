/** The dynamic table of HPACK (RFC 7541 §2.3.2, §4): first in, first out, by octets. */
import type { HeaderField } from './header-field.ts'

const SMALLEST_RING = 16

export class DynamicTable {
  /** A ring: entry `number` is at `number & mask`. */
  #ring: (HeaderField | undefined)[] = []
  /** Numbers of the oldest entry, and of the next one: they count on, whatever is evicted. */
  #oldest = 0
  #next = 0
  #size = 0
  #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  get count(): number {
    return this.#next - this.#oldest
  }

  /** Octets of all entries. */
  get size(): number {
    return this.#size
  }

  get limit(): number {
    return this.#limit
  }

  /** Entries for which there is room without growing: a power of two, or 0. */
  get capacity(): number {
    return this.#ring.length
  }

  /** The entry with that index, from 0 for the newest; undefined where there is none. */
  at(index: number): HeaderField | undefined {
    return this.entry(this.#next - 1 - index)
  }

  /** The entry with that number; undefined where it is not there, or not any more. */
  entry(number: number): HeaderField | undefined {
    return number >= this.#oldest && number < this.#next
      ? this.#ring[number & (this.#ring.length - 1)]
      : undefined
  }

  /** The index of the entry with that number. */
  indexOf(number: number): number {
    return this.#next - 1 - number
  }

  /** Puts a field in front; returns its number, or -1 where it is larger than the table, which is empty then (§4.4). */
  add(field: HeaderField): number {
    this.#evictTo(this.#limit - field.size)
    if (field.size > this.#limit) return -1
    if (this.count === this.#ring.length) this.#grow()
    this.#ring[this.#next & (this.#ring.length - 1)] = field
    this.#size += field.size
    this.#next += 1
    return this.#next - 1
  }

  resize(limit: number): void {
    this.#limit = limit
    this.#evictTo(limit)
  }

  #evictTo(size: number): void {
    while (this.#size > size && this.#next > this.#oldest) {
      const at = this.#oldest & (this.#ring.length - 1)
      const field = this.#ring[at] as HeaderField
      this.#ring[at] = undefined
      this.#size -= field.size
      this.#oldest += 1
    }
  }

  /** Bounded by the limit: an entry has 32 octets at least. */
  #grow(): void {
    const length = Math.max(SMALLEST_RING, this.#ring.length * 2)
    const ring = Array.from<HeaderField | undefined>({ length })
    for (let number = this.#oldest; number < this.#next; number++)
      ring[number & (ring.length - 1)] = this.#ring[number & (this.#ring.length - 1)]
    this.#ring = ring
  }
}

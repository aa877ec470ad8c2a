/**
 * Long values that come again and again as literals: a credential is not to be in a table (RFC 7541 §7.1.3), or there are more
 * of them than it holds, and so each call has it whole. The same octets mean the same field. It is found by them, with
 * all that was found out about it: a token of 620 octets in Huffman code takes 0.19 µs instead of 3.4
 * (`npm run bench:micro -- hpack-decode-with-token`), and a call with one 10.7 µs instead of 14.1, or 10.5 instead of 11.5,
 * in two runs of the lane `http2-jwt`.
 */
import type { HeaderField } from './header-field.ts'

/** Octets of a value, as it was sent. Shorter ones are read as fast as they are found, longer ones are not kept. */
const LEAST_OCTETS = 64
const MOST_OCTETS = 8 * 1024
/** What an entry takes beside its octets and its text: a field, a buffer, a place in the map. */
const OVERHEAD = 256
/** Of all that are kept, some six thousand tokens; beyond that all of them go. */
const MOST_KEPT_BYTES = 8 * 1024 * 1024
/** Octets at the end that make the print: of a token its signature. */
const PRINTED_OCTETS = 8
/** Prints of values that came once: a power of two. */
const ONCE_SLOTS = 16_384

/** A field, and whether its value was sent in Huffman code. */
export interface RecentValue {
  readonly field: HeaderField
  readonly huffman: boolean
}

interface Known extends RecentValue {
  readonly octets: Buffer
}

export class RecentValues {
  readonly #known = new Map<number, Known>()
  #keptBytes = 0
  #forgotten = 0
  /** What comes for the first time is not kept: of very many values that never come again, none takes the place of one that does. */
  readonly #once = new Int32Array(ONCE_SLOTS).fill(-1)

  /** Memory of all values that are kept. */
  get keptBytes(): number {
    return this.#keptBytes
  }

  /** Values that were forgotten for want of room since this was asked last. */
  takeForgotten(): number {
    const forgotten = this.#forgotten
    this.#forgotten = 0
    return forgotten
  }

  /** Whether a value of so many octets is one of those. */
  static suits(octets: number): boolean {
    return octets >= LEAST_OCTETS && octets <= MOST_OCTETS
  }

  /** What `block[start, end)` was read as when it came last; that may have been under another name. */
  find(block: Buffer, start: number, end: number): RecentValue | undefined {
    const known = this.#known.get(printOf(block, start, end))
    return known !== undefined &&
      known.octets.length === end - start &&
      block.compare(known.octets, 0, known.octets.length, start, end) === 0
      ? known
      : undefined
  }

  /** `block[start, end)` was read as `value`: the second time it is kept. */
  keep({ field, huffman }: RecentValue, block: Buffer, start: number, end: number): void {
    const print = printOf(block, start, end)
    const slot = print & (ONCE_SLOTS - 1)
    if (this.#once[slot] !== print) {
      this.#once[slot] = print
      return
    }
    const former = this.#known.get(print)
    if (former !== undefined) this.#keptBytes -= bytesOf(former)
    const octets = Buffer.allocUnsafeSlow(end - start)
    block.copy(octets, 0, start, end)
    const known = { octets, huffman, field }
    if (this.#keptBytes + bytesOf(known) > MOST_KEPT_BYTES) {
      this.#forgotten += this.#known.size
      this.#known.clear()
      this.#keptBytes = 0
    }
    this.#known.set(print, known)
    this.#keptBytes += bytesOf(known)
  }
}

function bytesOf({ octets, field }: Known): number {
  return octets.length + field.value.length + OVERHEAD
}

/** FNV-1a of length and end, in 30 bits, which are a small integer. */
function printOf(block: Buffer, start: number, end: number): number {
  let print = end - start
  for (let at = end - PRINTED_OCTETS; at < end; at++)
    print = Math.imul(print ^ (block[at] as number), 0x01000193)
  return print & 0x3fffffff
}

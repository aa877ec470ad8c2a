/**
 * Passes over plain text four bytes at a time: the head of a call with a token of 620 bytes is read in 0.53 µs instead of
 * 0.87 (`npm run bench:micro -- request-head-with-token`).
 */

/** Less is not worth it; and it has at least one whole word. */
const LEAST_BYTES = 32

const EACH_01 = 0x01010101
const EACH_20 = 0x20202020
const EACH_7F = 0x7f7f7f7f
/** The highest bit of each byte. */
const EACH_80 = 0x80808080

export class PlainWords {
  /** Those of the last call, and the memory in which they are: reads go into the same one again and again. */
  #bytes: Uint8Array = new Uint8Array(0)
  #words: Int32Array = new Int32Array(0)
  #offset = 0

  /**
   * A position in `bytes[start, end)` before which no byte is a control character (below 0x20, or 0x7f). It stands before
   * the first one, or the end, by no more than a few bytes, or at `start`.
   */
  plainUntil(bytes: Uint8Array, start: number, end: number): number {
    if (end - start < LEAST_BYTES) return start
    if (bytes !== this.#bytes) this.#view(bytes)
    const words = this.#words
    const offset = this.#offset
    // Words are where the memory has them, wherever in it `bytes` begin.
    let at = start
    for (; ((at + offset) & 3) !== 0; at++) {
      const byte = bytes[at] as number
      if (byte < 0x20 || byte === 0x7f) return at
    }
    let word = (at + offset) >> 2
    const last = (end + offset) >> 2
    while (word < last && isPlain(words[word] as number)) word++
    return (word << 2) - offset
  }

  #view(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#words = new Int32Array(bytes.buffer, 0, bytes.buffer.byteLength >> 2)
    this.#offset = bytes.byteOffset
  }
}

/**
 * Whether no byte of `word` is below 0x20, or 0x7f: taking a number from each byte sets the highest bit of one that was
 * less and did not have it. A borrow may blame the byte above, but only where there is one to blame.
 */
function isPlain(word: number): boolean {
  const low = (word - EACH_20) & ~word
  const others = word ^ EACH_7F
  const deleted = (others - EACH_01) & ~others
  return ((low | deleted) & EACH_80) === 0
}

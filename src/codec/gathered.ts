/** Bytes that come in pieces, in one piece: a single one is kept as it is, several are copied into memory that doubles. */

const NOTHING = Buffer.alloc(0)

export class Gathered {
  #memory: Buffer = NOTHING
  #length = 0

  get length(): number {
    return this.#length
  }

  /** A view of all; good until the next `add`. */
  get bytes(): Buffer {
    return this.#memory.subarray(0, this.#length)
  }

  /** `piece` must stay as it is from now on. */
  add(piece: Buffer): void {
    if (this.#length === 0) this.#memory = piece
    else {
      this.#makeRoom(this.#length + piece.length)
      piece.copy(this.#memory, this.#length)
    }
    this.#length += piece.length
  }

  #makeRoom(wanted: number): void {
    if (wanted <= this.#memory.length) return
    const larger = Buffer.allocUnsafe(Math.max(wanted, 2 * this.#length))
    this.#memory.copy(larger, 0, 0, this.#length)
    this.#memory = larger
  }
}

/** The streams that ended last. What still comes for one that we have reset was on its way; for any other it is a fault. */

/** A power of two. */
const KEPT = 128
/** Until the first one ends: many connections never have any. */
const NONE = new Int32Array(0)

export class ClosedStreams {
  /** A ring of ids; those that we have reset stand there as negative numbers. */
  #ids: Int32Array = NONE
  #next = 0

  add(id: number, resetByUs: boolean): void {
    if (this.#ids === NONE) this.#ids = new Int32Array(KEPT)
    this.#ids[this.#next] = resetByUs ? -id : id
    this.#next = (this.#next + 1) & (KEPT - 1)
  }

  has(id: number): boolean {
    return this.#ids.includes(id) || this.#ids.includes(-id)
  }

  /** Also where it is too long ago to know: the other end may have been slow. */
  mayBeOnItsWay(id: number): boolean {
    return !this.#ids.includes(id)
  }
}

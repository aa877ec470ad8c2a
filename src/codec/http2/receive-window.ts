/** How much DATA the other end may still send, on a stream or on all together (RFC 9113 §5.2, §6.9). */
export class ReceiveWindow {
  #size: number
  #open: number
  /** Octets that were handed on, and that the other end was not told of yet. */
  #returned = 0

  constructor(size: number) {
    this.#size = size
    this.#open = size
  }

  /** There was less to begin with; where more has come already, nothing may until as much was handed on. */
  shrink(octets: number): void {
    this.#size -= octets
    this.#open -= octets
  }

  /** Octets have come; false where there were more than allowed. */
  take(octets: number): boolean {
    this.#open -= octets
    return this.#open >= 0
  }

  /**
   * Octets were handed on. Answers by how much to open the window, or 0 for not yet: half a window at a time is one frame
   * for many, and the sender never stands still.
   */
  giveBack(octets: number): number {
    this.#returned += octets
    if (this.#returned < this.#size / 2) return 0
    const increment = this.#returned
    this.#open += increment
    this.#returned = 0
    return increment
  }
}

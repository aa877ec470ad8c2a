/**
 * Counts the calls that wait, whole heads of them, in bytes behind a call that is under way. It reads ahead only there:
 * a connection whose calls come one after the other never gets here. Each byte is looked at once, as the bytes grow and
 * as they are used up.
 */
import { INCOMPLETE, INVALID } from './field-section.ts'
import { BODY_CHUNKED } from './framing.ts'
import type { RequestHead } from './request-head.ts'

export class PipelineCounter {
  /** Calls whose heads were read ahead, and that have not begun. */
  waiting = 0
  readonly #head: RequestHead
  readonly #most: number
  /** Bytes from the beginning of the input that need no further look; bodies that are still to come make it more. */
  #ahead = 0
  /** Behind a body of unknown length, or a head that will be refused, nothing can be told. */
  #blind = false

  /** `head` is read over; `most` calls may wait. */
  constructor(head: RequestHead, most: number) {
    this.#head = head
    this.#most = most
  }

  /**
   * Looks at what has come of the input, `bytes[start, end)`, since the last time. Returns the position behind the calls
   * that may wait, where one more waits there; else -1.
   */
  overflow(bytes: Buffer, start: number, end: number): number {
    const head = this.#head
    while (!this.#blind && start + this.#ahead < end) {
      const headEnd = head.read(bytes, start + this.#ahead, end)
      if (headEnd === INCOMPLETE) break
      if (headEnd === INVALID) {
        this.#blind = true
        break
      }
      if (this.waiting === this.#most) return start + this.#ahead
      this.waiting++
      this.#ahead = headEnd - start + head.length
      this.#blind = head.kind === BODY_CHUNKED || head.mayTunnel
    }
    return -1
  }

  /** The first waiting call has begun, if one was counted. */
  begun(): void {
    if (this.waiting > 0) this.waiting--
  }

  /** So many bytes are gone from the beginning of the input. */
  used(bytes: number): void {
    if (this.#ahead === 0) return
    this.#ahead -= bytes
    if (this.#ahead > 0) return
    this.#ahead = 0
    this.#blind = false
  }
}

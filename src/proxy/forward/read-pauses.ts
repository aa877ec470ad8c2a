/** Why the socket of a connection is not read. */
import type { Inbox } from '../wire/inbox.ts'
import type { CallWatch } from './call-watch.ts'

/** Bits: a table by reason would be three look-ups a call by a variable name, which V8 cannot inline. */
export const PAUSED_BY = { input: 1, upstream: 2, pace: 4, penalty: 8 } as const

/** It is read where there is no reason not to. */
export class ReadPauses {
  readonly #inbox: Inbox
  readonly #watch: CallWatch
  #reasons = 0

  constructor(inbox: Inbox, watch: CallWatch) {
    this.#inbox = inbox
    this.#watch = watch
  }

  get any(): boolean {
    return this.#reasons !== 0
  }

  /** Whether it is one of these, as a sum of bits. */
  has(reasons: number): boolean {
    return (this.#reasons & reasons) !== 0
  }

  /** From now on `reason` is one, or none; whether that is new. */
  set(reason: number, on: boolean): boolean {
    const reasons = on ? this.#reasons | reason : this.#reasons & ~reason
    if (reasons === this.#reasons) return false
    this.#reasons = reasons
    if (this.any) {
      this.#watch.excuseUpload()
      this.#inbox.pause()
    } else this.#inbox.resume()
    return true
  }
}

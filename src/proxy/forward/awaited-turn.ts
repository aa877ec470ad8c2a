/** The place of a call among those that wait for their turn in a busy worker. */

import type { Entry } from '../overload/fair-scheduler.ts'
import type { Overload } from '../overload/overload.ts'
import type { QueuedCall } from '../overload/tenant-share.ts'
import type { RoutedVerdict } from '../tenant/tenant.ts'
import type { TenantRuntime } from '../worker/tenant-runtimes.ts'

/** What becomes of a call that waited. */
export interface TurnTaker {
  /** `verdict`: that with which it began to wait. */
  turnCame(verdict: RoutedVerdict): void
  /** There will be none. */
  turnLost(): void
}

export class AwaitedTurn implements QueuedCall {
  readonly #overload: Overload
  readonly #call: TurnTaker
  /**
   * Whose the call is, while it waits. It is not asked for again: by then the evidence of its connection may be that of another
   * call, or of other tenants.
   */
  #verdict: RoutedVerdict | undefined
  #runtime: TenantRuntime | undefined

  constructor(overload: Overload, call: TurnTaker) {
    this.#overload = overload
    this.#call = call
  }

  /** The call is one of the tenant of `runtime`, by `verdict`; it hears of its turn where it is `queued`. */
  enter(verdict: RoutedVerdict, runtime: TenantRuntime): Entry {
    const entry = this.#overload.enter(this, runtime)
    if (entry === 'queued') {
      this.#verdict = verdict
      this.#runtime = runtime
    }
    return entry
  }

  /** Waits no longer; false where it did not. */
  leave(): boolean {
    const runtime = this.#runtime
    if (runtime === undefined) return false
    this.#forget()
    this.#overload.leave(this, runtime)
    return true
  }

  admitted(): void {
    const verdict = this.#verdict
    this.#forget()
    if (verdict !== undefined) this.#call.turnCame(verdict)
  }

  shed(): void {
    this.#forget()
    this.#call.turnLost()
  }

  #forget(): void {
    this.#verdict = undefined
    this.#runtime = undefined
  }
}

/** The place of a call among those that wait for their turn in a busy worker. */

import type { Entry } from '../overload/fair-scheduler.ts'
import type { Overload } from '../overload/overload.ts'
import type { QueuedCall } from '../overload/tenant-share.ts'
import type { TenantRuntime } from '../worker/tenant-runtimes.ts'

/** What becomes of a call that waited. */
export interface TurnTaker {
  turnCame(): void
  /** There will be none. */
  turnLost(): void
}

export class AwaitedTurn implements QueuedCall {
  readonly #overload: Overload
  readonly #call: TurnTaker
  /** Of whom the call is, while it waits. */
  #runtime: TenantRuntime | undefined

  constructor(overload: Overload, call: TurnTaker) {
    this.#overload = overload
    this.#call = call
  }

  /** The call is one of the tenant of `runtime`; it hears of its turn where it is `queued`. */
  enter(runtime: TenantRuntime): Entry {
    const entry = this.#overload.enter(this, runtime)
    if (entry === 'queued') this.#runtime = runtime
    return entry
  }

  /** Waits no longer; false where it did not. */
  leave(): boolean {
    const runtime = this.#runtime
    if (runtime === undefined) return false
    this.#runtime = undefined
    this.#overload.leave(this, runtime)
    return true
  }

  admitted(): void {
    this.#runtime = undefined
    this.#call.turnCame()
  }

  shed(): void {
    this.#runtime = undefined
    this.#call.turnLost()
  }
}

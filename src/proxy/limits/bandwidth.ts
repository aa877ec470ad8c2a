/**
 * The bandwidth of a tenant in one worker, what it has had beyond it, and who pays for that. A body or an answer that is under
 * way is read later; what came in one piece could not be held back, and for that the tenant's next calls wait before they begin,
 * whatever connection they come on. Connections that carry calls of others, and those calls, go on.
 */
import { Pacer } from './pacer.ts'
import { limitOf, type Refusal } from './refusal.ts'

/** What one read of a peer may bring before anybody can be told to rest; what follows is paced as it goes. */
const READ_BYTES = 64 * 1024
/** The part that the latest call has in what one is expected to take. */
const LATEST_PART = 1 / 8
/** Timers are no finer. */
const LEAST_MS = 1

const EGRESS = limitOf('tenant_overloaded', 'egress')
const INGRESS = limitOf('tenant_overloaded', 'ingress')

/** Bytes a second; Infinity where there is no limit. */
export interface BothWays {
  readonly ingress: number
  readonly egress: number
}

export class Bandwidth {
  /** What a call takes in one piece, as time of the bandwidth: a mean over the latest. */
  #callMs = 0
  /** What those that wait are expected to take. */
  #claimedMs = 0
  readonly #ingress: Pacer
  readonly #egress: Pacer

  constructor({ ingress, egress }: BothWays) {
    this.#ingress = new Pacer(ingress)
    this.#egress = new Pacer(egress)
  }

  /** Others from now on; what is owed stays so. Times are monotonic, in ms. */
  change({ ingress, egress }: BothWays, now: number): void {
    this.#ingress.change(ingress, now)
    this.#egress.change(egress, now)
  }

  /** Whether it lets through what a new one would. */
  idle(now: number): boolean {
    return this.#ingress.idle(now) && this.#egress.idle(now)
  }

  /** Spends what has come; returns for how many ms no more should be read. */
  received(bytes: number, now: number): number {
    return this.#ingress.spend(bytes, now)
  }

  /** The same with what goes to the client. */
  sent(bytes: number, now: number): number {
    return this.#egress.spend(bytes, now)
  }

  /** For how many ms a call that comes now has to wait: for the debt, and for those that wait already; 0 where it has not to. */
  waitMs(now: number): number {
    const ms = Math.max(this.#ingress.debt(now), this.#egress.debt(now)) + this.#claimedMs
    return ms < LEAST_MS ? 0 : ms
  }

  /** A call waits: those that come later do so behind it. Returns what `unclaim` takes, once it waits no longer. */
  claim(): number {
    this.#claimedMs += this.#callMs
    return this.#callMs
  }

  unclaim(ms: number): void {
    this.#claimedMs -= ms
  }

  /** A call that waits for `ms` would do so for too long. */
  refusal(ms: number, now: number): Refusal {
    const ingress = this.#ingress.limited && this.#ingress.debt(now) >= this.#egress.debt(now)
    return { ...(ingress ? INGRESS : EGRESS), retryAfterMs: ms }
  }

  /** A call has ended and moved so much. */
  callEnded(ingress: number, egress: number): void {
    const received = this.#ingress.costMs(Math.min(ingress, READ_BYTES))
    const sent = this.#egress.costMs(Math.min(egress, READ_BYTES))
    const ms = Math.max(received, sent)
    this.#callMs = this.#callMs === 0 ? ms : this.#callMs + (ms - this.#callMs) * LATEST_PART
  }
}

/** A tenant's place in a busy worker: what waits, and what it may still have. */
import { WaitQueue } from '../pool/wait-queue.ts'

/** Why a call was refused so that others could be served. */
export const SHED_REASONS = ['queue_full', 'queue_timeout', 'heaviest'] as const
export type ShedReason = (typeof SHED_REASONS)[number]

export interface QueuedCall {
  /** Its turn has come. It waits no longer. */
  admitted(): void
  /** It will not be served. It waits no longer. */
  shed(): void
}

export class TenantShare {
  readonly tenant: string
  /** Part of a busy worker, against the weights of others; changed by the scheduler alone. */
  weight: number
  readonly queue = new WaitQueue<QueuedCall, undefined>(Number.POSITIVE_INFINITY)
  /** Calls that it may still begin in this round; below 0 it has had more than was its part. */
  deficit = 0
  /** Whether this round's part is in `deficit` already. */
  visited = false
  /** Calls that were begun in the turn `turn`. */
  begun = 0
  turn = -1

  constructor(tenant: string, weight: number) {
    this.tenant = tenant
    this.weight = weight
  }

  /** What waits, by weight. */
  get load(): number {
    return this.queue.size / this.weight
  }
}

/** How a primary ends: in good order, or at once. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Config } from '../../config/schema.ts'
import type { JournalShipper } from '../shipping/journal-shipper.ts'
import type { WorkerPool } from './worker-pool.ts'

/** Beyond the times of the drain, for the workers to notice that their time is up and to report a last time. */
const DRAIN_GRACE_MS = 2_000
/** For the last usage to reach the mixer; what does not waits in the journal for the next start. */
const LAST_REPORT_MS = 5_000

type Times = Pick<Config, 'timeouts' | 'drain'>

/** After how long a worker that was told to end is killed. */
export function workerDeadlineOf({ timeouts, drain }: Times): number {
  return Math.max(timeouts.drain, drain.tunnels ?? 0) + DRAIN_GRACE_MS
}

export interface PrimaryEndOptions {
  readonly config: () => Times
  readonly pool: () => WorkerPool
  readonly shipper: JournalShipper
}

export class PrimaryEnd {
  readonly #options: PrimaryEndOptions
  /** Ends the time in which only `/readyz` says that the end has begun. */
  readonly #hurry = new AbortController()

  constructor(options: PrimaryEndOptions) {
    this.#options = options
  }

  /** Resolves when all workers have ended, and what they reported last is shipped or waits on the disk. */
  async drain(graceMs: number): Promise<void> {
    const { config, pool } = this.#options
    // Until balancers have seen that this one is not ready, they send connections to it.
    if (graceMs > 0) await pause(graceMs, undefined, this.#hurry).catch(() => {})
    await this.drainWorkers(workerDeadlineOf(config()), pool())
  }

  async drainWorkers(deadlineMs: number, pool: WorkerPool = this.#options.pool()): Promise<void> {
    await pool.drain(deadlineMs)
    await this.#options.shipper.close(LAST_REPORT_MS)
  }

  async now(): Promise<void> {
    const { pool, shipper } = this.#options
    this.#hurry.abort()
    await pool().kill()
    await shipper.close(0)
  }
}

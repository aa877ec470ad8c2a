/** Takes old windows and ids of quotas away, in pieces, so that nothing else waits for it long. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../runtime/logger.ts'
import { messageOf } from '../ledger/database.ts'
import type { QuotaLedger } from './quota-ledger.ts'

const SWEEP_MS = 60_000
/** Between two pieces. */
const PAUSE_MS = 50

export class QuotaSweeper {
  readonly #stop = new AbortController()
  readonly #ended: Promise<void>

  constructor(quotas: Pick<QuotaLedger, 'sweep'>, logger: Logger) {
    this.#ended = this.#run(quotas, logger)
  }

  /** Resolves when nothing of it is under way. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#ended
  }

  async #run(quotas: Pick<QuotaLedger, 'sweep'>, logger: Logger): Promise<void> {
    let more = false
    while (await this.#pause(more ? PAUSE_MS : SWEEP_MS)) {
      try {
        more = await quotas.sweep()
      } catch (error) {
        more = false
        logger.warn({ reason: messageOf(error) }, 'old allocations of quotas cannot be deleted')
      }
    }
  }

  /** False where it is over. */
  async #pause(ms: number): Promise<boolean> {
    try {
      await sleep(ms, undefined, { signal: this.#stop.signal, ref: false })
      return true
    } catch {
      return false
    }
  }
}

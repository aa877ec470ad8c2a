/**
 * Log lines about one tenant, of which each has so many: a deployment that comes and goes all the time fills no disk, and a
 * slow reader of the log stops nobody else. What is left out is counted, and said with the next line.
 */
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { WorkerStats } from './worker-stats.ts'

export const TOO_MANY_ADDRESSES = 'a name has more addresses than are used'

/** Lines at once; an endpoint that is ejected, and fails its checks, in all its places is half of it. */
const BURST = 60
/** One more after so long. */
const REFILL_MS = 5_000
/** Tenants with lines of late, oldest out first. */
const MAX_TENANTS = 1_000

interface Allowance {
  left: number
  /** When it was `left`. */
  at: number
  suppressed: number
}

export interface TenantLogDeps {
  readonly logger: Pick<Logger, 'warn'>
  readonly clock: Pick<Clock, 'monotonic'>
  /** Told of each line that is left out, as the limit `log_lines`. */
  readonly stats: Pick<WorkerStats, 'limited'>
}

export class TenantLog {
  readonly #deps: TenantLogDeps
  readonly #allowances = new Map<string, Allowance>()

  constructor(deps: TenantLogDeps) {
    this.#deps = deps
  }

  /** `message` is a constant; what varies stands in `fields`. */
  warn(tenant: string, fields: Readonly<Record<string, unknown>>, message: string): void {
    const allowance = this.#allowanceOf(tenant)
    const now = this.#deps.clock.monotonic()
    allowance.left = Math.min(BURST, allowance.left + (now - allowance.at) / REFILL_MS)
    allowance.at = now
    if (allowance.left < 1) {
      allowance.suppressed++
      this.#deps.stats.limited(tenant, 'log_lines')
      return
    }
    allowance.left--
    const { suppressed } = allowance
    allowance.suppressed = 0
    const more = suppressed === 0 ? {} : { suppressed }
    this.#deps.logger.warn({ tenant, ...fields, ...more }, message)
  }

  #allowanceOf(tenant: string): Allowance {
    const known = this.#allowances.get(tenant)
    if (known !== undefined) return known
    const [oldest] = this.#allowances.keys()
    if (oldest !== undefined && this.#allowances.size >= MAX_TENANTS)
      this.#allowances.delete(oldest)
    const fresh = { left: BURST, at: this.#deps.clock.monotonic(), suppressed: 0 }
    this.#allowances.set(tenant, fresh)
    return fresh
  }
}

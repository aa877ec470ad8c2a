/** How often and how patiently journals are shipped; tests have less time. */
import { FIRST_RETRY_MS } from './mixer-outage.ts'
import { SUM_LIMITS, type SumLimits } from './report-sum.ts'
import { SHORTEST_MS } from './shipping-pace.ts'

const POLL_MS = 500
/** A worker of a former start may have outlived its primary for a moment; one that writes nothing for so long is gone. */
const QUIET_MS = 5_000
const JOURNAL_RETRY_MS = 5_000

export interface ShipperLimits extends SumLimits {
  readonly pollMs: number
  readonly quietMs: number
  readonly firstRetryMs: number
  /** Between two reports of a journal. */
  readonly shortestMs: number
  readonly retryMs: number
}

export const SHIPPER_LIMITS: ShipperLimits = {
  ...SUM_LIMITS,
  pollMs: POLL_MS,
  quietMs: QUIET_MS,
  firstRetryMs: FIRST_RETRY_MS,
  shortestMs: SHORTEST_MS,
  retryMs: JOURNAL_RETRY_MS,
}

import type { AdmissionLimits } from './check-admission.ts'
import type { FetchLimits } from './fetch-budget.ts'
import type { KeySourceOptions } from './key-source.ts'
import type { LiveIssuerLimits } from './live-issuers.ts'
import type { CacheLimits } from './verified-cache.ts'

export interface JwtOptions extends KeySourceOptions {
  /** Of verified tokens. */
  readonly cache: CacheLimits
  /** Of checks under way at once, those that wait for keys too. */
  readonly underWay: AdmissionLimits
  /** Signatures under way at once, see `SignatureQueue`. */
  readonly maxSignatures: number
  readonly issuers: LiveIssuerLimits
  readonly fetches: FetchLimits
}

/** Of a worker. `docs/jwt.md` names them. */
export const DEFAULT_JWT_OPTIONS: JwtOptions = {
  cache: { maxEntries: 65_536, maxKeyBytes: 64 * 1024 * 1024 },
  underWay: { total: 4_096, source: 128, regained: 10, owner: 1_024 },
  maxSignatures: 8,
  issuers: { maxProven: 4_096, maxUnproven: 256, idleMs: 600_000 },
  fetches: {
    atOnce: 256,
    loads: { perSecond: 100, burst: 500 },
    refreshes: { perSecond: 10, burst: 50 },
  },
  refreshIntervalMs: 30_000,
  retryMs: 5_000,
  fetchTimeoutMs: 5_000,
}

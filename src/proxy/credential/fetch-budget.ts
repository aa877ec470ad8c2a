/** How often keys are fetched, over all issuers of a worker: whatever tokens come, what goes out is bounded. */
export interface FetchLimits {
  /** Fetches under way at once. */
  readonly atOnce: number
  /** A second, and how many at once after a pause: first keys of an issuer, and newer ones for stale ones. */
  readonly loads: RateLimit
  /** The same for fetches that a token with an unknown key causes. */
  readonly refreshes: RateLimit
}

export interface RateLimit {
  readonly perSecond: number
  readonly burst: number
}

export class FetchBudget {
  readonly #limits: FetchLimits
  readonly #loads: Bucket
  readonly #refreshes: Bucket
  #underWay = 0
  #done = 0
  #failed = 0
  #limited = 0

  constructor(limits: FetchLimits) {
    this.#limits = limits
    this.#loads = new Bucket(limits.loads)
    this.#refreshes = new Bucket(limits.refreshes)
  }

  /** Whether a fetch may begin; one that does must `end`. */
  begin(kind: 'load' | 'refresh', nowMs: number): boolean {
    const bucket = kind === 'load' ? this.#loads : this.#refreshes
    if (this.#underWay >= this.#limits.atOnce || !bucket.take(nowMs)) {
      this.#limited += 1
      return false
    }
    this.#underWay += 1
    return true
  }

  end(succeeded: boolean): void {
    this.#underWay -= 1
    if (succeeded) this.#done += 1
    else this.#failed += 1
  }

  /** Since the last time. */
  takeCounters(): { ok: number; failed: number; limited: number } {
    const taken = { ok: this.#done, failed: this.#failed, limited: this.#limited }
    this.#done = 0
    this.#failed = 0
    this.#limited = 0
    return taken
  }
}

class Bucket {
  readonly #limit: RateLimit
  #tokens: number
  #atMs = 0

  constructor(limit: RateLimit) {
    this.#limit = limit
    this.#tokens = limit.burst
  }

  take(nowMs: number): boolean {
    // A clock that was set back brings nothing, and is gone by from then on.
    const seconds = Math.max(0, nowMs - this.#atMs) / 1_000
    this.#atMs = nowMs
    this.#tokens = Math.min(this.#limit.burst, this.#tokens + seconds * this.#limit.perSecond)
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}

/** Usage that waits for its report: records of the same tenant, window, operation … are summed into one. */
import { USAGE_COUNTERS, type UsageRecord } from '../../contracts/usage-report.ts'

export class PendingUsage {
  readonly #records = new Map<string, UsageRecord>()
  #since = 0

  get size(): number {
    return this.#records.size
  }

  /** When the oldest of it was added, or earlier; meaningless when there is none. */
  get since(): number {
    return this.#since
  }

  /** Whether `record` would need no more memory. */
  has(record: UsageRecord): boolean {
    return this.#records.has(keyOf(record))
  }

  add(record: UsageRecord, now: number): void {
    if (this.#records.size === 0) this.#since = now
    const key = keyOf(record)
    const sum = this.#records.get(key)
    if (sum === undefined) {
      this.#records.set(key, { ...record })
      return
    }
    for (const counter of USAGE_COUNTERS) sum[counter] += record[counter]
  }

  /** Takes out the `most` that were added first. */
  take(most: number): UsageRecord[] {
    const taken: UsageRecord[] = []
    for (const [key, record] of this.#records) {
      if (taken.length >= most) break
      taken.push(record)
      this.#records.delete(key)
    }
    return taken
  }
}

function keyOf(record: UsageRecord): string {
  const { tenant, listener, routability, operation, code, window } = record
  return `${window}\0${tenant}\0${listener}\0${routability}\0${operation}\0${code}`
}

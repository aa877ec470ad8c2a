/**
 * What tenants did in the last seconds, from the reports of the workers. Two periods are kept, the present one and the one
 * before: who did nothing in either is in no memory. Rates are what was reported by the time that the reports are about,
 * so that a report that comes early or late changes none.
 */
import type { Clock } from '../../core/clock.ts'
import type { CodeClass } from '../../core/routability.ts'
import type { WorkerReport } from '../ipc.ts'

const PERIOD_MS = 5_000
/** That the first report of a worker is about; when it began to count is not known here. */
const FIRST_REPORT_MS = 1_000

/** 5xx, and the statuses of gRPC that a gateway makes of it: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const FAILED: ReadonlySet<CodeClass> = new Set<CodeClass>([
  '5xx',
  'grpc-2',
  'grpc-4',
  'grpc-13',
  'grpc-14',
  'grpc-15',
])

/** Sums, or on average a second; `callMs` all calls together. */
export interface Activity {
  calls: number
  errors: number
  ingress: number
  egress: number
  limited: number
  callMs: number
}

export function noActivity(): Activity {
  return { calls: 0, errors: 0, ingress: 0, egress: 0, limited: 0, callMs: 0 }
}

/** Adds `factor` times `more`. */
export function addActivity(sums: Activity, more: Readonly<Activity>, factor = 1): void {
  sums.calls += more.calls * factor
  sums.errors += more.errors * factor
  sums.ingress += more.ingress * factor
  sums.egress += more.egress * factor
  sums.limited += more.limited * factor
  sums.callMs += more.callMs * factor
}

interface Period {
  readonly number: number
  readonly byTenant: Map<string, Activity>
  /** Time that reports are about, by worker. */
  readonly coveredMs: Map<number, number>
}

export class TenantActivity {
  readonly #clock: Clock
  readonly #reportedAt = new Map<number, number>()
  #present: Period
  #former: Period

  constructor(clock: Clock) {
    this.#clock = clock
    const number = Math.floor(clock.monotonic() / PERIOD_MS)
    this.#present = newPeriod(number)
    this.#former = newPeriod(number - 1)
  }

  record(slot: number, { usage, limited, shed }: WorkerReport): void {
    const now = this.#clock.monotonic()
    this.#turn(now)
    const { coveredMs } = this.#present
    const since = now - (this.#reportedAt.get(slot) ?? now - FIRST_REPORT_MS)
    this.#reportedAt.set(slot, now)
    coveredMs.set(slot, (coveredMs.get(slot) ?? 0) + since)
    for (const { tenant, code, calls, ingress, egress, callMs } of usage) {
      const sums = this.#of(tenant)
      sums.calls += calls
      if (FAILED.has(code)) sums.errors += calls
      sums.ingress += ingress
      sums.egress += egress
      sums.callMs += callMs
    }
    for (const { tenant, count } of limited) this.#of(tenant).limited += count
    for (const { tenant, count } of shed) this.#of(tenant).limited += count
  }

  /** The worker is gone; what it did stays what was done. */
  forget(slot: number): void {
    this.#reportedAt.delete(slot)
  }

  /** On average a second, by tenant; and over how many seconds. */
  rates(): { readonly seconds: number; readonly byTenant: Map<string, Activity> } {
    this.#turn(this.#clock.monotonic())
    const seconds = this.#seconds()
    const byTenant = new Map<string, Activity>()
    if (seconds === 0) return { seconds, byTenant }
    for (const period of [this.#former, this.#present]) {
      for (const [tenant, sums] of period.byTenant) {
        let rates = byTenant.get(tenant)
        if (rates === undefined) {
          rates = noActivity()
          byTenant.set(tenant, rates)
        }
        addActivity(rates, sums, 1 / seconds)
      }
    }
    return { seconds, byTenant }
  }

  /** Workers report at times of their own: on average of all that did. */
  #seconds(): number {
    const covered = [this.#former, this.#present].map(({ coveredMs }) => coveredMs)
    const workers = new Set(covered.flatMap(byWorker => [...byWorker.keys()]))
    if (workers.size === 0) return 0
    const ms = covered.flatMap(byWorker => [...byWorker.values()]).reduce((a, b) => a + b, 0)
    return ms / workers.size / 1_000
  }

  #of(tenant: string): Activity {
    let sums = this.#present.byTenant.get(tenant)
    if (sums === undefined) {
      sums = noActivity()
      this.#present.byTenant.set(tenant, sums)
    }
    return sums
  }

  #turn(now: number): void {
    const number = Math.floor(now / PERIOD_MS)
    if (number === this.#present.number) return
    this.#former = number === this.#present.number + 1 ? this.#present : newPeriod(number - 1)
    this.#present = newPeriod(number)
  }
}

function newPeriod(number: number): Period {
  return { number, byTenant: new Map(), coveredMs: new Map() }
}

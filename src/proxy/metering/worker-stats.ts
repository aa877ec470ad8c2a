/** What a worker counts besides usage: refusals, limits that bit, durations. Taken and emptied with each report. */
import type { ErrorCode } from '../../core/errors.ts'
import { CODE_CLASSES } from '../../core/routability.ts'
import {
  DURATION_BUCKETS_MS,
  type DurationHistogram,
  type HandshakeFailure,
  type WorkerReport,
} from '../ipc.ts'

const CODES = CODE_CLASSES.length
const BUCKETS = DURATION_BUCKETS_MS.length + 1

/** Durations by code class in buckets; recording allocates nothing. */
export class Durations {
  #counts = new Float64Array(CODES * BUCKETS)
  #sums = new Float64Array(CODES)
  #any = false

  record(codeClass: number, ms: number): void {
    let bucket = 0
    while (bucket < DURATION_BUCKETS_MS.length && ms > (DURATION_BUCKETS_MS[bucket] as number))
      bucket++
    this.#counts[codeClass * BUCKETS + bucket]! += 1
    this.#sums[codeClass]! += ms
    this.#any = true
  }

  take(): DurationHistogram[] {
    if (!this.#any) return []
    const histograms: DurationHistogram[] = []
    for (const [codeClass, code] of CODE_CLASSES.entries()) {
      const counts = [...this.#counts.subarray(codeClass * BUCKETS, (codeClass + 1) * BUCKETS)]
      if (counts.some(count => count > 0))
        histograms.push({ code, counts, sumMs: this.#sums[codeClass] as number })
    }
    this.#counts.fill(0)
    this.#sums.fill(0)
    this.#any = false
    return histograms
  }
}

/** TLS handshakes of each listener, by how they ended. */
class HandshakeCounts {
  readonly #listeners: readonly string[]
  /** By listener index; of some listeners there may be none yet. */
  #full: number[] = []
  #resumed: number[] = []
  #failed: Map<HandshakeFailure, number>[] = []

  constructor(listeners: readonly string[]) {
    this.#listeners = listeners
  }

  done(listener: number, resumed: boolean): void {
    const counts = resumed ? this.#resumed : this.#full
    counts[listener] = (counts[listener] ?? 0) + 1
  }

  failed(reason: HandshakeFailure, listener: number): void {
    const counts = (this.#failed[listener] ??= new Map())
    counts.set(reason, (counts.get(reason) ?? 0) + 1)
  }

  take(): Pick<WorkerReport, 'handshakes' | 'handshakeFailures'> {
    const handshakes = this.#listeners
      .map((listener, index) => ({
        listener,
        full: this.#full[index] ?? 0,
        resumed: this.#resumed[index] ?? 0,
      }))
      .filter(({ full, resumed }) => full + resumed > 0)
    const handshakeFailures = this.#listeners.flatMap((listener, index) => {
      const counts = this.#failed[index] ?? []
      return [...counts].map(([reason, count]) => ({ reason, listener, count }))
    })
    this.#full = []
    this.#resumed = []
    this.#failed = []
    return { handshakes, handshakeFailures }
  }
}

export class WorkerStats {
  readonly callDurations = new Durations()
  readonly upstreamDurations = new Durations()
  readonly #listeners: readonly string[]
  readonly #handshakes: HandshakeCounts
  /** By listener index. */
  readonly #rejected: (Map<ErrorCode, number> | undefined)[] = []
  /** By tenant id, then by limit; a tenant appears with the first limit that bites, and goes with the next report. */
  #limited = new Map<string, Map<string, number>>()

  /** `listeners` may grow. */
  constructor(listeners: readonly string[]) {
    this.#listeners = listeners
    this.#handshakes = new HandshakeCounts(listeners)
  }

  rejected(reason: ErrorCode, listener: number): void {
    const counts = (this.#rejected[listener] ??= new Map<ErrorCode, number>())
    counts.set(reason, (counts.get(reason) ?? 0) + 1)
  }

  handshake(listener: number, resumed: boolean): void {
    this.#handshakes.done(listener, resumed)
  }

  handshakeFailed(reason: HandshakeFailure, listener: number): void {
    this.#handshakes.failed(reason, listener)
  }

  limited(tenant: string, limit: string): void {
    const counts = this.#limited.get(tenant) ?? new Map<string, number>()
    counts.set(limit, (counts.get(limit) ?? 0) + 1)
    this.#limited.set(tenant, counts)
  }

  take(): Pick<
    WorkerReport,
    | 'rejected'
    | 'handshakes'
    | 'handshakeFailures'
    | 'limited'
    | 'callDurations'
    | 'upstreamDurations'
  > {
    const rejected = this.#rejected.flatMap((counts, listener) =>
      [...(counts ?? [])].map(([reason, count]) => ({
        reason,
        listener: this.#listeners[listener] as string,
        count,
      })),
    )
    for (const counts of this.#rejected) counts?.clear()
    const limited = [...this.#limited].flatMap(([tenant, counts]) =>
      [...counts].map(([limit, count]) => ({ tenant, limit, count })),
    )
    this.#limited = new Map()
    return {
      rejected,
      ...this.#handshakes.take(),
      limited,
      callDurations: this.callDurations.take(),
      upstreamDurations: this.upstreamDurations.take(),
    }
  }
}

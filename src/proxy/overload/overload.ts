/**
 * What a worker does when there is more to do than it can. While there is not, all that a call meets of this is the
 * comparison of `level`.
 */
import type { OverloadConfig } from '../../config/overload-schema.ts'
import type { OverloadFigures, ShedCount } from '../ipc.ts'
import type { TenantRuntime } from '../worker/tenant-runtimes.ts'
import { type Entry, FairScheduler } from './fair-scheduler.ts'
import { type LoadFigures, LoadMonitor, OVERLOAD_STEPS } from './load-monitor.ts'
import { type QueuedCall, type ShedReason, TenantShare } from './tenant-share.ts'

/** So many bytes cost as much as a small call does, some 19 µs: in bulk it is 1.7 GB a CPU second. */
const BYTES_OF_CALL = 32 * 1024

/**
 * How often garbage is collected while memory is short, in ms. A worker that refuses what comes allocates nothing, and then V8
 * does not look for what nobody uses any more: it would refuse for ever.
 */
const COLLECT_MS = 5_000

/** A tenant for which less waits is not what takes the memory. */
const MUCH_BUFFERED = 1024 * 1024

export interface OverloadOptions {
  readonly config: OverloadConfig
  /** Monotonic, in ms. */
  readonly now: () => number
  /** Runs something behind all of the present turn of the event loop, at a time of its own. */
  readonly nextTurn: (run: () => void) => void
  /** Tenants with traffic. */
  readonly runtimes: () => Iterable<TenantRuntime>
  /** Large buffers and spares are let go, or may be had again. */
  readonly shrink: (on: boolean) => void
  /** Collects garbage. */
  readonly collect: () => void
}

export class Overload {
  /** How many steps are in force: 0 where there is nothing to do. */
  level = 0
  /** Whether connections of tenants with most calls end with their call. */
  stopsKeepAlive = false
  refusesConnections = false
  /** When a client that was refused may. */
  readonly comeAgain: { readonly retryAfterMs: number }
  readonly #options: OverloadOptions
  readonly #monitor: LoadMonitor
  readonly #scheduler: FairScheduler
  #figures: LoadFigures = {
    lagMs: 0,
    cpu: 0,
    memory: 0,
    descriptors: 0,
    accept_queue: 0,
    queued: 0,
  }
  #refusesCalls = false
  #shrinks = false
  #collectedAt = Number.NEGATIVE_INFINITY
  /** Calls under way, and bytes that wait, of a tenant of weight 1 that has as much as those with any have on average. */
  #evenCalls = 0
  #evenBuffered = 0
  /** By tenant, then by reason; emptied with each report. */
  #shed = new Map<string, Map<ShedReason, number>>()

  constructor(options: OverloadOptions) {
    const { config, now, nextTurn } = options
    this.#options = options
    this.comeAgain = { retryAfterMs: Math.max(1_000, config.recovery) }
    this.#monitor = new LoadMonitor(config)
    this.#scheduler = new FairScheduler({
      turn: config.callsATurn === 'auto' ? { ms: config.turn } : { calls: config.callsATurn },
      most: config.queue.calls,
      timeout: config.queue.timeout,
      now,
      nextTurn,
      shed: (tenant, reason) => this.#countShed(tenant, reason),
    })
  }

  /** Calls that wait for their turn. */
  get queued(): number {
    return this.#scheduler.queued
  }

  /** Takes the figures of this moment. */
  observe(figures: LoadFigures): void {
    const monitor = this.#monitor
    this.#figures = figures
    monitor.observe(figures, this.#options.now())
    this.stopsKeepAlive = monitor.on('stop_keep_alive')
    this.#refusesCalls = monitor.on('refuse_calls')
    this.refusesConnections = monitor.on('refuse_connections')
    if (this.#shrinks !== monitor.on('shrink_buffers')) {
      this.#shrinks = !this.#shrinks
      this.#options.shrink(this.#shrinks)
    }
    if (this.#shrinks) this.#collect()
    if (this.stopsKeepAlive || this.#refusesCalls) this.#measure()
    this.level = monitor.level
  }

  /** A call of the tenant wants to go on, and `level` is not 0. See `FairScheduler`. */
  enter(call: QueuedCall, runtime: TenantRuntime): Entry {
    const share = shareOf(runtime)
    if (this.#refusesCalls && this.isHeavy(runtime, 1)) {
      this.#countShed(share.tenant, 'heaviest')
      return 'shed'
    }
    return this.#scheduler.enter(call, share)
  }

  /** A call that waits does so no longer. */
  leave(call: QueuedCall, runtime: TenantRuntime): void {
    this.#scheduler.leave(call, shareOf(runtime))
  }

  /** A call of the tenant is over and has moved so many bytes; only asked for where `level` is not 0. */
  charge(runtime: TenantRuntime, bytes: number): void {
    if (bytes >= BYTES_OF_CALL) this.#scheduler.charge(shareOf(runtime), bytes / BYTES_OF_CALL)
  }

  /** The tenant has another weight than before. */
  reweigh({ share, weight }: TenantRuntime): void {
    if (share !== undefined) this.#scheduler.reweigh(share, weight)
  }

  /** Whether the connection of a call ends with it. */
  endsConnectionOf(runtime: TenantRuntime | undefined): boolean {
    return this.stopsKeepAlive && runtime !== undefined && this.isHeavy(runtime)
  }

  /**
   * Whether the tenant has, by its weight, as much as tenants have on average, or more: calls under way, of which one is
   * never many, or bytes that wait for slow peers. `more` calls are not among those under way yet.
   */
  isHeavy({ limiter, weight }: TenantRuntime, more = 0): boolean {
    const { buffered } = limiter
    const activeCalls = limiter.activeCalls + more
    if (activeCalls > 1 && activeCalls >= this.#evenCalls * weight) return true
    return buffered >= MUCH_BUFFERED && buffered >= this.#evenBuffered * weight
  }

  /** What was counted since the last time, and how it is now. */
  take(): { readonly overload: OverloadFigures; readonly shed: readonly ShedCount[] } {
    const { memory, descriptors, accept_queue } = this.#figures
    const monitor = this.#monitor
    const steps = OVERLOAD_STEPS.map(step => ({
      step,
      on: monitor.on(step),
      begun: monitor.takeCount(step),
    }))
    const shed = [...this.#shed].flatMap(([tenant, counts]) =>
      [...counts].map(([reason, count]) => ({ tenant, reason, count })),
    )
    this.#shed = new Map()
    const { lagMs, cpu } = monitor
    return {
      overload: { steps, lagMs, cpu, queued: this.queued, memory, descriptors, accept_queue },
      shed,
    }
  }

  #collect(): void {
    const now = this.#options.now()
    if (now - this.#collectedAt < COLLECT_MS) return
    this.#collectedAt = now
    this.#options.collect()
  }

  #measure(): void {
    let calls = 0
    let callers = 0
    let bytes = 0
    let holders = 0
    for (const { limiter, weight } of this.#options.runtimes()) {
      const { activeCalls, buffered } = limiter
      calls += activeCalls
      if (activeCalls > 0) callers += weight
      bytes += buffered
      if (buffered > 0) holders += weight
    }
    this.#evenCalls = callers === 0 ? 0 : calls / callers
    this.#evenBuffered = holders === 0 ? 0 : bytes / holders
  }

  #countShed(tenant: string, reason: ShedReason): void {
    const counts = this.#shed.get(tenant) ?? new Map<ShedReason, number>()
    counts.set(reason, (counts.get(reason) ?? 0) + 1)
    this.#shed.set(tenant, counts)
  }
}

/** Made with the first call that comes while the worker is busy. */
function shareOf(runtime: TenantRuntime): TenantShare {
  runtime.share ??= new TenantShare(runtime.tenant.id, runtime.weight)
  return runtime.share
}

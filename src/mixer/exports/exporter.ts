/**
 * Brings closed windows of the ledger to the sinks, for as long as the mixer runs. Of several mixers on one ledger the one
 * that holds the lease does it; another follows when it is gone.
 */
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import { type Database, messageOf } from '../ledger/database.ts'
import { backlogOf } from './backlog.ts'
import type { ExportMetrics } from './export-metrics.ts'
import type { ExportSpec } from './export-spec.ts'
import type { Sink } from './item.ts'
import type { LateUsage } from './late-usage.ts'
import { Lease } from './lease.ts'
import { Planner } from './planner.ts'
import { Sender } from './sender.ts'
import type { BilledTotals } from './sinks/prometheus.ts'
import type { UsageSource } from './usage-source.ts'

/** From the end of one pass to the begin of the next. */
const PASS_INTERVAL_MS = 10_000
/** A clock that moves so far against time passed has jumped. */
const JUMP_MS = 60_000
/** After a jump nothing is closed, sent or given up for so long: the next jump may be back. */
const HOLD_AFTER_JUMP_MS = 300_000

export interface ExporterDeps {
  readonly database: Database
  readonly source: UsageSource
  readonly exports: readonly { readonly spec: ExportSpec; readonly sink: Sink }[]
  readonly late: LateUsage
  readonly billed: BilledTotals
  readonly metrics: ExportMetrics
  readonly clock: Clock
  readonly logger: Logger
  /** Another one for each process and start. */
  readonly holder: string
  /** 0 up to 1. */
  readonly random: () => number
}

export interface Exporter {
  /** Passes from now on, until `close`. */
  start(): void
  /** Closes and sends what is due, once. Never rejects. */
  pass(): Promise<void>
  /** Why an export does not go on at the moment, as far as this mixer knows. */
  problemOf(name: string): string | undefined
  /** Ends what is under way and gives the lease back. Items that were being sent are sent again by the next one. */
  close(): Promise<void>
}

interface Part {
  readonly spec: ExportSpec
  readonly planner: Planner
  readonly sender: Sender
  /** Of the last pass. */
  failure: string | undefined
}

export function createExporter(deps: ExporterDeps): Exporter {
  return new RunningExporter(deps)
}

class RunningExporter implements Exporter {
  readonly #deps: ExporterDeps
  readonly #lease: Lease
  readonly #parts: readonly Part[]
  readonly #jumps: JumpWatch
  #timer: NodeJS.Timeout | undefined
  #passing: Promise<void> | undefined
  #closed = false
  #ledgerFailure: string | undefined

  constructor(deps: ExporterDeps) {
    this.#deps = deps
    this.#lease = new Lease(deps.database, deps.clock, deps.holder)
    this.#jumps = new JumpWatch(deps.clock)
    this.#parts = deps.exports.map(({ spec, sink }) => ({
      spec,
      planner: new Planner({ ...deps, lease: this.#lease }, spec),
      sender: new Sender({ ...deps, lease: this.#lease, sink }, spec.name),
      failure: undefined,
    }))
  }

  start(): void {
    void this.pass().then(() => {
      if (this.#closed) return
      this.#timer = setTimeout(() => this.start(), PASS_INTERVAL_MS)
      this.#timer.unref()
    })
  }

  async pass(): Promise<void> {
    this.#passing ??= this.#pass().finally(() => {
      this.#passing = undefined
    })
    await this.#passing
  }

  problemOf(name: string): string | undefined {
    const part = this.#parts.find(({ spec }) => spec.name === name)
    return part?.failure ?? part?.sender.problem
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    await Promise.all(this.#parts.map(({ sender }) => sender.close()))
    await this.#passing
    try {
      await this.#lease.release()
    } catch {
      // It ends by itself.
    }
  }

  async #pass(): Promise<void> {
    const { logger, late, billed, clock } = this.#deps
    try {
      if (this.#parts.length > 0) await this.#lead()
      await late.refresh()
      await billed.refresh(clock.monotonic())
      this.#ledgerFailure = undefined
    } catch (cause) {
      const failure = messageOf(cause)
      if (failure !== this.#ledgerFailure)
        logger.error({ reason: failure }, 'exports cannot use the ledger')
      this.#ledgerFailure = failure
    }
  }

  async #lead(): Promise<void> {
    const { metrics, logger } = this.#deps
    const jumpedMs = this.#jumps.look()
    if (jumpedMs !== undefined)
      logger.error(
        { jumpedMs, holdMs: HOLD_AFTER_JUMP_MS },
        'the clock has jumped: exports wait, in case it jumps back',
      )
    const leads = !this.#jumps.holding() && !this.#closed && (await this.#lease.acquire())
    metrics.leader(leads)
    if (leads) await Promise.all(this.#parts.map(part => this.#run(part)))
    for (const { spec } of this.#parts) await this.#measure(spec.name)
  }

  async #run(part: Part): Promise<void> {
    const { name } = part.spec
    const failures: string[] = []
    // What is planned can be sent, also where nothing more can be planned.
    for (const step of [() => part.planner.plan(), () => part.sender.send()]) {
      try {
        await step()
      } catch (cause) {
        failures.push(messageOf(cause))
      }
    }
    const [failure] = failures
    if (failure !== undefined) this.#deps.metrics.failed(name)
    if (failure !== undefined && failure !== part.failure)
      this.#deps.logger.error({ export: name, reason: failure }, 'an export does not go on')
    part.failure = failure
  }

  async #measure(name: string): Promise<void> {
    const { database, metrics, clock } = this.#deps
    const backlog = await database.snapshot(session => backlogOf(session, name))
    metrics.backlog(name, backlog, clock.now())
  }
}

/** Compares the clock of the calendar with time that passes. */
class JumpWatch {
  readonly #clock: Clock
  #now: number
  #monotonic: number
  #holdUntil = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
    this.#now = clock.now()
    this.#monotonic = clock.monotonic()
  }

  /** By how much the clock has jumped since the last look, where it has. */
  look(): number | undefined {
    const now = this.#clock.now()
    const monotonic = this.#clock.monotonic()
    const jump = Math.round(now - this.#now - (monotonic - this.#monotonic))
    this.#now = now
    this.#monotonic = monotonic
    if (Math.abs(jump) < JUMP_MS) return undefined
    this.#holdUntil = monotonic + HOLD_AFTER_JUMP_MS
    return jump
  }

  holding(): boolean {
    return this.#clock.monotonic() < this.#holdUntil
  }
}

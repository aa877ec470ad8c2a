/**
 * Brings usage from the workers to the mixer: at least once by sending the identical report until it is acknowledged,
 * and exactly once because the mixer knows producer and sequence. One report is under way at a time. What cannot be
 * delivered before an exit is saved and goes first at the next start, under its own producer and sequence.
 */
import {
  MAX_RECORDS_PER_REPORT,
  type UsageRecord,
  type UsageReport,
} from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { MixerClient, MixerRefused, ReportResult } from '../../runtime/mixer-client.ts'
import type { ReportResultLabel } from './metrics.ts'
import { PendingUsage } from './pending-usage.ts'
import type { SavedReport, SavedReports } from './saved-reports.ts'
import { UsageAccounts } from './usage-accounts.ts'

const FIRST_RETRY_MS = 100
const LAST_RETRY_MS = 5_000
/** While the process waits to end, a mixer that comes back should be noticed at once. */
const CLOSING_RETRY_MS = 250
/** Records in memory; what is beyond goes to disk. About 300 bytes each. */
const MAX_PENDING_RECORDS = 1_000_000
/** A mixer that is away is logged at the first failure and then about once a minute. */
const LOG_EVERY_ATTEMPTS = 12
/** Sending these again cannot help: the message itself is what the mixer does not take. */
const REFUSED_FOR_GOOD: ReadonlySet<string> = new Set([
  'malformed_message',
  'payload_too_large',
  'unsupported_media_type',
])

export interface UsageShipperDeps {
  readonly client: Pick<MixerClient, 'report'>
  readonly saved: SavedReports
  readonly clock: Clock
  readonly logger: Logger
  /** A name that was never used before and never will be. */
  readonly newProducer: () => string
  readonly onResult: (result: ReportResultLabel) => void
  readonly onLost: (records: number) => void
}

export interface UsageShipperLimits {
  readonly firstRetryMs?: number
  readonly maxPendingRecords?: number
  readonly maxRecordsPerReport?: number
}

/** One report on its way. `file` where it is on disk; `own` when its usage was counted by this process. */
interface Shipment {
  readonly report: UsageReport
  readonly file?: SavedReport
  readonly own: boolean
  readonly since: number
}

export interface ShipperStatus {
  readonly producer: string
  readonly pendingRecords: number
  /** Reports that wait on disk. */
  readonly savedReports: number
  readonly savedBytes: number
  readonly refusedReports: number
  /** Age of the oldest usage that is not in the ledger; 0 when there is none. */
  readonly lagMs: number
}

export class UsageShipper {
  readonly accounts = new UsageAccounts()
  readonly #deps: UsageShipperDeps
  readonly #limits: Required<UsageShipperLimits>
  readonly #pending = new PendingUsage()
  readonly #files: { readonly file: SavedReport; readonly own: boolean }[] = []
  #producer: string
  #sequence = 0
  #current: Shipment | undefined
  #refusedReports = 0
  #attempts = 0
  #closing = false
  #stopped = false
  #loop: Promise<void> = Promise.resolve()
  #wake: () => void = () => {}

  constructor(deps: UsageShipperDeps, limits: UsageShipperLimits = {}) {
    this.#deps = deps
    this.#limits = {
      firstRetryMs: FIRST_RETRY_MS,
      maxPendingRecords: MAX_PENDING_RECORDS,
      maxRecordsPerReport: MAX_RECORDS_PER_REPORT,
      ...limits,
    }
    this.#producer = deps.newProducer()
  }

  /** Begins with what former runs have left. Throws when the directory cannot be used. */
  start(): void {
    this.#deps.saved.open()
    for (const file of this.#deps.saved.list()) this.#files.push({ file, own: false })
    if (this.#files.length > 0) {
      this.#deps.logger.info(
        { reports: this.#files.length },
        'shipping usage that a former run has saved',
      )
    }
    this.#loop = this.#run()
  }

  add(records: readonly UsageRecord[]): void {
    if (records.length === 0) return
    this.accounts.add('counted', records)
    const now = this.#deps.clock.now()
    const lost: UsageRecord[] = []
    for (const record of records) {
      const full = this.#pending.size >= this.#limits.maxPendingRecords
      if (full && !this.#pending.has(record) && (lost.length > 0 || !this.#spill()))
        lost.push(record)
      else this.#pending.add(record, now)
    }
    if (lost.length > 0) this.#lose(lost, 'neither memory nor disk takes it')
    this.#wake()
  }

  status(): ShipperStatus {
    const { clock } = this.#deps
    const times = [
      ...(this.#current === undefined ? [] : [this.#current.since]),
      ...(this.#pending.size === 0 ? [] : [this.#pending.since]),
      ...this.#files.map(({ file }) => file.savedAt),
    ]
    const oldest = times.reduce((least, time) => Math.min(least, time), Number.POSITIVE_INFINITY)
    return {
      producer: this.#producer,
      pendingRecords: this.#pending.size + (this.#current?.report.records.length ?? 0),
      savedReports: this.#files.length,
      savedBytes: this.#files.reduce((sum, { file }) => sum + file.bytes, 0),
      refusedReports: this.#refusedReports,
      lagMs: Number.isFinite(oldest) ? Math.max(0, clock.now() - oldest) : 0,
    }
  }

  /** Ships what there is for at most `withinMs`, then saves the rest. Nothing may be added afterwards. */
  async close(withinMs: number): Promise<void> {
    this.#closing = true
    this.#wake()
    const deadline = Promise.withResolvers<void>()
    const timer = setTimeout(deadline.resolve, withinMs)
    await Promise.race([this.#loop, deadline.promise])
    clearTimeout(timer)
    this.saveNow()
  }

  /** Saves what is not acknowledged and stops. A report that is under way is saved too: the mixer applies it once. */
  saveNow(): void {
    if (this.#stopped) return
    this.#closing = true
    this.#stopped = true
    this.#wake()
    const unsaved = this.#current
    if (unsaved !== undefined && unsaved.file === undefined) this.#save(unsaved)
    for (;;) {
      const shipment = this.#nextFromMemory()
      if (shipment === undefined) break
      this.#save(shipment)
    }
    const { savedReports } = this.status()
    if (savedReports > 0) {
      const { directory } = this.#deps.saved
      this.#deps.logger.warn(
        { reports: savedReports, directory },
        'usage is saved for the next start',
      )
    }
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#current ??= this.#next()
      if (this.#current === undefined) {
        if (this.#closing) return
        await this.#sleep()
        continue
      }
      const result = await this.#report(this.#current.report)
      // Saved meanwhile: the next start sends it again, and the mixer knows whether it has it.
      if (this.#stopped) return
      if (this.#settle(this.#current, result)) this.#attempts = 0
      else await this.#sleep(this.#retryMs())
    }
  }

  /** Whether the shipment is done with. */
  #settle(shipment: Shipment, result: ReportResult): boolean {
    if (result.ok && result.durable >= shipment.report.sequence) {
      this.#acknowledge(shipment)
      return true
    }
    try {
      if (!result.ok && result.reason === 'refused') {
        if (REFUSED_FOR_GOOD.has(result.code)) return this.#setAside(shipment, result)
        if (result.code === 'report_gap') return this.#renumber(shipment, result)
      }
    } catch (error) {
      this.#deps.logger.error(
        { err: error },
        'a usage report cannot be kept aside; it is tried again',
      )
    }
    this.#failed(result)
    return false
  }

  #acknowledge({ report, file, own }: Shipment): void {
    if (own) this.accounts.add('acknowledged', report.records)
    this.#deps.onResult('accepted')
    if (file !== undefined) this.#dropFile(() => this.#deps.saved.remove(file))
    this.#current = undefined
  }

  #setAside({ report, file, own }: Shipment, { detail, problems }: MixerRefused): true {
    const { saved, logger } = this.#deps
    const path = file === undefined ? saved.saveRefused(report) : saved.setAside(file)
    if (file !== undefined) this.#files.shift()
    if (own) this.accounts.add('refused', report.records)
    this.#refusedReports += 1
    this.#deps.onResult('refused')
    logger.error(
      { path, detail, problems: problems.slice(0, 20) },
      'the mixer refuses a usage report; it is kept aside and not billed',
    )
    // Its number was not used up; under a new producer the next report needs no number of a refused one.
    if (file === undefined) this.#beginProducer()
    this.#current = undefined
    return true
  }

  /**
   * The mixer misses reports before this one: it has lost them, or one of them was refused. It has not applied this one,
   * and it never will under this producer unless the missing ones come; so it is safe to send it as the first of a new one.
   */
  #renumber(shipment: Shipment, { expected }: MixerRefused): false {
    const { saved, logger, newProducer } = this.#deps
    const { producer, sequence, records } = shipment.report
    this.#deps.onResult('gap')
    logger.error(
      { producer, sequence, expected },
      'the mixer misses earlier usage reports; this one is sent under a new producer',
    )
    if (shipment.file === undefined) {
      this.#beginProducer()
      this.#current = { ...shipment, report: this.#number([...records]) }
    } else {
      const file = saved.renumber(shipment.file, newProducer())
      this.#files[0] = { file, own: shipment.own }
      this.#current = {
        ...shipment,
        file,
        report: { producer: file.producer, sequence: file.sequence, records },
      }
    }
    this.#attempts += 1
    return false
  }

  #failed(result: ReportResult): void {
    this.#deps.onResult('failed')
    if (this.#attempts % LOG_EVERY_ATTEMPTS === 0) {
      const detail = result.ok ? `answered that only ${result.durable} is durable` : result.detail
      const { pendingRecords, lagMs } = this.status()
      this.#deps.logger.error(
        { detail, pendingRecords, lagMs },
        'usage cannot be reported; it is kept and tried again',
      )
    }
    this.#attempts += 1
  }

  #next(): Shipment | undefined {
    while (this.#files[0] !== undefined) {
      const { file, own } = this.#files[0]
      const report = this.#read(file)
      if (report !== undefined) return { report, file, own, since: file.savedAt }
      this.#files.shift()
    }
    return this.#nextFromMemory()
  }

  #nextFromMemory(): Shipment | undefined {
    if (this.#pending.size === 0) return undefined
    const { since } = this.#pending
    const records = this.#pending.take(this.#limits.maxRecordsPerReport)
    return { report: this.#number(records), own: true, since }
  }

  #read(file: SavedReport): UsageReport | undefined {
    const { saved, logger } = this.#deps
    try {
      const report = saved.read(file)
      if (typeof report !== 'string') return report
      if (report === 'damaged') {
        this.#refusedReports += 1
        logger.error(
          { path: saved.setAside(file) },
          'a saved usage report is damaged; it is kept aside and not billed',
        )
      }
    } catch (error) {
      logger.error(
        { err: error, file },
        'a saved usage report cannot be read; the next start tries again',
      )
    }
    return undefined
  }

  /** Moves a report from memory to disk. False when the disk does not take it. */
  #spill(): boolean {
    const records = this.#pending.take(this.#limits.maxRecordsPerReport)
    const { saved, logger, clock, newProducer } = this.#deps
    try {
      const report = { producer: newProducer(), sequence: 1, records }
      this.#files.push({ file: saved.save(report, clock.now()), own: true })
      logger.error(
        { records: records.length },
        'too much usage waits in memory; some of it is moved to disk',
      )
      return true
    } catch (error) {
      for (const record of records) this.#pending.add(record, this.#pending.since)
      logger.error({ err: error }, 'too much usage waits in memory, and the disk does not take it')
      return false
    }
  }

  #save({ report, own, since }: Shipment): void {
    try {
      this.#files.push({ file: this.#deps.saved.save(report, since), own })
    } catch (error) {
      this.#deps.logger.error({ err: error }, 'usage cannot be saved')
      this.#lose(report.records, 'the disk does not take it')
    }
  }

  #lose(records: readonly UsageRecord[], why: string): void {
    this.accounts.add('lost', records)
    this.#deps.onLost(records.length)
    this.#deps.logger.error({ records: records.length, why }, 'usage is lost')
  }

  #dropFile(drop: () => void): void {
    try {
      drop()
    } catch (error) {
      // It is in the ledger; a next start would send it again, which changes nothing.
      this.#deps.logger.error({ err: error }, 'a shipped usage report cannot be deleted')
    }
    this.#files.shift()
  }

  async #report(report: UsageReport): Promise<ReportResult> {
    try {
      return await this.#deps.client.report(report)
    } catch (error) {
      return { ok: false, reason: 'unreachable', detail: String(error) }
    }
  }

  #number(records: UsageRecord[]): UsageReport {
    this.#sequence += 1
    return { producer: this.#producer, sequence: this.#sequence, records }
  }

  #beginProducer(): void {
    this.#producer = this.#deps.newProducer()
    this.#sequence = 0
  }

  #retryMs(): number {
    const most = this.#closing ? CLOSING_RETRY_MS : LAST_RETRY_MS
    return Math.min(most, this.#limits.firstRetryMs * 2 ** Math.min(this.#attempts - 1, 16))
  }

  /** Until there is something to do; at least `ms` when given, unless the shipper closes. */
  async #sleep(ms?: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = ms === undefined ? undefined : setTimeout(resolve, ms)
    this.#wake = ms === undefined ? resolve : () => this.#closing && resolve()
    await promise
    clearTimeout(timer)
    this.#wake = () => {}
  }
}

/**
 * One journal on its way into the ledger. It remembers nothing across a start: the mixer knows which batch is durable, the
 * folder holds the rest. What cannot come any more, because it is damaged, refused for good or lost with a ledger, is passed
 * over by a report without records, so that a journal has one name for ever and no batch counts under two.
 */
import { segmentOf } from '../../contracts/journal-segment.ts'
import type { JournalBooks } from '../../contracts/reconcile.ts'
import type { UsageReport } from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type {
  AnnounceResult,
  MixerFailure,
  MixerRefused,
  ReportResult,
} from '../../runtime/mixer-client.ts'
import type { ReportResultLabel } from '../primary/metrics.ts'
import { JournalAccount } from './journal-account.ts'
import { JournalAhead } from './journal-ahead.ts'
import { type Batch, JournalCursor, type ReadEnd } from './journal-cursor.ts'
import { type JournalFolder, type SegmentFile, segmentName } from './journal-folder.ts'
import { JournalSegments, type Position } from './journal-segments.ts'
import { isRefusedForGood } from './refused-for-good.ts'
import { ReportSum, type SumLimits } from './report-sum.ts'
import { IDLE, MORE, type Step } from './step.ts'
import type { TenantTotals, UsageAccounts } from './usage-accounts.ts'

/**
 * Where the mixer refuses one batch after the other, it is not about the batches: a clock is wrong, on one side or the
 * other. Then they wait instead of ending in a file each.
 */
const MAX_SET_ASIDE_IN_A_ROW = 16
/** A batch that no journal reaches: to report it is to ask what is expected instead, and can change nothing. */
const NEVER_REACHED = Number.MAX_SAFE_INTEGER

export interface JournalDeps {
  readonly folder: JournalFolder
  readonly accounts: UsageAccounts
  readonly logger: Logger
  readonly clock: Clock
  readonly limits: SumLimits
  /** Says that the journal is this proxy's, and hears what of it is durable. Never rejects. */
  readonly announce: (producer: string) => Promise<AnnounceResult>
  /** Never rejects. */
  readonly report: (report: UsageReport) => Promise<ReportResult>
  readonly onResult: (result: ReportResultLabel) => void
}

/** Batches that are passed over. */
interface Hole {
  readonly first: number
  readonly sequence: number
  readonly refused: boolean
}

interface Place {
  readonly cursor: JournalCursor
  readonly next: number | undefined
}

/** A report that is under way, or waits to be sent again. */
interface Shipment {
  readonly report: UsageReport & { readonly first: number }
  readonly batches: number
  /** Where its first batch stands. */
  readonly start: Place
  /** Whether there was nothing behind it, and when that was. */
  readonly all: boolean
  readonly readAt: number
}

const BEGINNING = { segment: 0, offset: 0 }
export class ShippedJournal {
  readonly producer: string
  /** Whether somebody may still write to it. */
  live: boolean
  readonly #account: JournalAccount
  #setAsideInARow = 0
  readonly #deps: JournalDeps
  readonly #segments: JournalSegments
  #refused: ReadonlySet<number> = new Set()
  #cursor: JournalCursor | undefined
  /** Number of the batch at the cursor, where that is known. */
  #next: number | undefined
  /** Whether the mixer knows it; it takes no report before. */
  #announced = false
  /** Undefined until the mixer has said it. */
  #durable: number | undefined
  /** Place behind what is durable. */
  #shipped: Position = BEGINNING
  /** Batches a report. Where the mixer refuses one, the batch that it is about is found by halves. */
  #most = Number.POSITIVE_INFINITY
  /** What the folder looked like when there was nothing to do. */
  #idleWith: string | undefined
  #hole: Hole | undefined
  #shipment: Shipment | undefined
  /** Since when there is something that is not in the ledger; monotonic. */
  #pendingSince: number | undefined
  #damaged: string | undefined
  /** How far was read for the books. */
  #ahead: JournalAhead | undefined

  /** `own`: it begins under our eyes, so nothing of it can be durable yet. */
  constructor(deps: JournalDeps, producer: string, own: boolean) {
    this.#deps = deps
    this.#segments = new JournalSegments(deps.folder, producer)
    this.#account = new JournalAccount(deps.accounts, producer)
    this.producer = producer
    this.live = true
    if (own) {
      this.#durable = 0
      this.#next = 1
    }
  }

  /** Last batch that was read for a report. */
  get read(): number {
    return this.#account.read
  }

  get durable(): number {
    return this.#durable ?? 0
  }

  /** Nothing of it is left in the folder. */
  get gone(): boolean {
    return !this.live && this.#segments.empty
  }

  get hasWork(): boolean {
    return !this.#segments.empty && this.#idleWith !== this.#looks
  }

  get bytesPending(): number {
    return this.#segments.bytesBehind(this.#shipped)
  }

  /** Age of the oldest usage that is not in the ledger; of what a former start has left, that of its file. */
  get lagMs(): number {
    return this.#pendingSince === undefined
      ? 0
      : Math.max(0, this.#deps.clock.monotonic() - this.#pendingSince)
  }

  /** Whether a report is held in memory, to be sent again. */
  get waiting(): boolean {
    return this.#shipment !== undefined
  }

  /** What the folder holds of it now, in the order of the numbers. */
  found(segments: readonly SegmentFile[], refused: ReadonlySet<number>): void {
    this.#segments.found(segments)
    // What was kept a moment ago need not be in this listing.
    if (refused.size > 0) this.#refused = new Set([...this.#refused, ...refused])
    const first = this.#segments.oldest
    if (first === undefined) return
    const { clock } = this.#deps
    if (this.#cursor === undefined) {
      this.#cursor = new JournalCursor(first.number)
      this.#pendingSince = clock.monotonic() - Math.max(0, clock.now() - first.modifiedAt)
    }
    if (this.bytesPending === 0) this.#pendingSince = undefined
    else this.#pendingSince ??= clock.monotonic()
  }

  /**
   * Brings one report on its way, or does what else is next. Rejects with errors of the file system; then it may be called
   * again. A report that fails is kept and sent again as it is.
   */
  async step(buffer: Buffer): Promise<Step> {
    const cursor = this.#cursor
    if (cursor === undefined) return IDLE
    if (!this.#announced) return this.#announce()
    if (this.#shipment !== undefined) return this.#ship(this.#shipment)
    const looks = this.#looks
    const start: Place = { cursor: cursor.fork(), next: this.#next }
    const readAt = this.#deps.clock.monotonic()
    const sum = new ReportSum(this.#deps.limits)
    this.#hole = undefined
    const end = await this.#readInto(sum, buffer).catch((error: unknown) => {
      this.#goBackTo(start)
      throw error
    })
    if (!sum.empty) {
      const { producer } = this
      const { first, last: sequence, batches } = sum
      const report = { producer, first, sequence, records: sum.records() }
      this.#account.journaled(first, report)
      return this.#ship({ report, batches, start, all: end.kind === 'end', readAt })
    }
    if (this.#hole !== undefined) return this.#pass(this.#hole)
    const step = await this.#settle(end)
    if (step.kind === 'idle') this.#idleWith = looks
    return step
  }

  /** Gives back the memory of a report that waits; it is read again when its turn comes. */
  letGo(): void {
    if (this.#shipment !== undefined) this.#goBackTo(this.#shipment.start)
  }

  /** Reads what stands behind `read`, for the books; goes on where it stopped, until `enough`. */
  async readAhead(buffer: Buffer, enough: () => boolean): Promise<void> {
    const cursor = this.#cursor
    if (cursor === undefined) return
    if (this.#ahead?.behind !== this.read) this.#ahead = new JournalAhead(this.read, cursor.fork())
    await this.#ahead.readOn(this.#segments, buffer, enough)
  }

  /** What was read ahead; undefined where more has been shipped since. */
  get ahead(): TenantTotals | undefined {
    return this.#ahead?.behind === this.read ? this.#ahead.totals : undefined
  }

  books(): JournalBooks {
    const place = this.#ahead?.behind === this.read ? this.#ahead.cursor : this.#cursor
    return {
      producer: this.producer,
      state: this.live ? 'live' : this.gone ? 'done' : 'dead',
      first: this.#account.first,
      read: this.read,
      durable: this.durable,
      acknowledged: this.#account.acknowledged,
      setAside: this.#account.setAside,
      bytesPending: this.bytesPending,
      bytesUnread: this.#segments.bytesBehind(place ?? BEGINNING),
      lagSeconds: this.lagMs / 1_000,
    }
  }

  get #looks(): string {
    return `${this.#segments.looks} ${this.live}`
  }

  async #readInto(sum: ReportSum, buffer: Buffer): Promise<ReadEnd> {
    const cursor = this.#cursor as JournalCursor
    return cursor.readOn(
      this.#segments,
      buffer,
      batch => this.#take(sum, batch),
      segment => this.#segments.left(segment, (this.#next ?? 1) - 1),
    )
  }

  #take(sum: ReportSum, batch: Batch): boolean {
    const { sequence } = batch
    if (this.#next !== undefined && sequence < this.#next) {
      const { producer } = this
      this.#deps.logger.error({ producer, sequence }, 'a journal repeats a batch; it is left out')
      return true
    }
    if (this.#durable !== undefined && sequence <= this.#durable) {
      this.#advance(batch)
      this.#account.journaled(sequence, batch)
      const fate = this.#refused.has(sequence) ? 'setAside' : 'acknowledged'
      this.#account.settle(fate, sequence, batch)
      return true
    }
    if (!this.#reachable(sum, batch) || !sum.fits(batch) || sum.batches >= this.#most) return false
    this.#advance(batch)
    sum.add(batch)
    return true
  }

  /** Whether it may stand behind what the sum has; says what must be passed over before where that is so. */
  #reachable(sum: ReportSum, { sequence }: Batch): boolean {
    const before = sum.empty ? this.#durable : sum.last
    if (before !== undefined && sequence > before + 1) {
      if (sum.empty) this.#hole = { first: before + 1, sequence: sequence - 1, refused: false }
      return false
    }
    if (this.#refused.has(sequence)) {
      if (sum.empty) this.#hole = { first: sequence, sequence, refused: true }
      return false
    }
    // What is read or shipped anew is in the accounts already, and is no sum with what is not.
    const onOneSideOf = (end: number): boolean => sum.first > end || sequence <= end
    return sum.empty || (onOneSideOf(this.#account.settled) && onOneSideOf(this.read))
  }

  /** The batch is taken. */
  #advance({ sequence }: Batch): void {
    this.#next = sequence + 1
    if (this.#account.first === 0) this.#account.first = sequence
  }

  /** Makes it known to the mixer, and goes on behind what the ledger has of it. */
  async #announce(): Promise<Step> {
    const { producer } = this
    const result = await this.#deps.announce(producer)
    if (!result.ok) return this.#failed(result.detail)
    const durable = result.producers.find(each => each.producer === producer)?.durable
    if (durable === undefined) return this.#failed(`did not say what of ${producer} is durable`)
    this.#announced = true
    if (this.#durable !== undefined && durable < this.#durable)
      this.#fallBack(durable + 1, this.#durable + 1)
    this.#durable = durable
    return MORE
  }

  async #ship(shipment: Shipment): Promise<Step> {
    this.#shipment = shipment
    const { report, start, all, readAt } = shipment
    const { first, sequence } = report
    const result = await this.#deps.report(report)
    if (!result.ok) return this.#notShipped(shipment, result)
    if (result.durable < first)
      return this.#failed(`answered that only ${result.durable} is durable`)
    this.#deps.onResult('accepted')
    this.#setAsideInARow = 0
    this.#most *= 2
    this.#durable = result.durable
    if (result.durable < sequence) {
      // A former report ended within this one, and this one changed nothing.
      this.#goBackTo(start)
      return MORE
    }
    this.#shipment = undefined
    this.#account.settle('acknowledged', first, report)
    await this.#forgetShipped()
    if (!all) return MORE
    this.#pendingSince = this.bytesPending === 0 ? undefined : readAt
    return { kind: 'caught-up', sent: result.sent }
  }

  async #notShipped(shipment: Shipment, result: MixerFailure): Promise<Step> {
    if (result.reason === 'refused') {
      const now = this.#deps.clock.now()
      if (isRefusedForGood(shipment.report, result.code, now))
        return this.#refusedForGood(shipment, result)
    }
    return this.#outOfStep(shipment.report.first, result)
  }

  /** A report was not taken, and not for what is in it. */
  #outOfStep(first: number, result: MixerFailure): Step {
    if (result.reason === 'refused') {
      if (result.code === 'report_gap') return this.#gap(first, result)
      // The mixer has another ledger than a moment ago. Announced after a rest, since that may go on and on.
      if (result.code === 'producer_unknown') this.#announced = false
    }
    return this.#failed(result.detail)
  }

  /**
   * The mixer misses batches before this one: its ledger is lost, or an older one. What the folder still has of them is
   * shipped again, for none of it is in this ledger; the rest is passed over when the reading gets there.
   */
  #gap(first: number, { detail, expected }: MixerRefused): Step {
    this.#deps.onResult('gap')
    if (expected === undefined || expected >= first || expected < 1) return this.#failed(detail)
    this.#fallBack(expected, first)
    return { kind: 'failed', detail }
  }

  #fallBack(expected: number, first: number): void {
    const { producer } = this
    this.#deps.logger.error(
      { producer, expected, first },
      'the ledger misses usage that it had acknowledged; what is still here of it is shipped again',
    )
    this.#shipment = undefined
    this.#durable = expected - 1
    this.#shipped = BEGINNING
    this.#next = undefined
    const { oldest } = this.#segments
    if (oldest !== undefined) this.#cursor = new JournalCursor(oldest.number)
  }

  /** Halves the report until it is the one batch that the mixer does not take; that one is set aside. */
  async #refusedForGood(
    { report, batches, start }: Shipment,
    refused: MixerRefused,
  ): Promise<Step> {
    this.#goBackTo(start)
    if (batches > 1) {
      this.#most = Math.floor(batches / 2)
      return MORE
    }
    // An attempt before this one may have been applied, and only its answer lost. Asked by a report, so that a mixer which
    // does not know this form of reports gets none set aside.
    const { producer } = this
    const asked = await this.#deps.report({
      producer,
      first: NEVER_REACHED,
      sequence: NEVER_REACHED,
      records: [],
    })
    if (asked.ok || asked.reason !== 'refused' || asked.expected === undefined)
      return this.#failed(asked.ok ? 'answered out of turn' : asked.detail)
    if (asked.expected !== report.first) {
      this.#durable = asked.expected - 1
      return MORE
    }
    if (this.#setAsideInARow >= MAX_SET_ASIDE_IN_A_ROW) {
      this.#deps.onResult('failed')
      return { kind: 'held', detail: refused.detail }
    }
    await this.#setAside(report, refused)
    return MORE
  }

  /** From now on the mixer is told that this batch does not come, also by the next start. */
  async #setAside({ sequence, records }: UsageReport, refusal: MixerRefused): Promise<void> {
    const { folder, logger, onResult } = this.#deps
    const { producer } = this
    const { detail, problems } = refusal
    const path = await folder.keepRefused(producer, sequence, segmentOf(sequence, records))
    this.#refused = new Set([...this.#refused, sequence])
    this.#setAsideInARow += 1
    onResult('refused')
    logger.error(
      { path, producer, sequence, detail, problems: problems.slice(0, 20) },
      'the mixer refuses usage for good; it is kept aside and not billed',
    )
  }

  /** Tells the mixer that these batches do not come. */
  async #pass({ first, sequence, refused }: Hole): Promise<Step> {
    const { logger, report } = this.#deps
    const { producer } = this
    const result = await report({ producer, first, sequence, records: [] })
    if (!result.ok) return this.#outOfStep(first, result)
    if (result.durable < first)
      return this.#failed(`answered that only ${result.durable} is durable`)
    if (!refused)
      logger.error({ producer, first, sequence }, 'usage is lost: its batches are in no journal')
    this.#durable = result.durable
    return MORE
  }

  /** Nothing to ship: sees to what the reading ended at. */
  async #settle(end: ReadEnd): Promise<Step> {
    await this.#forgetShipped()
    if (end.kind === 'stopped') return MORE
    if (end.kind === 'corrupt' || end.leftover > 0) {
      if (end.closed || !this.live) return this.#cut(end)
      if (end.kind === 'corrupt') this.#tellDamage(end.why)
      return IDLE
    }
    if (!this.live) await this.#finish()
    return IDLE
  }

  /** What cannot be read is moved out of the way; its number is not known, so the next segment says what is missing. */
  async #cut(end: Exclude<ReadEnd, { kind: 'stopped' }>): Promise<Step> {
    const { logger } = this.#deps
    const { segment, offset } = this.#cursor as JournalCursor
    const why = end.kind === 'corrupt' ? 'corrupt' : 'torn'
    const path = await this.#segments.cut({ segment, offset }, why)
    if (end.kind === 'corrupt')
      logger.error(
        { path, offset, why: end.why },
        'a journal is damaged; its bad rest is kept aside',
      )
    else
      logger.warn(
        { path, offset, bytes: end.leftover },
        'a journal ends in half a batch; it is cut',
      )
    return MORE
  }

  #tellDamage(why: string): void {
    const { segment, offset } = this.#cursor as JournalCursor
    const name = segmentName(this.producer, segment)
    if (this.#damaged === name) return
    this.#damaged = name
    this.#deps.logger.error(
      { segment: name, offset, why },
      'a journal that is being written is damaged',
    )
  }

  /** Everything that was read is durable. */
  async #forgetShipped(): Promise<void> {
    const { segment, offset } = this.#cursor as JournalCursor
    this.#shipped = { segment, offset }
    await this.#segments.removeShipped(segment, this.durable)
  }

  /** The journal is written no more, and read to its end. */
  async #finish(): Promise<void> {
    if (this.#next !== undefined && this.#next - 1 > this.durable) return
    await this.#segments.removeAll()
  }

  #goBackTo({ cursor, next }: Place): void {
    this.#shipment = undefined
    this.#cursor = cursor
    this.#next = next
  }

  #failed(detail: string): Step {
    this.#deps.onResult('failed')
    return { kind: 'failed', detail }
  }
}

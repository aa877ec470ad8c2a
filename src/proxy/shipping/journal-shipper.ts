/**
 * Brings the journals of a folder into the ledger: those of the workers as they are written, and those that former starts
 * have left. It looks at the folder twice a second and reads what is new; nobody tells it, so that whoever is killed
 * takes nothing away. What waits waits on the disk: memory holds the few reports that are under way.
 */
import type { JournalBooks } from '../../contracts/reconcile.ts'
import type { UsageRecord, UsageReport } from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { AnnounceResult, MixerClient, ReportResult } from '../../runtime/mixer-client.ts'
import type { ReportResultLabel } from '../primary/metrics.ts'
import { JournalClaims } from './journal-claims.ts'
import { READ_BUFFER_BYTES } from './journal-cursor.ts'
import { JournalFolder, type Listing, type SegmentFile, segmentName } from './journal-folder.ts'
import { MixerOutage } from './mixer-outage.ts'
import { type JournalDeps, ShippedJournal } from './shipped-journal.ts'
import { SHIPPER_LIMITS, type ShipperLimits } from './shipper-limits.ts'
import { ShippingPace } from './shipping-pace.ts'
import type { Step } from './step.ts'
import { type UsageAccount, UsageAccounts } from './usage-accounts.ts'

const HELD = 'the mixer refuses one batch of a journal after the other; it is kept and tried again'
const CLOSING_POLL_MS = 50
/** Journals with a report under way. Each may hold MAX_RECORDS_PER_REPORT records. */
const MAX_AT_ONCE = 4
/** One that nobody has told of: its worker died before it could. */
const UNCLAIMED_QUIET_MS = 60_000
const READ_AHEAD_PASSES = 3
/** Journals that are done and still shown. */
const MAX_DONE = 100

export interface ShipperDeps {
  /** Path of the folder. */
  readonly folder: string
  readonly client: Pick<MixerClient, 'announce' | 'report'>
  /** Name of this proxy, as `proxyName` gives it. */
  readonly proxy: string
  readonly clock: Clock
  readonly logger: Logger
  readonly onResult: (result: ReportResultLabel) => void
  /** 0 up to, and without, 1; `Math.random` by default. */
  readonly random?: () => number
}

export interface ShipperStatus {
  /** On disk and not in the ledger. */
  readonly bytesPending: number
  /** Age of the oldest usage that is not in the ledger; 0 where there is none. */
  readonly lagMs: number
  /** Not yet all in the ledger. */
  readonly journals: number
}

/** The books of a moment; valid until the next turn of the event loop. */
export interface Books {
  /** Sorted. */
  readonly tenants: readonly string[]
  readonly of: (tenant: string) => UsageAccount
  readonly journals: readonly JournalBooks[]
}

interface Entry {
  readonly journal: ShippedJournal
  /** Begun since the start, by one of our workers. */
  readonly own: boolean
  busy: boolean
  /** When the next report may go. */
  dueAt: number
  size: number
  /** Since when nothing was written. */
  quietSince: number
  /** When what the disk or the mixer has refused may be tried again. */
  retryAt: number
  toldAt: number
}

export class JournalShipper {
  readonly accounts = new UsageAccounts()
  readonly claims = new JournalClaims()
  readonly #deps: ShipperDeps
  readonly #limits: ShipperLimits
  readonly #folder: JournalFolder
  readonly #journalDeps: JournalDeps
  readonly #pace: ShippingPace
  readonly #outage: MixerOutage
  /** In the order in which their turn comes. */
  readonly #entries = new Map<string, Entry>()
  readonly #done: JournalBooks[] = []
  readonly #buffers: Buffer[] = []
  readonly #underWay = new Set<Promise<void>>()
  /** Producers whose workers are gone, and whose journals have not been seen yet. */
  readonly #goneUnseen = new Set<string>()
  readonly #aborted = new AbortController()
  #closing = false
  #closed: Promise<void> | undefined
  /** Ends the wait of `close`. */
  #hurry: () => void = () => {}
  #stopped = false
  #loop: Promise<void> = Promise.resolve()
  #wake: () => void = () => {}
  #readingAhead: Promise<void> = Promise.resolve()
  #looking: Promise<void> = Promise.resolve()
  #folderToldAt = Number.NEGATIVE_INFINITY

  constructor(deps: ShipperDeps, limits: Partial<ShipperLimits> = {}) {
    this.#deps = deps
    this.#limits = { ...SHIPPER_LIMITS, ...limits }
    this.#folder = new JournalFolder(deps.folder)
    this.#outage = new MixerOutage(deps.random ?? Math.random, this.#limits.firstRetryMs)
    this.#pace = new ShippingPace(this.#limits.shortestMs)
    const { clock, logger, onResult } = deps
    this.#journalDeps = {
      folder: this.#folder,
      accounts: this.accounts,
      clock,
      logger,
      limits: this.#limits,
      announce: async producer => this.#announce(producer),
      report: async report => this.#report(report),
      onResult,
    }
  }

  /** Takes the folder, and what is in it. Rejects where the folder cannot be used or another proxy uses it. */
  async start(): Promise<void> {
    await this.#folder.open()
    if (this.#closed !== undefined) {
      this.#folder.close()
      return
    }
    this.#found(await this.#folder.list(() => undefined), false)
    if (this.#entries.size > 0) {
      this.#deps.logger.info(
        { journals: this.#entries.size, bytes: this.status().bytesPending },
        'shipping usage that a former start has left',
      )
    }
    this.#loop = this.#run()
  }

  /** The worker with that number says which journal is its own. */
  claim(worker: number, producer: string): void {
    this.claims.claim(worker, producer)
  }

  /** A journal of the proxy before this one is written no more. */
  foreignGone(producer: string): void {
    if (!this.claims.foreignGone(producer)) return
    this.#endOf(producer)
    this.#wake()
  }

  /** What a worker has counted since it last said so. */
  count(worker: number, producer: string, records: readonly UsageRecord[]): void {
    this.claim(worker, producer)
    this.accounts.count(producer, records)
  }

  /** The worker is gone, and its journal is written no more. */
  workerGone(worker: number): void {
    for (const producer of this.claims.of(worker)) {
      this.accounts.forget(producer)
      this.#endOf(producer)
    }
    this.claims.forget(worker)
    this.#wake()
  }

  #endOf(producer: string): void {
    const entry = this.#entries.get(producer)
    if (entry === undefined) this.#goneUnseen.add(producer)
    else entry.journal.live = false
  }

  status(): ShipperStatus {
    const journals = [...this.#entries.values()].map(({ journal }) => journal)
    return {
      bytesPending: journals.reduce((sum, { bytesPending }) => sum + bytesPending, 0),
      lagMs: journals.reduce((most, { lagMs }) => Math.max(most, lagMs), 0),
      journals: journals.length,
    }
  }

  /** The books of this moment. What is not shipped yet is read for it, for at most `withinMs`. */
  async books(withinMs: number): Promise<Books> {
    // One after the other: they share what was read.
    this.#readingAhead = this.#readingAhead.then(async () => this.#readAhead(withinMs))
    await this.#readingAhead
    const journals = [...this.#entries.values()].map(({ journal }) => journal)
    const unread = journals.flatMap(({ producer, ahead }) =>
      ahead === undefined ? [] : [{ producer, totals: ahead }],
    )
    return {
      tenants: this.accounts.tenants(unread),
      of: tenant => this.accounts.of(tenant, unread),
      journals: [...journals.map(journal => journal.books()), ...this.#done],
    }
  }

  /** Ships what there is for at most `withinMs`; the rest stays where it is. No worker may write any more. May be called again. */
  async close(withinMs: number): Promise<void> {
    if (this.#closed !== undefined) this.#hurry()
    this.#closed ??= this.#close(withinMs)
    await this.#closed
  }

  async #close(withinMs: number): Promise<void> {
    this.#closing = true
    this.#outage.hurry(this.#deps.clock.monotonic())
    this.#wake()
    const deadline = Promise.withResolvers<void>()
    this.#hurry = deadline.resolve
    const timer = setTimeout(deadline.resolve, withinMs)
    await Promise.race([this.#loop, deadline.promise])
    clearTimeout(timer)
    this.#stopped = true
    this.#aborted.abort()
    this.#wake()
    await this.#loop
    await Promise.all(this.#underWay)
    this.#folder.close()
    const { bytesPending } = this.status()
    if (bytesPending > 0)
      this.#deps.logger.warn({ bytesPending }, 'usage waits in the journal for the next start')
  }

  async #readAhead(withinMs: number): Promise<void> {
    const { clock, logger } = this.#deps
    const deadline = clock.monotonic() + withinMs
    const buffer = Buffer.allocUnsafe(READ_BUFFER_BYTES)
    await this.#look()
    for (let pass = 0; pass < READ_AHEAD_PASSES; pass += 1) {
      for (const { journal } of this.#entries.values()) {
        // In a further pass only where a report has taken what was read ahead.
        if (pass > 0 && journal.ahead !== undefined) continue
        try {
          await journal.readAhead(buffer, () => clock.monotonic() >= deadline)
        } catch (error) {
          logger.error({ err: error, producer: journal.producer }, 'a journal cannot be read')
        }
      }
    }
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      // What was written before the end is seen by a look that begins after it.
      const closing = this.#closing
      await this.#look()
      this.#startSteps()
      if (closing && this.#underWay.size === 0 && this.#nothingToDo()) return
      await this.#sleep()
    }
  }

  #nothingToDo(): boolean {
    return [...this.#entries.values()].every(({ journal }) => !journal.hasWork)
  }

  /** One after the other: what an older look has seen may be gone by now. */
  async #look(): Promise<void> {
    this.#looking = this.#looking.then(async () => this.#lookNow())
    await this.#looking
  }

  async #lookNow(): Promise<void> {
    try {
      this.#found(await this.#folder.list(name => this.#known.get(name)), true)
    } catch (error) {
      const now = this.#deps.clock.monotonic()
      if (now - this.#folderToldAt < 60_000) return
      this.#folderToldAt = now
      this.#deps.logger.error(
        { err: error },
        'the folder of the journal cannot be read; tried again',
      )
    }
  }

  /** Segments as they were found once they had a successor: there may be thousands. */
  #known: ReadonlyMap<string, SegmentFile> = new Map()
  #succeeded: ReadonlySet<string> = new Set()

  #found({ segments, refused }: Listing, own: boolean): void {
    this.#remember(segments)
    const byProducer = Map.groupBy(segments, ({ producer }) => producer)
    for (const [producer, entry] of this.#entries)
      if (!byProducer.has(producer)) this.#update(entry, [], new Set())
    for (const [producer, files] of byProducer) {
      const sorted = files.toSorted((a, b) => a.number - b.number)
      this.#update(this.#entryOf(producer, own), sorted, refused.get(producer) ?? new Set())
    }
    for (const [producer, { journal, busy }] of this.#entries)
      if (journal.gone && !busy) this.#finished(producer, journal)
  }

  /** A size counts from the second look on at which there is a successor: the first may have been a moment too early. */
  #remember(segments: readonly SegmentFile[]): void {
    const last = new Map<string, number>()
    for (const { producer, number } of segments)
      last.set(producer, Math.max(number, last.get(producer) ?? 0))
    const succeeded = segments.filter(({ producer, number }) => number < (last.get(producer) ?? 0))
    const before = this.#succeeded
    this.#known = new Map(
      succeeded
        .filter(segment => before.has(nameOf(segment)))
        .map(segment => [nameOf(segment), segment]),
    )
    this.#succeeded = new Set(succeeded.map(nameOf))
  }

  #update(entry: Entry, files: readonly SegmentFile[], refused: ReadonlySet<number>): void {
    const { journal, own } = entry
    const now = this.#deps.clock.monotonic()
    const size = files.reduce((sum, file) => sum + file.size, 0)
    if (size !== entry.size) {
      entry.size = size
      entry.quietSince = now
    }
    journal.found(files, refused)
    const quietMs = own ? UNCLAIMED_QUIET_MS : this.#limits.quietMs
    if (!this.claims.has(journal.producer) && now - entry.quietSince >= quietMs)
      journal.live = false
  }

  #entryOf(producer: string, own: boolean): Entry {
    let entry = this.#entries.get(producer)
    if (entry === undefined) {
      const gone = this.#goneUnseen.delete(producer)
      // Also one that was begun before this proxy had the folder.
      if ((own || this.claims.isOurs(producer)) && !gone) this.accounts.begin(producer)
      const now = this.#deps.clock.monotonic()
      const journal = new ShippedJournal(this.#journalDeps, producer, own)
      if (gone) journal.live = false
      entry = {
        journal,
        own,
        busy: false,
        dueAt: now,
        size: 0,
        quietSince: now,
        retryAt: now,
        toldAt: Number.NEGATIVE_INFINITY,
      }
      this.#entries.set(producer, entry)
    }
    return entry
  }

  #finished(producer: string, journal: ShippedJournal): void {
    this.#entries.delete(producer)
    this.accounts.forget(producer)
    this.#done.push(journal.books())
    if (this.#done.length > MAX_DONE) this.#done.shift()
  }

  /** Round robin: who had a turn goes to the end. While the mixer is away one report asks for it, and not each. */
  #startSteps(): void {
    const now = this.#deps.clock.monotonic()
    if (this.#stopped || now < this.#outage.retryAt) return
    const most = this.#outage.lasts ? 1 : MAX_AT_ONCE
    const due = [...this.#entries.values()].filter(entry => this.#isDue(entry, now))
    const waiting = due.filter(({ journal }) => journal.waiting)
    const order = this.#outage.lasts && waiting.length > 0 ? waiting : due
    for (const entry of order) {
      if (this.#underWay.size >= most) return
      this.#entries.delete(entry.journal.producer)
      this.#entries.set(entry.journal.producer, entry)
      const step: Promise<void> = this.#step(entry).finally(() => {
        this.#underWay.delete(step)
        this.#startSteps()
        if (this.#closing) this.#wake()
      })
      this.#underWay.add(step)
    }
  }

  #isDue({ busy, journal, dueAt, retryAt }: Entry, now: number): boolean {
    return !busy && journal.hasWork && now >= retryAt && (this.#closing || now >= dueAt)
  }

  async #step(entry: Entry): Promise<void> {
    const { clock } = this.#deps
    const buffer = this.#buffers.pop() ?? Buffer.allocUnsafe(READ_BUFFER_BYTES)
    entry.busy = true
    try {
      this.#stepped(entry, await entry.journal.step(buffer))
    } catch (error) {
      const now = clock.monotonic()
      entry.retryAt = now + this.#limits.retryMs
      this.#tell(entry, now, { err: error }, 'a journal cannot be read; tried again')
    } finally {
      entry.busy = false
      this.#buffers.push(buffer)
    }
  }

  #stepped(entry: Entry, step: Step): void {
    const now = this.#deps.clock.monotonic()
    if (step.kind === 'failed') {
      this.#failed(step.detail, now)
      return
    }
    if (step.kind === 'idle') return
    if (step.kind === 'held') {
      entry.retryAt = now + this.#limits.retryMs
      this.#tell(entry, now, { detail: step.detail }, HELD)
    }
    this.#outage.ended()
    if (step.kind === 'caught-up') entry.dueAt = this.#pace.sent(step.sent, now)
  }

  #failed(detail: string, now: number): void {
    const waiting = [...this.#entries.values()].filter(({ journal }) => journal.waiting)
    for (const { journal } of waiting.slice(MAX_AT_ONCE)) journal.letGo()
    if (this.#stopped || !this.#outage.failed(now, this.#closing)) return
    const { bytesPending, lagMs } = this.status()
    this.#deps.logger.error(
      { detail, bytesPending, lagMs },
      'usage cannot be reported; it is kept and tried again',
    )
  }

  /** Once a minute for each journal. */
  #tell(entry: Entry, now: number, fields: Record<string, unknown>, message: string): void {
    if (now - entry.toldAt < 60_000) return
    entry.toldAt = now
    this.#deps.logger.error({ ...fields, producer: entry.journal.producer }, message)
  }

  async #announce(producer: string): Promise<AnnounceResult> {
    const { client, proxy } = this.#deps
    try {
      return await client.announce({ proxy, producers: [producer] }, this.#aborted.signal)
    } catch (error) {
      return { ok: false, reason: 'unreachable', detail: String(error) }
    }
  }

  async #report(report: UsageReport): Promise<ReportResult> {
    try {
      return await this.#deps.client.report(report, this.#aborted.signal)
    } catch (error) {
      return { ok: false, reason: 'unreachable', detail: String(error) }
    }
  }

  /** Until the folder is looked at again. */
  async #sleep(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const now = this.#deps.clock.monotonic()
    const untilRetry = this.#outage.retryAt - now
    const { pollMs } = this.#limits
    const most = this.#closing ? Math.min(pollMs, CLOSING_POLL_MS) : pollMs
    const timer = setTimeout(resolve, untilRetry > 0 ? Math.min(most, untilRetry) : most)
    this.#wake = resolve
    await promise
    clearTimeout(timer)
    this.#wake = () => {}
  }
}

function nameOf({ producer, number }: SegmentFile): string {
  return segmentName(producer, number)
}

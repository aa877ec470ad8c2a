/**
 * The journal of a worker: what was counted goes there before the bytes that it stands for leave (`proxy/wire`), in one
 * write a turn. A disk that fails stops no traffic: usage then stays in the rows of the meter, and is tried again.
 */
import { BatchWriter } from '../../contracts/journal-segment.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import { nodeErrorCode } from '../../runtime/node-errors.ts'
import type { JournalFigures } from '../ipc.ts'
import type { UnwrittenUsage } from '../metering/unwritten-usage.ts'
import type { WriteAhead } from '../wire/turn-writes.ts'
import { DiskSync } from './disk-sync.ts'
import { type JournalDisk, systemDisk } from './journal-disk.ts'
import { SegmentWriter } from './segment-writer.ts'

/** A disk that has failed is asked again after this long, and not by each turn. */
const RETRY_MS = 250
/** Much less than a journal must be quiet before the next start of the proxy takes it for finished (5 s). */
const MAX_PAUSE_MS = 2_000

export interface JournalOptions {
  readonly folder: string
  /** Names the journal for ever. */
  readonly producer: string
  readonly segmentBytes: number
  /** How often what was written is synced, in ms; 0 for never. */
  readonly fsync: number | 'always'
  /** Whether calls are refused while the journal fails. */
  readonly refuse: boolean
  readonly clock: Clock
  readonly logger: Logger
  readonly disk?: JournalDisk | undefined
  /**
   * Asked before the first write after a pause: the process may have been stopped meanwhile, its primary killed, and the
   * journal read to its end and removed by the next one. Ends the process where that may be so.
   */
  readonly endIfOrphaned?: (() => void) | undefined
}

interface Failure {
  /** Time of day, and monotonic. */
  readonly since: number
  readonly begun: number
}

export class UsageJournal implements WriteAhead {
  /** Of the last batch that was written. */
  sequence = 0
  readonly #options: JournalOptions
  readonly #usage: UnwrittenUsage
  readonly #batch = new BatchWriter()
  readonly #sync: DiskSync
  readonly #segments: SegmentWriter
  #failure: Failure | undefined
  #retry: NodeJS.Timeout | undefined
  #closed = false
  /** Since they were last told. */
  #bytes = 0
  #errors = 0
  #lost = 0
  #postponed = 0
  /** Monotonic. */
  #lastWrite: number

  constructor(options: JournalOptions, usage: UnwrittenUsage) {
    this.#options = options
    this.#usage = usage
    this.#lastWrite = options.clock.monotonic()
    const { folder, producer, segmentBytes, fsync, disk = systemDisk } = options
    const onTrouble = (error: unknown): void => this.#trouble(error)
    this.#sync = new DiskSync({ disk, every: fsync, onError: onTrouble })
    this.#segments = new SegmentWriter({
      folder,
      producer,
      maxBytes: segmentBytes,
      disk,
      sync: this.#sync,
      onTrouble,
    })
  }

  /** Whether new calls are to be refused at the moment. */
  get refusing(): boolean {
    return this.#failure !== undefined && this.#options.refuse
  }

  /** Writes all that was counted; where that fails, it is tried again later and by itself. */
  commit(): void {
    // While it fails, the timer asks the disk, and nobody else.
    if (this.#usage.empty || this.#retry !== undefined || this.#closed) return
    this.#writeAll()
  }

  /** As `commit`, and asks also a disk that has failed a moment ago. */
  retryNow(): void {
    this.#stopRetrying()
    if (!this.#usage.empty || this.#failure !== undefined) this.#writeAll()
  }

  /** Once a second: sees whether the journal is still there. */
  check(): void {
    if (this.#retry !== undefined || this.#closed || this.#segments.check()) return
    const { logger, folder } = this.#options
    logger.error({ folder }, 'somebody has removed the journal; it is written anew')
    this.#errors += 1
    const problem = this.#segments.prepare()
    if (problem !== undefined) this.#failed(problem)
  }

  /** Figures of the time since the last call. */
  takeFigures(): JournalFigures {
    const figures: JournalFigures = {
      producer: this.#options.producer,
      sequence: this.sequence,
      bytes: this.#bytes,
      errors: this.#errors,
      lost: this.#lost,
      postponed: this.#usage.postponed - this.#postponed,
      unwritten: this.#usage.size,
      failingSince: this.#failure?.since ?? null,
    }
    this.#bytes = 0
    this.#errors = 0
    this.#lost = 0
    this.#postponed = this.#usage.postponed
    return figures
  }

  /** Writes what there is for the last time, and syncs it. What cannot be written now is lost. */
  close(): void {
    if (this.#closed) return
    this.retryNow()
    this.#stopRetrying()
    this.#closed = true
    this.#lost += this.#usage.size
    if (this.#lost > 0) {
      const { logger, folder } = this.#options
      logger.error({ records: this.#lost, folder }, 'usage is lost: the journal cannot be written')
    }
    this.#sync.close()
    this.#segments.close()
  }

  get producer(): string {
    return this.#options.producer
  }

  /** Every file that it has made. */
  get paths(): readonly string[] {
    return Array.from({ length: this.#segments.count }, (_, index) =>
      this.#segments.pathOf(index + 1),
    )
  }

  #writeAll(): void {
    const now = this.#options.clock.monotonic()
    if (now - this.#lastWrite > MAX_PAUSE_MS) this.#options.endIfOrphaned?.()
    this.#lastWrite = now
    do {
      const problem = this.#segments.prepare() ?? this.#writeBatch() ?? this.#segments.unsynced
      if (problem !== undefined) {
        this.#failed(problem)
        return
      }
    } while (!this.#usage.empty)
    if (this.#failure !== undefined) this.#recovered(this.#failure)
  }

  /** One batch; returns what stood against it. */
  #writeBatch(): unknown {
    const batch = this.#batch
    try {
      this.#usage.encode(batch, this.#segments.epoch)
    } catch (error) {
      // A number that the form has no place for. Whoever commits is in the middle of traffic, which must go on.
      batch.finish(0)
      this.#segments.forgetKeys()
      return error
    }
    if (!batch.empty) {
      const bytes = batch.finish(this.sequence + 1)
      const problem = this.#segments.append(bytes)
      if (problem !== undefined) return problem
      this.sequence += 1
      this.#bytes += bytes.length
    }
    this.#usage.written()
    return undefined
  }

  #failed(error: unknown): void {
    const { clock, logger, refuse } = this.#options
    this.#errors += 1
    if (this.#failure === undefined) {
      this.#failure = { since: clock.now(), begun: clock.monotonic() }
      logger.error(
        { err: error, path: this.#segments.path, code: nodeErrorCode(error), refuse },
        'the journal cannot be written; usage is kept in memory',
      )
    }
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      this.#writeAll()
    }, RETRY_MS)
  }

  #recovered({ begun }: Failure): void {
    this.#failure = undefined
    const failedMs = Math.round(this.#options.clock.monotonic() - begun)
    this.#options.logger.info({ failedMs, sequence: this.sequence }, 'the journal is written again')
  }

  #stopRetrying(): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
  }

  /** A sync or a close that failed: what was written is there for now, and a power cut could take it. */
  #trouble(error: unknown): void {
    this.#errors += 1
    this.#options.logger.error(
      { err: error, path: this.#segments.path },
      'the journal may not be on the disk',
    )
  }
}

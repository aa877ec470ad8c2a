/**
 * Gives pending items to the sink and writes down what became of them. Before items are given they are claimed, which is
 * written down as well: after a crash in between they are sent again, the same ids with the same values.
 */
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Database, SqlSession } from '../ledger/database.ts'
import type { ExportMetrics } from './export-metrics.ts'
import { ITEM_COLUMNS, type ItemRecord, itemOf, type Postponed, type Sink } from './item.ts'
import type { Lease } from './lease.ts'
import { placeholders, settle, type Verdict } from './settlement.ts'

/** How long a claim keeps an item from being claimed again; longer than any delivery takes. */
const CLAIM_MS = 300_000
/** Nothing waits longer for its next attempt, so what seems to was put off by a clock that ran ahead. */
const FARTHEST_MS = 7_200_000
const LONGEST_WAIT_MS = 3_600_000
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 300_000
const LONGEST_ITEM_PAUSE_MS = 600_000
/** Items that are too old, or whose fate is unknown for too long, are put aside so much before the sink's own limit. */
const MARGIN_MS = 3_600_000
/** Batches sent in one go; then others have their turn. */
const BATCHES_AT_ONCE = 200
const ROWS_AT_ONCE = 100

export interface SenderDeps {
  readonly database: Database
  readonly sink: Sink
  readonly lease: Lease
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: ExportMetrics
  /** 0 up to 1, to spread attempts. */
  readonly random: () => number
}

export class Sender {
  readonly #deps: SenderDeps
  readonly #name: string
  /** Failures of the sink as a whole, one after the other. */
  #failures = 0
  /** Monotonic; until then the sink is left alone. */
  #pausedUntil = Number.NEGATIVE_INFINITY
  #closing = false
  #problem: string | undefined

  constructor(deps: SenderDeps, name: string) {
    this.#deps = deps
    this.#name = name
  }

  /** Why the sink takes nothing at the moment, if that is so. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** Sends what is due, until nothing is, the sink fails or the lease is another's. Rejects where the database fails. */
  async send(): Promise<void> {
    for (let batch = 0; batch < BATCHES_AT_ONCE && !this.#closing; batch += 1) {
      if (this.#deps.clock.monotonic() < this.#pausedUntil) return
      const claimed = await this.#claim()
      if (claimed === undefined) return
      if (claimed.length > 0) await this.#deliver(claimed)
    }
  }

  /** No more batches; what the sink does is ended. */
  async close(): Promise<void> {
    this.#closing = true
    await this.#deps.sink.close()
  }

  async #deliver(claimed: readonly ItemRecord[]): Promise<void> {
    const { sink, database } = this.#deps
    const verdicts = await sink.deliver(claimed)
    const now = this.#now()
    const settled = claimed.map((item, index) => {
      const verdict = verdicts[index] ?? NO_ANSWER
      return { item, verdict, nextAt: now + this.#pauseOf(item, verdict) }
    })
    this.#notePause(verdicts.find(isSinkFault))
    const acknowledged = await database.transaction(session =>
      settle(session, this.#name, settled, now),
    )
    this.#report(
      settled.map(({ verdict }) => verdict),
      acknowledged,
    )
  }

  /** Undefined where nothing is due; empty where all that was due had to be put aside. */
  async #claim(): Promise<readonly ItemRecord[] | undefined> {
    const now = this.#now()
    const { database, lease } = this.#deps
    const claim = await database.transaction(async session => {
      if (!(await lease.holds(session))) return undefined
      const due = await this.#due(session, now)
      if (due.length === 0) return undefined
      const aside = due.flatMap(item => {
        const verdict = this.#hopeless(item, now)
        return verdict === undefined ? [] : [{ item, verdict, nextAt: now }]
      })
      await settle(session, this.#name, aside, now)
      const hopeless = new Set(aside.map(({ item }) => item))
      const claimed = due.filter(item => !hopeless.has(item))
      await this.#writeClaims(session, claimed, now)
      return { claimed, aside: aside.map(({ verdict }) => verdict) }
    })
    if (claim === undefined) return undefined
    this.#report(claim.aside, 0)
    return claim.claimed
  }

  async #due(session: SqlSession, now: number): Promise<readonly ItemRecord[]> {
    const { batch } = this.#deps.sink
    const rows = await session.all(
      `SELECT ${ITEM_COLUMNS} FROM export_item
       WHERE export = $1 AND state = 'pending' AND (next_at <= $2 OR next_at > $3)
       ORDER BY next_at, window_start, tenant, metric, operation, revision
       LIMIT ${batch === 'round' ? 1 : batch}`,
      [this.#name, now, now + FARTHEST_MS],
    )
    const due = rows.map(itemOf)
    const [first] = due
    if (batch !== 'round' || first === undefined) return due
    // All of it, acknowledged or not: what is written a second time must be the same.
    const round = await session.all(
      `SELECT ${ITEM_COLUMNS} FROM export_item
       WHERE export = $1 AND window_start = $2 AND round = $3
       ORDER BY tenant, metric, operation, revision`,
      [this.#name, first.window, first.round],
    )
    return round.map(itemOf)
  }

  /** What becomes of an item that must not be sent any more. */
  #hopeless(item: ItemRecord, now: number): Verdict | undefined {
    const { maxAgeMs, deduplicationMs } = this.#deps.sink
    const { unknownAt, window } = item
    const forgotten =
      deduplicationMs !== undefined &&
      unknownAt !== undefined &&
      now - unknownAt > deduplicationMs - MARGIN_MS
    if (forgotten)
      return {
        kind: 'uncertain',
        reason: `the sink may have it since ${new Date(unknownAt).toISOString()} and would not know it again; look it up there`,
      }
    const tooOld = maxAgeMs !== undefined && now - window > maxAgeMs - MARGIN_MS
    return tooOld
      ? { kind: 'expired', reason: 'the sink takes no usage that is so old' }
      : undefined
  }

  /** From here on the sink may have them. */
  async #writeClaims(
    session: SqlSession,
    items: readonly ItemRecord[],
    now: number,
  ): Promise<void> {
    for (let at = 0; at < items.length; at += ROWS_AT_ONCE) {
      const ids = items.slice(at, at + ROWS_AT_ONCE).map(({ id }) => id)
      await session.run(
        `UPDATE export_item
         SET attempts = attempts + 1, next_at = $2, unknown_at = COALESCE(unknown_at, $3)
         WHERE export = $1 AND state = 'pending' AND id IN (${placeholders(ids.length, 4)})`,
        [this.#name, now + CLAIM_MS, now, ...ids],
      )
    }
  }

  /** How long an item waits that is to be sent again. One that waits for its sink is due when the sink is. */
  #pauseOf({ attempts }: ItemRecord, verdict: Verdict): number {
    if (verdict.kind !== 'later' || verdict.fault === 'sink') return 0
    const pause = this.#spread(Math.min(FIRST_PAUSE_MS * 2 ** attempts, LONGEST_ITEM_PAUSE_MS))
    return Math.min(Math.max(pause, verdict.afterMs ?? 0), LONGEST_WAIT_MS)
  }

  #notePause(failure: Postponed | undefined): void {
    const { logger, clock } = this.#deps
    if (failure === undefined) {
      if (this.#failures > 0)
        logger.info({ export: this.#name }, 'the sink of an export takes items again')
      this.#failures = 0
      this.#problem = undefined
      return
    }
    const pause = this.#spread(Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS))
    const waitMs = Math.min(Math.max(pause, failure.afterMs ?? 0), LONGEST_WAIT_MS)
    this.#failures += 1
    this.#pausedUntil = clock.monotonic() + waitMs
    this.#problem = failure.reason
    logger.warn(
      { export: this.#name, reason: failure.reason, failures: this.#failures, waitMs },
      'the sink of an export takes nothing; it will be tried again',
    )
  }

  /** A tenth more or less. */
  #spread(ms: number): number {
    return Math.floor(ms * (0.9 + this.#deps.random() * 0.2))
  }

  #report(verdicts: readonly Verdict[], acknowledged: number): void {
    const { metrics, logger } = this.#deps
    metrics.settled(this.#name, 'acknowledged', acknowledged)
    for (const kind of ['refused', 'expired', 'uncertain'] as const) {
      const these = verdicts.filter(verdict => verdict.kind === kind)
      const [first] = these
      if (first === undefined || first.kind === 'acknowledged') continue
      metrics.settled(this.#name, kind, these.length)
      logger.error(
        { export: this.#name, state: kind, items: these.length, reason: first.reason },
        'usage was not exported and waits for a decision: see `amt exports`',
      )
    }
    const later = verdicts.filter(verdict => verdict.kind === 'later')
    metrics.settled(this.#name, 'later', later.length)
    const waiting = later.find(verdict => verdict.fault === 'item')
    if (waiting !== undefined)
      logger.warn(
        { export: this.#name, items: later.length, reason: waiting.reason },
        'usage waits to be exported',
      )
  }

  #now(): number {
    return Math.floor(this.#deps.clock.now())
  }
}

/** A sink that answers for fewer items than it was given; a mistake of ours that must not become a bill. */
const NO_ANSWER: Verdict = {
  kind: 'later',
  reason: 'no outcome was given',
  sent: 'perhaps',
  fault: 'item',
}

function isSinkFault(verdict: Verdict): verdict is Postponed {
  return verdict.kind === 'later' && verdict.fault === 'sink'
}

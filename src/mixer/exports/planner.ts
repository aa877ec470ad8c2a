/**
 * Closes windows: writes down what is to be sent, before anything of it is sent. Of a window that was closed before, only
 * what came in addition is written, as the next revision. Everything of a window is one transaction, so a crash leaves it
 * planned or not, and two mixers that plan the same window plan it once.
 */
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Database, SqlSession, SqlValue } from '../ledger/database.ts'
import type { ExportMetrics } from './export-metrics.ts'
import { type ExportSpec, floorTo } from './export-spec.ts'
import { itemId } from './item-id.ts'
import { askSecondLook, dueRechecks, settleRecheck } from './late-usage.ts'
import type { Lease } from './lease.ts'
import { forgetOld, openProgress, type Progress } from './progress.ts'
import type { MetricSum, UsageSource } from './usage-source.ts'

/** Windows closed in one go; a mixer that was away for a month of minutes closes them in several. */
const WINDOWS_AT_ONCE = 500
/** When a window is looked at once more after it was closed. */
const SECOND_LOOK_MS = 600_000
/** A window that is closed so long after it could have been needs no second look: all that comes for it now is marked. */
const LONG_CLOSED_MS = 3_600_000
const ROWS_AT_ONCE = 50
/** What a column holds; a sum beyond it cannot be exported. */
const MAX_SUM = 2n ** 63n - 1n

export interface PlannerDeps {
  readonly database: Database
  readonly source: UsageSource
  readonly lease: Lease
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: ExportMetrics
}

interface Look {
  readonly window: number
  /** When it began, before anything was read. */
  readonly lookedAt: number
  /** Whether the window is being closed; else it was before. */
  readonly closing: boolean
}

export class Planner {
  readonly #deps: PlannerDeps
  readonly #spec: ExportSpec

  constructor(deps: PlannerDeps, spec: ExportSpec) {
    this.#deps = deps
    this.#spec = spec
  }

  /**
   * Closes every window whose time has come, and looks again at those that late usage was noticed for. Rejects with
   * ExportRefused where the export must not go on, and with what database or ledger say where they fail.
   */
  async plan(): Promise<void> {
    const { database } = this.#deps
    const progress = await openProgress(database, this.#spec, this.#now())
    await this.#closeWindows(progress)
    for (const window of await dueRechecks(database, this.#spec.name, this.#now()))
      await this.#lookAgain(window, progress)
    await forgetOld(database, this.#spec, progress, this.#now())
  }

  async #closeWindows(progress: Progress): Promise<void> {
    const { windowMs, delayMs } = this.#spec
    const closed = floorTo(this.#now() - delayMs, windowMs)
    const until = Math.min(closed, progress.plannedUntil + WINDOWS_AT_ONCE * windowMs)
    for (let window = progress.plannedUntil; window < until; window += windowMs) {
      const look = { window, lookedAt: this.#now(), closing: true }
      if (!(await this.#planWindow(look, progress))) return
    }
  }

  async #lookAgain(window: number, progress: Progress): Promise<void> {
    const look = { window, lookedAt: this.#now(), closing: false }
    if (window >= progress.keptFrom) await this.#planWindow(look, progress)
    else await this.#giveUp(look)
  }

  /** What was exported of the window, or what is in the ledger of it, is not known any more. */
  async #giveUp(look: Look): Promise<boolean> {
    this.#deps.metrics.tooLate(this.#spec.name)
    this.#deps.logger.error(
      { export: this.#spec.name, window: isoTime(look.window) },
      'usage is too old to be exported: what there is of its window is no longer kept',
    )
    const done = await this.#deps.database.transaction(session => this.#write(session, look, []))
    return done !== undefined
  }

  /** Whether it is done; false where another mixer has taken over. */
  async #planWindow(look: Look, progress: Progress): Promise<boolean> {
    const { source, database, metrics, logger } = this.#deps
    const found = await source.sums(this.#spec, look.window)
    if (found === undefined) return this.#giveUp(look)
    const sums = found.filter(
      ({ metric }) => look.window >= (progress.since.get(metric) ?? Number.POSITIVE_INFINITY),
    )
    const planned = await database.transaction(session => this.#write(session, look, sums))
    if (planned === undefined) return false
    const { added, round, shrunk, tooLarge } = planned
    const where = { export: this.#spec.name, window: isoTime(look.window) }
    if (added > 0 && round > 1n) {
      metrics.late(this.#spec.name, added)
      logger.warn({ ...where, items: added }, 'usage came after its window was exported: corrected')
    }
    if (tooLarge > 0) logger.error({ ...where, items: tooLarge }, 'sums are too large to export')
    if (shrunk > 0)
      logger.error({ ...where, items: shrunk }, 'the ledger holds less than was exported of it')
    return true
  }

  async #write(
    session: SqlSession,
    { window, lookedAt, closing }: Look,
    sums: readonly MetricSum[],
  ): Promise<Planned | undefined> {
    const { name, windowMs, delayMs } = this.#spec
    if (!(await this.#deps.lease.holds(session))) return undefined
    const [progress] = await session.all(
      'SELECT planned_until FROM export_progress WHERE export = $1',
      [name],
    )
    const plannedUntil = Number(progress?.['planned_until'])
    if (closing && plannedUntil !== window) return undefined
    // Marked before it was closed: its closing sees everything.
    const closed = closing || window < plannedUntil
    const planned = closed ? await this.#writeItems(session, window, sums) : NOTHING
    if (closing) {
      await session.run('UPDATE export_progress SET planned_until = $2 WHERE export = $1', [
        name,
        window + windowMs,
      ])
      if (lookedAt < window + windowMs + delayMs + LONG_CLOSED_MS)
        await askSecondLook(session, { name, window, at: lookedAt + SECOND_LOOK_MS })
    } else await settleRecheck(session, { name, window, lookedAt })
    return planned
  }

  async #writeItems(
    session: SqlSession,
    window: number,
    sums: readonly MetricSum[],
  ): Promise<Planned> {
    const before = await this.#plannedBefore(session, window)
    const round = before.round + 1n
    const rows: SqlValue[][] = []
    let shrunk = 0
    let tooLarge = 0
    for (const { tenant, metric, operation, sum } of sums) {
      const { revision, total } = before.items.get(keyOf(tenant, metric, operation)) ?? FRESH
      if (sum < total) shrunk += 1
      if (sum > MAX_SUM) tooLarge += 1
      if (sum <= total || sum > MAX_SUM) continue
      const item = { tenant, metric, operation, window, revision: revision + 1n }
      const id = itemId({ ...item, source: this.#spec.source, windowMs: this.#spec.windowMs })
      rows.push([id, tenant, metric, operation, item.revision, sum - total, sum])
    }
    const common = { name: this.#spec.name, window, round, now: this.#now() }
    for (let at = 0; at < rows.length; at += ROWS_AT_ONCE)
      await insertItems(session, rows.slice(at, at + ROWS_AT_ONCE), common)
    return { added: rows.length, round, shrunk, tooLarge }
  }

  async #plannedBefore(session: SqlSession, window: number): Promise<PlannedBefore> {
    const rows = await session.all(
      `SELECT tenant, metric, operation, revision, total, round FROM export_item
       WHERE export = $1 AND window_start = $2`,
      [this.#spec.name, window],
    )
    const items = new Map<string, Last>()
    let round = 0n
    for (const row of rows) {
      const key = keyOf(String(row['tenant']), String(row['metric']), String(row['operation']))
      const revision = row['revision'] as bigint
      if (revision > (items.get(key)?.revision ?? 0n))
        items.set(key, { revision, total: row['total'] as bigint })
      if ((row['round'] as bigint) > round) round = row['round'] as bigint
    }
    return { items, round }
  }

  #now(): number {
    return Math.floor(this.#deps.clock.now())
  }
}

interface Planned {
  readonly added: number
  readonly round: bigint
  /** Sums that are less than what was exported. */
  readonly shrunk: number
  readonly tooLarge: number
}

interface Last {
  readonly revision: bigint
  readonly total: bigint
}

interface PlannedBefore {
  readonly items: ReadonlyMap<string, Last>
  readonly round: bigint
}

const NOTHING: Planned = { added: 0, round: 1n, shrunk: 0, tooLarge: 0 }
const FRESH: Last = { revision: 0n, total: 0n }
const COLUMNS_OF_ROW = 7

async function insertItems(
  session: SqlSession,
  rows: readonly (readonly SqlValue[])[],
  common: { name: string; window: number; round: bigint; now: number },
): Promise<void> {
  const values = rows.map((_, index) => {
    const own = Array.from(
      { length: COLUMNS_OF_ROW },
      (__, column) => `$${index * COLUMNS_OF_ROW + column + 5}`,
    )
    return `($1, $2, $3, $4, $4, 'pending', 0, ${own.join(', ')})`
  })
  await session.run(
    `INSERT INTO export_item (export, window_start, round, planned_at, next_at, state, attempts,
       id, tenant, metric, operation, revision, value, total) VALUES ${values.join(', ')}`,
    [common.name, common.window, common.round, common.now, ...rows.flat()],
  )
}

/** Neither of the three holds a space. */
function keyOf(tenant: string, metric: string, operation: string): string {
  return `${tenant} ${metric} ${operation}`
}

function isoTime(time: number): string {
  return new Date(time).toISOString()
}

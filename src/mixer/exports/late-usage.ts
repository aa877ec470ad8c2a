/**
 * Notices usage that comes for windows which may be exported already. Before such a report goes into the ledger, its windows
 * are marked to be looked at again; the mark comes first, so that no crash between the two loses it, and it stays until a
 * look has begun so long after it that the report was in the ledger or refused.
 */
import type { UsageReport } from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import { type Database, messageOf, type SqlSession } from '../ledger/database.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { floorTo } from './export-spec.ts'

const MINUTE_MS = 60_000
/**
 * Usage that comes later than this after its minute may meet the closing of its window. The rest cannot: windows are
 * closed a minute after their end at the earliest.
 */
const LATE_AFTER_MS = 30_000
/** No report is under way into the ledger for longer. */
export const APPLY_BOUND_MS = 120_000
/** Marks that lie further ahead than any are those of a clock that ran ahead. */
const FARTHEST_MS = 7_200_000
const ROWS_AT_ONCE = 100
const RECHECKS_AT_ONCE = 100

interface Known {
  readonly export: string
  readonly windowMs: number
  readonly plannedUntil: number
}

export class LateUsage {
  readonly #database: Database
  readonly #clock: Clock
  /** Every export that the ledger knows, configured here or not; undefined until it was asked. */
  #known: readonly Known[] | undefined

  constructor(database: Database, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  /** Reads which exports there are; to be called again now and then, as other mixers move them on. */
  async refresh(): Promise<void> {
    await this.#read()
  }

  async #read(): Promise<readonly Known[]> {
    const rows = await this.#database.snapshot(session =>
      session.all('SELECT export, window_ms, planned_until FROM export_progress'),
    )
    this.#known = rows.map(row => ({
      export: String(row['export']),
      windowMs: Number(row['window_ms']),
      plannedUntil: Number(row['planned_until']),
    }))
    return this.#known
  }

  /** A ledger that marks windows before it applies a report that is late for them. */
  watch(ledger: Pick<Ledger, 'apply'>): Pick<Ledger, 'apply'> {
    return {
      apply: async report => {
        try {
          await this.#mark(report)
        } catch (cause) {
          return { kind: 'unavailable', detail: messageOf(cause) }
        }
        return ledger.apply(report)
      },
    }
  }

  async #mark(report: UsageReport): Promise<void> {
    const now = Math.floor(this.#clock.now())
    const marks = marksOf(this.#known ?? (await this.#read()), report, now)
    if (marks.length === 0) return
    await this.#database.transaction(async session => {
      for (let at = 0; at < marks.length; at += ROWS_AT_ONCE)
        await insertMarks(session, marks.slice(at, at + ROWS_AT_ONCE), now)
    })
  }
}

interface Mark {
  readonly export: string
  readonly window: number
}

function marksOf(known: readonly Known[], report: UsageReport, now: number): Mark[] {
  const marks = new Map<string, Mark>()
  for (const window of new Set(report.records.map(record => record.window))) {
    const old = window + MINUTE_MS + LATE_AFTER_MS <= now
    for (const each of known) {
      if (!old && window >= each.plannedUntil) continue
      const start = floorTo(window, each.windowMs)
      marks.set(`${start} ${each.export}`, { export: each.export, window: start })
    }
  }
  return [...marks.values()]
}

async function insertMarks(
  session: SqlSession,
  marks: readonly Mark[],
  now: number,
): Promise<void> {
  const rows = marks.map((_, at) => `($${at * 2 + 3}, $${at * 2 + 4}, $2, $1)`)
  // It stays due when the first mark says so: a window that gets usage all the time is not put off for ever.
  await session.run(
    `INSERT INTO export_recheck (export, window_start, due_at, marked_at) VALUES ${rows.join(', ')}
     ON CONFLICT (export, window_start) DO UPDATE SET
       marked_at = excluded.marked_at,
       due_at = CASE WHEN excluded.due_at < export_recheck.due_at
         THEN excluded.due_at ELSE export_recheck.due_at END`,
    [now, now + APPLY_BOUND_MS, ...marks.flatMap(mark => [mark.export, mark.window])],
  )
}

/** Windows that are to be looked at again now. */
export async function dueRechecks(
  database: Database,
  name: string,
  now: number,
): Promise<readonly number[]> {
  const rows = await database.snapshot(session =>
    session.all(
      `SELECT window_start FROM export_recheck
       WHERE export = $1 AND (due_at <= $2 OR due_at > $3)
       ORDER BY window_start LIMIT ${RECHECKS_AT_ONCE}`,
      [name, now, now + FARTHEST_MS],
    ),
  )
  return rows.map(row => Number(row['window_start']))
}

/** The window was looked at, by a look that began at `lookedAt`: the mark goes, unless it is too young for that look. */
export async function settleRecheck(
  session: SqlSession,
  { name, window, lookedAt }: { name: string; window: number; lookedAt: number },
): Promise<void> {
  await session.run(
    `DELETE FROM export_recheck
     WHERE export = $1 AND window_start = $2 AND (marked_at <= $3 OR marked_at > $4)`,
    [name, window, lookedAt - APPLY_BOUND_MS, lookedAt + FARTHEST_MS],
  )
  await session.run(
    `UPDATE export_recheck SET due_at = marked_at + ${APPLY_BOUND_MS}
     WHERE export = $1 AND window_start = $2`,
    [name, window],
  )
}

/** Asks for a second look at a window that was just closed, for what crossed with its closing. */
export async function askSecondLook(
  session: SqlSession,
  { name, window, at }: { name: string; window: number; at: number },
): Promise<void> {
  await session.run(
    `INSERT INTO export_recheck (export, window_start, due_at, marked_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (export, window_start) DO NOTHING`,
    [name, window, at, at - APPLY_BOUND_MS],
  )
}

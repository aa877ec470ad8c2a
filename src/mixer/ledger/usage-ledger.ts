/** The ledger of usage in a database. */
import type { Announcement } from '../../contracts/producer-announcement.ts'
import type { UsageReport } from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import { announceProducers } from './announce-producers.ts'
import { applyReport } from './apply-report.ts'
import { readBooks } from './books.ts'
import { messageOf } from './database.ts'
import type {
  AnnounceResult,
  ApplyResult,
  Ledger,
  LedgerBooks,
  LedgerBooksQuery,
  LedgerQuery,
  LedgerUnavailable,
  LedgerUsage,
} from './ledger.ts'
import { readMarks } from './marks.ts'
import type { PostgresDatabase } from './postgres-database.ts'
import { postgresUsageTables } from './postgres-usage.ts'
import type { SqliteDatabase } from './sqlite-database.ts'
import { sqliteUsageTables } from './sqlite-usage.ts'
import { usagePieces } from './usage-pieces.ts'
import { groupReader, usageStatement } from './usage-sums.ts'
import type { UsageTables } from './usage-tables.ts'

/** What is fast in one database alone. */
export function usageTablesOf(database: SqliteDatabase | PostgresDatabase): UsageTables {
  return database.dialect === 'sqlite' ? sqliteUsageTables(database) : postgresUsageTables(database)
}

export function createUsageLedger(tables: UsageTables, clock: Clock): Ledger {
  return new UsageLedger(tables, clock)
}

class UsageLedger implements Ledger {
  readonly #tables: UsageTables
  readonly #clock: Clock

  constructor(tables: UsageTables, clock: Clock) {
    this.#tables = tables
    this.#clock = clock
  }

  async announce(announcement: Announcement): Promise<AnnounceResult> {
    const now = Math.floor(this.#clock.now())
    return attempt(() =>
      this.#tables.shared(session => announceProducers(session, announcement, now)),
    )
  }

  async apply(report: UsageReport): Promise<ApplyResult> {
    return attempt(() => applyReport(this.#tables, report, Math.floor(this.#clock.now())))
  }

  async usage(query: LedgerQuery): Promise<LedgerUsage> {
    return attempt(() =>
      this.#tables.database.snapshot(async session => {
        const pieces = usagePieces(stretchOf(query), await readMarks(session))
        if (pieces.kind === 'expired') return pieces
        if (pieces.pieces.length === 0) return { kind: 'usage', groups: [], more: false }
        const { sql, params } = usageStatement(query, pieces.pieces)
        const rows = await session.all(sql, params)
        const more = rows.length > query.limit
        if (more && query.paged !== true) return { kind: 'too-many' }
        return { kind: 'usage', groups: rows.slice(0, query.limit).map(groupReader(query)), more }
      }),
    )
  }

  async books(query: LedgerBooksQuery): Promise<LedgerBooks> {
    return attempt(() => this.#tables.database.snapshot(session => readBooks(session, query)))
  }

  async check(): Promise<LedgerUnavailable | undefined> {
    return attempt(async () => {
      // Of no row, but a server that only reads refuses it.
      await this.#tables.database.transaction(session =>
        session.run(`UPDATE ledger_mark SET at = at WHERE name = ''`),
      )
      return undefined
    })
  }
}

/** A page behind another begins with the window of the last group there: what is before it need not be read again. */
function stretchOf({ from, to, grain, after }: LedgerQuery): Parameters<typeof usagePieces>[0] {
  const start = Math.max(from, after?.window ?? from)
  return { from: start, to, ...(grain === undefined ? {} : { grain }) }
}

async function attempt<Result>(work: () => Promise<Result>): Promise<Result | LedgerUnavailable> {
  try {
    return await work()
  } catch (cause) {
    return { kind: 'unavailable', detail: messageOf(cause) }
  }
}

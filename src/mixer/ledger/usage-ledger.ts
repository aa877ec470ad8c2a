/** The ledger of usage in a database. What is fast in one database alone is that database's own `apply`. */
import type { UsageReport } from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import { type Database, messageOf } from './database.ts'
import type { ApplyResult, Ledger, LedgerQuery, LedgerUnavailable, LedgerUsage } from './ledger.ts'
import { createPostgresApply } from './postgres-apply.ts'
import type { PostgresDatabase } from './postgres-database.ts'
import { createSqliteApply } from './sqlite-apply.ts'
import type { SqliteDatabase } from './sqlite-database.ts'
import { groupReader, usageStatement } from './usage-sums.ts'

export function createUsageLedger(
  database: SqliteDatabase | PostgresDatabase,
  clock: Clock,
): Ledger {
  const apply =
    database.dialect === 'sqlite'
      ? createSqliteApply(database, clock)
      : createPostgresApply(database, clock)
  return new UsageLedger(database, apply)
}

class UsageLedger implements Ledger {
  readonly #database: Database
  readonly #apply: (report: UsageReport) => Promise<ApplyResult>

  constructor(database: Database, apply: (report: UsageReport) => Promise<ApplyResult>) {
    this.#database = database
    this.#apply = apply
  }

  async apply(report: UsageReport): Promise<ApplyResult> {
    return attempt(() => this.#apply(report))
  }

  async usage(query: LedgerQuery): Promise<LedgerUsage> {
    return attempt(async () => {
      const { sql, params } = usageStatement(query)
      const rows = await this.#database.snapshot(session => session.all(sql, params))
      return rows.length > query.limit
        ? { kind: 'too-many' }
        : { kind: 'usage', groups: rows.map(groupReader(query)) }
    })
  }

  async check(): Promise<LedgerUnavailable | undefined> {
    return attempt(async () => {
      // Of no row, but a server that only reads refuses it.
      await this.#database.transaction(session =>
        session.run(`UPDATE ledger_mark SET at = at WHERE name = ''`),
      )
      return undefined
    })
  }
}

async function attempt<Result>(work: () => Promise<Result>): Promise<Result | LedgerUnavailable> {
  try {
    return await work()
  } catch (cause) {
    return { kind: 'unavailable', detail: messageOf(cause) }
  }
}

/** What a database does for the tables of usage in a way of its own; sqlite-usage.ts and postgres-usage.ts are two. */
import type { UsageRecord } from '../../contracts/usage-report.ts'
import type { Database, SqlSession } from './database.ts'
import type { UsageTable } from './usage-columns.ts'

export interface UsageSession extends SqlSession {
  /**
   * Adds each record to its row, which is made where there is none. Rejects with a SqlError whose reason is `overflow`
   * where a sum does not fit.
   */
  add(table: UsageTable, records: readonly UsageRecord[]): Promise<void>
}

export interface UsageTables {
  readonly database: Database
  /** A transaction in which the mark of the roll-up stands still. Many may be under way at once. */
  shared<Result>(work: (session: UsageSession) => Promise<Result>): Promise<Result>
  /** A transaction beside which no other is under way that is shared or exclusive, in whichever process. */
  exclusive<Result>(work: (session: SqlSession) => Promise<Result>): Promise<Result>
  /** Index of a record that does not fit, after adding them together has failed with `overflow`; 0 where it is unclear. */
  findOverflow(records: readonly UsageRecord[], overflow: Error): Promise<number>
}

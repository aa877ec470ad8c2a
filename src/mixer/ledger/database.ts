/**
 * What the parts of the mixer need of a database, whichever it is. Statements are written once, in the SQL that SQLite
 * and PostgreSQL have in common: parameters are `$1`, `$2` …, upserts `ON CONFLICT (…) DO UPDATE`, times are milliseconds
 * since the epoch in BIGINT columns. What only one of them does fast has an implementation for each behind `Ledger`.
 */

/** Integers come back as bigint, whatever their size. */
export type SqlValue = string | bigint | number | Uint8Array | null
export type SqlRow = Readonly<Record<string, SqlValue>>

/** One transaction, or the reads of one moment. Rejects with what the database says; the transaction is then undone. */
export interface SqlSession {
  /** Number of rows that were changed. */
  run(sql: string, params?: readonly SqlValue[]): Promise<number>
  all(sql: string, params?: readonly SqlValue[]): Promise<readonly SqlRow[]>
}

export interface Database {
  readonly dialect: 'sqlite' | 'postgres'
  /**
   * Runs `work` in a transaction that no other can interleave with in a way that shows (BEGIN IMMEDIATE; SERIALIZABLE, or
   * row locks, tried again by itself where the database asks for that, so `work` may run more than once). Commits durably
   * when `work` is fulfilled; undoes all of it and rejects when it is rejected.
   */
  transaction<Result>(work: (session: SqlSession) => Promise<Result>): Promise<Result>
  /** Reads of one moment. */
  snapshot<Result>(work: (session: SqlSession) => Promise<Result>): Promise<Result>
  /** No call may be under way, and none may follow. */
  close(): Promise<void>
}

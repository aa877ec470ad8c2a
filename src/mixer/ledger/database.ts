/**
 * What the parts of the mixer need of a database, whichever it is. Statements are written once, in the SQL that SQLite
 * and PostgreSQL have in common: parameters are `$1`, `$2` …, upserts `ON CONFLICT (…) DO UPDATE`, times are milliseconds
 * since the epoch in BIGINT columns; text is compared by its bytes. PostgreSQL takes the type of a parameter from where it
 * stands, so one that stands alone is written `CAST($1 AS BIGINT)`; sums are `CAST(sum(…) AS BIGINT)`.
 * What only one of them does fast has an implementation for each behind `Ledger`.
 */

/** Integers go in as number or bigint, and come back as bigint, whatever their size. */
export type SqlValue = string | bigint | number | Uint8Array | null
export type SqlRow = Readonly<Record<string, SqlValue>>

/**
 * One transaction, or the reads of one moment. A statement that fails rejects with a SqlError, and then the transaction can
 * only be undone, also where the rejection is caught.
 */
export interface SqlSession {
  /** Number of rows that were changed. */
  run(sql: string, params?: readonly SqlValue[]): Promise<number>
  all(sql: string, params?: readonly SqlValue[]): Promise<readonly SqlRow[]>
}

export interface Database {
  readonly dialect: 'sqlite' | 'postgres'
  /**
   * Runs `work` in a transaction that no other can interleave with in a way that shows (BEGIN IMMEDIATE; SERIALIZABLE,
   * tried again by itself where the database asks for that, so `work` may run more than once). Commits durably when `work`
   * is fulfilled; undoes all of it and rejects when it is rejected. `work` waits for its session alone: for nothing else,
   * and never for another transaction.
   *
   * Rejects with a SqlError where the database failed. If that was while it committed, the work may be there all the same:
   * whoever tries again has to find that out from the database, as a report does from the sequence of its producer.
   */
  transaction<Result>(work: (session: SqlSession) => Promise<Result>): Promise<Result>
  /** Reads of one moment; nothing can be written. `work` may run more than once. */
  snapshot<Result>(work: (session: SqlSession) => Promise<Result>): Promise<Result>
  /** No call may be under way, and none may follow. */
  close(): Promise<void>
}

export type OpenedDatabase<Opened extends Database = Database> =
  | { readonly database: Opened }
  /** One line for a log: which database, and what is wrong with it. Never a password. */
  | { readonly refusal: string }

/** `overflow`: a number would pass 2^63 - 1. `unavailable`: everything else; the message is for logs. */
export class SqlError extends Error {
  override readonly name = 'SqlError'
  readonly reason: 'overflow' | 'unavailable'
  /** Of many rows that were given at once, which one; not every database says so. */
  readonly row: number | undefined

  constructor(
    reason: SqlError['reason'],
    message: string,
    { row, ...options }: ErrorOptions & { readonly row?: number } = {},
  ) {
    super(message, options)
    this.reason = reason
    this.row = row
  }
}

/** What an error says; one that stands for several, as after trying several addresses, has no words of its own. */
export function messageOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return messageOf(cause.errors[0])
  return cause instanceof Error ? cause.message : String(cause)
}

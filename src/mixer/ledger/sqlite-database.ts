/**
 * A database in one SQLite file. Its calls block the process for as long as they take, which is why it belongs into the
 * mixer and never into a process that carries traffic.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Database,
  messageOf,
  type OpenedDatabase,
  SqlError,
  type SqlRow,
  type SqlSession,
  type SqlValue,
} from './database.ts'
import { migrateSqlite } from './sqlite-migrate.ts'

/** SQLite's own name for a database without a file. */
const IN_MEMORY = ':memory:'
/** How long a transaction waits for another process that is writing, and how often it looks whether that is over. */
const BUSY_TIMEOUT_MS = 5_000
const BUSY_PAUSE_MS = 4
/** SQLITE_BUSY */
const SQLITE_BUSY = 5
/** SQLITE_CONSTRAINT_DATATYPE: what a STRICT column answers to a sum that no longer fits into 63 bits. */
const SQLITE_CONSTRAINT_DATATYPE = 3_091
/** Transactions that wait for the one that is under way; more are refused. */
const MAX_WAITING = 1_000
/** Statements that stay prepared. */
const MAX_PREPARED = 200

/** Opens the database at `path`; the file and its folder are made where they are missing, for this user only. */
export function openSqliteDatabase(path: string): OpenedDatabase<SqliteDatabase> {
  let connection: DatabaseSync | undefined
  try {
    if (path !== IN_MEMORY) makeFile(path)
    connection = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS })
    const refusal = migrateSqlite(connection)
    if (refusal === undefined) {
      // FULL: a commit is on the disk before it is acknowledged, because the proxy forgets what is acknowledged.
      connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
      // From here on the waiting is ours (see #begin): SQLite's own would stop the process meanwhile.
      connection.exec('PRAGMA busy_timeout = 0')
      return { database: new SqliteDatabase(connection) }
    }
    connection.close()
    return { refusal: `${path}: ${refusal}` }
  } catch (cause) {
    connection?.close()
    return { refusal: `${path}: ${messageOf(cause)}` }
  }
}

function makeFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  closeSync(openSync(path, 'a', 0o600))
}

/**
 * One connection, which has one transaction at a time: others wait in a queue, so that the statements of one that has to
 * wait in between cannot end up in another's.
 */
export class SqliteDatabase implements Database {
  readonly dialect = 'sqlite'
  readonly #connection: DatabaseSync
  readonly #prepared = new Map<string, StatementSync>()
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(connection: DatabaseSync) {
    this.#connection = connection
  }

  async transaction<Result>(work: (session: SqliteSession) => Promise<Result>): Promise<Result> {
    // IMMEDIATE takes the write lock before anything is read, so that no other process can change it meanwhile.
    return this.#enqueue(() => this.#attempt('BEGIN IMMEDIATE', work))
  }

  async snapshot<Result>(work: (session: SqlSession) => Promise<Result>): Promise<Result> {
    return this.#enqueue(async () => {
      this.#execute('PRAGMA query_only = ON')
      try {
        // The moment is that of the first read, which waits where another process opens or closes the file.
        return await this.#attempt('BEGIN; SELECT 1 FROM sqlite_schema', work)
      } finally {
        this.#execute('PRAGMA query_only = OFF')
      }
    })
  }

  async close(): Promise<void> {
    this.#connection.close()
  }

  #enqueue<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#waiting >= MAX_WAITING)
      return Promise.reject(new SqlError('unavailable', 'too many transactions are waiting'))
    this.#waiting += 1
    const result = this.#last.then(work).finally(() => {
      this.#waiting -= 1
    })
    this.#last = result.catch(() => {})
    return result
  }

  async #attempt<Result>(
    begin: string,
    work: (session: SqliteSession) => Promise<Result>,
  ): Promise<Result> {
    await this.#begin(begin)
    const session = new SqliteSession(sql => this.#prepare(sql))
    try {
      const result = await work(session)
      session.end()
      this.#execute('COMMIT')
      return result
    } finally {
      session.close()
      this.#rollBack()
    }
  }

  /** Waits for a write transaction of another process or handle; nothing behind it can meet one. */
  async #begin(sql: string): Promise<void> {
    for (let waited = 0; ; waited += BUSY_PAUSE_MS) {
      try {
        this.#connection.exec(sql)
        return
      } catch (cause) {
        this.#rollBack()
        if (errorCodeOf(cause) !== SQLITE_BUSY || waited >= BUSY_TIMEOUT_MS) throw sqlErrorOf(cause)
      }
      await sleep(BUSY_PAUSE_MS)
    }
  }

  #prepare(sql: string): StatementSync {
    const known = this.#prepared.get(sql)
    if (known !== undefined) return known
    if (this.#prepared.size >= MAX_PREPARED) this.#prepared.clear()
    const statement = this.#connection.prepare(sql)
    statement.setReadBigInts(true)
    this.#prepared.set(sql, statement)
    return statement
  }

  #execute(sql: string): void {
    try {
      this.#connection.exec(sql)
    } catch (cause) {
      throw sqlErrorOf(cause)
    }
  }

  #rollBack(): void {
    try {
      if (this.#connection.isTransaction) this.#connection.exec('ROLLBACK')
    } catch {
      // Only I/O errors end here, and after one SQLite has rolled back by itself or does so when the file is next opened.
    }
  }
}

export class SqliteSession implements SqlSession {
  readonly #prepare: (sql: string) => StatementSync
  #failure: SqlError | undefined

  constructor(prepare: (sql: string) => StatementSync) {
    this.#prepare = prepare
  }

  async run(sql: string, params: readonly SqlValue[] = []): Promise<number> {
    return this.#do(() => Number(this.#prepare(sql).run(named(params)).changes))
  }

  async all(sql: string, params: readonly SqlValue[] = []): Promise<readonly SqlRow[]> {
    return this.#do(() => this.#prepare(sql).all(named(params)))
  }

  /**
   * Runs a statement whose parameters are `?` for each of the rows. They are bound as they are, integers as floating
   * point: only for columns, which turn them into the same integers before anything is done with them.
   */
  async runEach(sql: string, rows: readonly (readonly (string | number)[])[]): Promise<void> {
    this.#do(() => {
      const statement = this.#prepare(sql)
      for (const [index, row] of rows.entries()) {
        try {
          statement.run(...row)
        } catch (cause) {
          throw sqlErrorOf(cause, index)
        }
      }
    })
  }

  /** The work is done: throws where a statement of it has failed, as PostgreSQL would not commit it then. */
  end(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** No statement may follow: it would be outside of the transaction. */
  close(): void {
    this.#failure ??= new SqlError('unavailable', 'the transaction is over')
  }

  #do<Result>(work: () => Result): Result {
    if (this.#failure !== undefined) throw this.#failure
    try {
      return work()
    } catch (cause) {
      this.#failure = sqlErrorOf(cause)
      throw this.#failure
    }
  }
}

/** node:sqlite binds numbers as floating point, with which integer arithmetic in SQL would not be exact. */
function named(params: readonly SqlValue[]): Record<string, Exclude<SqlValue, number> | number> {
  return Object.fromEntries(
    params.map((value, index) => [
      `$${index + 1}`,
      Number.isSafeInteger(value) ? BigInt(value as number) : value,
    ]),
  )
}

function sqlErrorOf(cause: unknown, row?: number): SqlError {
  if (cause instanceof SqlError) return cause
  const reason = errorCodeOf(cause) === SQLITE_CONSTRAINT_DATATYPE ? 'overflow' : 'unavailable'
  return new SqlError(reason, messageOf(cause), { cause, ...(row === undefined ? {} : { row }) })
}

function errorCodeOf(cause: unknown): unknown {
  return cause instanceof Error && 'errcode' in cause ? cause.errcode : undefined
}

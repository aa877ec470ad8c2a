/**
 * The ledger in one SQLite file. Its calls block the process for as long as they take, which is why it belongs into the
 * mixer and never into a process that carries traffic.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { UsageRecord, UsageReport } from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import type { ApplyResult, Ledger, LedgerQuery, LedgerUnavailable, LedgerUsage } from './ledger.ts'
import { migrate } from './sqlite-schema.ts'
import { groupReader, usageSql } from './sqlite-usage.ts'

/** SQLite's own name for a database without a file. */
const IN_MEMORY = ':memory:'
/** How long a call waits for another process that is writing. */
const BUSY_TIMEOUT_MS = 5_000
/** SQLITE_CONSTRAINT_DATATYPE: what a STRICT column answers to a sum that no longer fits into 63 bits. */
const SQLITE_CONSTRAINT_DATATYPE = 3_091

export type OpenResult = { readonly ledger: Ledger } | LedgerUnavailable

/** Opens the ledger at `path`; the file and its folder are made where they are missing, for this user only. */
export function openSqliteLedger(path: string, clock: Clock): OpenResult {
  let database: DatabaseSync | undefined
  try {
    if (path !== IN_MEMORY) makeFile(path)
    database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS })
    const refusal = migrate(database)
    if (refusal === undefined) {
      // FULL: a commit is on the disk before it is acknowledged, because the proxy forgets what is acknowledged.
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
      return { ledger: new SqliteLedger(database, clock) }
    }
    database.close()
    return { kind: 'unavailable', detail: `${path}: ${refusal}` }
  } catch (cause) {
    database?.close()
    return { kind: 'unavailable', detail: `${path}: ${messageOf(cause)}` }
  }
}

function makeFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  closeSync(openSync(path, 'a', 0o600))
}

class SqliteLedger implements Ledger {
  readonly #database: DatabaseSync
  readonly #clock: Clock
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #highWater: StatementSync
  readonly #advance: StatementSync
  readonly #add: StatementSync

  constructor(database: DatabaseSync, clock: Clock) {
    this.#database = database
    this.#clock = clock
    // IMMEDIATE takes the write lock before the high-water mark is read, so that no other process can move it meanwhile.
    this.#begin = database.prepare('BEGIN IMMEDIATE')
    this.#commit = database.prepare('COMMIT')
    this.#highWater = database.prepare('SELECT sequence FROM producer WHERE producer = ?')
    this.#advance = database.prepare(`
      INSERT INTO producer VALUES (:producer, :sequence, :now)
      ON CONFLICT DO UPDATE SET sequence = excluded.sequence, applied_at = excluded.applied_at`)
    // Its parameters are the fields of a record. node:sqlite binds their numbers as floating point, which the columns turn
    // into the same integers before anything is added to them.
    this.#add = database.prepare(`
      INSERT INTO usage VALUES (:window, :tenant, :listener, :routability, :operation, :code,
        :calls, :ingress, :egress, :connections, :connectionMs, :callMs)
      ON CONFLICT DO UPDATE SET
        calls = calls + excluded.calls,
        ingress = ingress + excluded.ingress,
        egress = egress + excluded.egress,
        connections = connections + excluded.connections,
        connection_ms = connection_ms + excluded.connection_ms,
        call_ms = call_ms + excluded.call_ms`)
  }

  async apply(report: UsageReport): Promise<ApplyResult> {
    return this.#attempt(() => {
      this.#begin.run()
      const { producer, sequence, first = sequence } = report
      const durable = Number(this.#highWater.get(producer)?.['sequence'] ?? 0)
      if (first <= durable) return { kind: 'repeated', durable }
      if (first > durable + 1) return { kind: 'gap', expected: durable + 1 }
      const overflow = this.#addAll(report.records)
      if (overflow !== undefined) return { kind: 'overflow', record: overflow }
      this.#advance.run({ producer, sequence, now: Math.floor(this.#clock.now()) })
      this.#commit.run()
      return { kind: 'applied', durable: sequence }
    })
  }

  async usage(query: LedgerQuery): Promise<LedgerUsage> {
    return this.#attempt(() => {
      const statement = this.#database.prepare(usageSql(query))
      statement.setReadBigInts(true)
      const { tenant, from, to, limit } = query
      const rows = statement.all({
        from: BigInt(from),
        to: BigInt(to),
        limit: BigInt(limit + 1),
        ...(tenant === undefined ? {} : { tenant }),
      })
      return rows.length > limit
        ? { kind: 'too-many' }
        : { kind: 'usage', groups: rows.map(groupReader(query)) }
    })
  }

  async check(): Promise<LedgerUnavailable | undefined> {
    return this.#attempt(() => {
      this.#begin.run()
      return undefined
    })
  }

  async close(): Promise<void> {
    this.#database.close()
  }

  /** The index of the first record that does not fit, if there is one. */
  #addAll(records: readonly UsageRecord[]): number | undefined {
    for (const [index, record] of records.entries()) {
      try {
        this.#add.run(record)
      } catch (cause) {
        if (errorCodeOf(cause) === SQLITE_CONSTRAINT_DATATYPE) return index
        throw cause
      }
    }
    return undefined
  }

  /** Runs `work`; what it did not commit is undone, whichever way it ends. */
  #attempt<Result>(work: () => Result): Result | LedgerUnavailable {
    try {
      return work()
    } catch (cause) {
      return { kind: 'unavailable', detail: messageOf(cause) }
    } finally {
      this.#rollBack()
    }
  }

  #rollBack(): void {
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
    } catch {
      // Only I/O errors end here, and after one SQLite has rolled back by itself or does so when the file is next opened.
    }
  }
}

function errorCodeOf(cause: unknown): unknown {
  return cause instanceof Error && 'errcode' in cause ? cause.errcode : undefined
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

/**
 * Many small changes in few transactions: what comes while one is under way waits for the next, and goes into it together.
 * A commit has to reach the disk, which takes as long for one change as for hundreds.
 */
import { messageOf, type SqlSession } from './database.ts'
import type { LedgerUnavailable } from './ledger.ts'
import type { PostgresDatabase } from './postgres-database.ts'
import type { SqliteDatabase } from './sqlite-database.ts'

/** Changes of one transaction. */
const MAX_TOGETHER = 400
/** Changes that may wait; more are refused. */
const MAX_WAITING = 20_000

export interface GroupCommitOptions<Change> {
  readonly database: SqliteDatabase | PostgresDatabase
  /** The order in which changes take their locks, the same in every mixer: two then never wait for each other. */
  readonly order: (a: Change, b: Change) => number
}

interface Waiting<Change, Result> {
  readonly change: Change
  readonly settle: (result: Result | LedgerUnavailable) => void
}

export class GroupCommit<Change, Result> {
  readonly #options: GroupCommitOptions<Change>
  readonly #make: (session: SqlSession, change: Change) => Promise<Result>
  #waiting: Waiting<Change, Result>[] = []
  #running = false

  /**
   * `make` makes one change; it relies on nothing that it has not locked, and may be called again where the transaction is
   * tried again. What it returns counts once the transaction is durable.
   */
  constructor(
    options: GroupCommitOptions<Change>,
    make: (session: SqlSession, change: Change) => Promise<Result>,
  ) {
    this.#options = options
    this.#make = make
  }

  /** Never rejects. */
  async add(change: Change): Promise<Result | LedgerUnavailable> {
    if (this.#waiting.length >= MAX_WAITING)
      return { kind: 'unavailable', detail: 'too many changes are waiting' }
    const { promise, resolve } = Promise.withResolvers<Result | LedgerUnavailable>()
    this.#waiting.push({ change, settle: resolve })
    if (!this.#running) void this.#run()
    return promise
  }

  async #run(): Promise<void> {
    this.#running = true
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, MAX_TOGETHER)
      group.sort((a, b) => this.#options.order(a.change, b.change))
      const results = await this.#commit(group.map(({ change }) => change))
      for (const [index, { settle }] of group.entries())
        settle(Array.isArray(results) ? (results[index] as Result) : results)
    }
    this.#running = false
  }

  async #commit(changes: readonly Change[]): Promise<Result[] | LedgerUnavailable> {
    const { database } = this.#options
    const work = async (session: SqlSession): Promise<Result[]> => {
      const results: Result[] = []
      for (const change of changes) results.push(await this.#make(session, change))
      return results
    }
    try {
      return await (database.dialect === 'postgres'
        ? database.locking(work)
        : database.transaction(work))
    } catch (cause) {
      return { kind: 'unavailable', detail: messageOf(cause) }
    }
  }
}

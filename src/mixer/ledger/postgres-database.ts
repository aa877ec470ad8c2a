/** A database in PostgreSQL: a pool of connections, each with bounds on how long anything may take. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, type ClientConfig, DatabaseError, Pool, type PoolClient } from 'pg'
import {
  type Database,
  messageOf,
  type OpenedDatabase,
  SqlError,
  type SqlRow,
  type SqlSession,
  type SqlValue,
} from './database.ts'
import { migratePostgres } from './postgres-migrate.ts'
import { typeParser } from './postgres-types.ts'

/** Connections of one mixer; PostgreSQL allows 100 in all unless told otherwise. */
const MAX_CONNECTIONS = 8
/** How long a call waits for a free connection or a new one. */
const CONNECT_TIMEOUT_MS = 5_000
/** How long the server lets a statement take, and how long we wait for its answer. */
const STATEMENT_TIMEOUT_MS = 10_000
const ANSWER_TIMEOUT_MS = 12_000
/** A mixer that hangs in a transaction must not keep its locks from the others. */
const IDLE_IN_TRANSACTION_MS = 15_000
/** How often a transaction is tried where the server says that it got into the way of another. */
const MAX_ATTEMPTS = 10
const FIRST_PAUSE_MS = 2

/** SQLSTATE of what is worth another attempt: serialization_failure, deadlock_detected. */
const TRY_AGAIN: ReadonlySet<string> = new Set(['40001', '40P01'])
/** numeric_value_out_of_range */
const OVERFLOW = '22003'

/** SERIALIZABLE where nothing is known of the statements; READ COMMITTED for those that take the locks they need. */
type Isolation =
  | 'ISOLATION LEVEL SERIALIZABLE'
  | 'ISOLATION LEVEL READ COMMITTED'
  | 'ISOLATION LEVEL REPEATABLE READ READ ONLY'

/**
 * Opens the database that `url` names (`postgres://user:password@host:port/name?sslmode=…`) and brings its tables to the
 * current version. Rejects for nothing; a server that cannot be reached is a refusal.
 */
export async function openPostgresDatabase(url: string): Promise<OpenedDatabase<PostgresDatabase>> {
  try {
    const refusal = await migrate(url)
    if (refusal !== undefined) return { refusal: `${nameOf(url)}: ${refusal}` }
    return { database: new PostgresDatabase(createPool(url)) }
  } catch (cause) {
    return { refusal: `${nameOf(url)}: ${messageOf(cause)}` }
  }
}

async function migrate(url: string): Promise<string | undefined> {
  const client = new Client(connectionOf(url))
  client.on('error', () => {})
  try {
    await client.connect()
    return await migratePostgres(client)
  } finally {
    await client.end()
  }
}

function connectionOf(url: string): ClientConfig {
  return {
    connectionString: withClearTls(url),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'amt-mixer',
    keepAlive: true,
    types: { getTypeParser: typeParser },
  }
}

/** The driver verifies the server in each of these modes, which it plans to change: what it does now is said outright. */
function withClearTls(url: string): string {
  return url.replace(/([?&]sslmode=)(prefer|require|verify-ca)(?=&|$)/, '$1verify-full')
}

function createPool(url: string): Pool {
  const pool = new Pool({
    ...connectionOf(url),
    max: MAX_CONNECTIONS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    // oxlint-disable-next-line typescript/no-misused-promises -- the pool waits for it, though its type does not say so, and does not use a connection on which it fails
    onConnect: assureDurability,
  })
  // A connection that is lost while nobody uses it is gone from the pool; whoever uses one gets the error there as well.
  pool.on('error', () => {})
  pool.on('connect', client => client.on('error', () => {}))
  return pool
}

/** A commit that is acknowledged is on the disk, whatever the database's default says: proxies forget what is acknowledged. */
async function assureDurability(client: unknown): Promise<void> {
  await (client as Client).query(
    `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`,
  )
}

/** The database without user and password. */
function nameOf(url: string): string {
  const parsed = URL.parse(url)
  return parsed === null ? 'postgres' : `postgres://${parsed.host}${parsed.pathname}`
}

export class PostgresDatabase implements Database {
  readonly dialect = 'postgres'
  readonly #pool: Pool

  constructor(pool: Pool) {
    this.#pool = pool
  }

  async transaction<Result>(work: (session: SqlSession) => Promise<Result>): Promise<Result> {
    return this.#untilDone('ISOLATION LEVEL SERIALIZABLE', work)
  }

  async snapshot<Result>(work: (session: SqlSession) => Promise<Result>): Promise<Result> {
    return this.#untilDone('ISOLATION LEVEL REPEATABLE READ READ ONLY', work)
  }

  /** A transaction whose statements themselves lock the rows that they rely on; each sees what is committed when it begins. */
  async locking<Result>(work: (session: SqlSession) => Promise<Result>): Promise<Result> {
    return this.#untilDone('ISOLATION LEVEL READ COMMITTED', work)
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  async #untilDone<Result>(
    isolation: Isolation,
    work: (session: SqlSession) => Promise<Result>,
  ): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#attempt(isolation, work)
      if ('result' in outcome) return outcome.result
      if (!outcome.again || attempt >= MAX_ATTEMPTS) throw outcome.error
      // Twice as long each time, and by chance, so that two that got into each other's way do not do so again.
      await sleep(FIRST_PAUSE_MS * 2 ** attempt * Math.random())
    }
  }

  async #attempt<Result>(
    isolation: Isolation,
    work: (session: SqlSession) => Promise<Result>,
  ): Promise<Outcome<Result>> {
    const client = await this.#connect()
    const session = new PostgresSession(client)
    try {
      await session.run(`BEGIN ${isolation}`)
      const result = await work(session)
      await session.commit()
      client.release()
      return { result }
    } catch (cause) {
      await undo(client, session.failure)
      // Whatever `work` makes of the failure of a statement, it is that which says whether to try again.
      const again = TRY_AGAIN.has(sqlStateOf(session.failure?.cause))
      return { error: again ? session.failure : cause, again }
    } finally {
      session.close()
    }
  }

  async #connect(): Promise<PoolClient> {
    try {
      return await this.#pool.connect()
    } catch (cause) {
      throw sqlErrorOf(cause)
    }
  }
}

type Outcome<Result> =
  | { readonly result: Result }
  | { readonly error: unknown; readonly again: boolean }

/**
 * Undoes what was not committed. A connection on which something else failed than a statement may be in any state: it is
 * closed, upon which the server rolls back.
 */
async function undo(client: PoolClient, failure: SqlError | undefined): Promise<void> {
  try {
    if (failure !== undefined && !(failure.cause instanceof DatabaseError)) throw failure
    await client.query('ROLLBACK')
    client.release()
  } catch {
    client.release(true)
  }
}

class PostgresSession implements SqlSession {
  readonly #client: PoolClient
  #failure: SqlError | undefined

  constructor(client: PoolClient) {
    this.#client = client
  }

  /** Of the first statement that failed. */
  get failure(): SqlError | undefined {
    return this.#failure
  }

  async run(sql: string, params: readonly SqlValue[] = []): Promise<number> {
    return (await this.#query(sql, params)).rowCount ?? 0
  }

  async all(sql: string, params: readonly SqlValue[] = []): Promise<readonly SqlRow[]> {
    return (await this.#query(sql, params)).rows as SqlRow[]
  }

  async commit(): Promise<void> {
    await this.run('COMMIT')
  }

  /** No statement may follow: it would be outside of the transaction, and perhaps inside of another. */
  close(): void {
    this.#failure ??= new SqlError('unavailable', 'the transaction is over')
  }

  async #query(
    sql: string,
    params: readonly SqlValue[],
  ): Promise<{ readonly rowCount: number | null; readonly rows: readonly unknown[] }> {
    if (this.#failure !== undefined) throw this.#failure
    try {
      return await this.#client.query(sql, [...params])
    } catch (cause) {
      this.#failure ??= sqlErrorOf(cause)
      throw this.#failure
    }
  }
}

function sqlErrorOf(cause: unknown): SqlError {
  if (cause instanceof SqlError) return cause
  const state = sqlStateOf(cause)
  const reason = state === OVERFLOW ? 'overflow' : 'unavailable'
  return new SqlError(reason, `${messageOf(cause)}${state === '' ? '' : ` (${state})`}`, { cause })
}

function sqlStateOf(cause: unknown): string {
  return cause instanceof DatabaseError ? (cause.code ?? '') : ''
}

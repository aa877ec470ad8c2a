/** How a schema of PostgreSQL becomes a ledger of this version. */
import type { Client } from 'pg'
import { MIGRATIONS } from './migrations/list.ts'
import { forPostgres } from './migrations/migration.ts'

/** "AMTL": the advisory lock under which the tables are changed, by one mixer at a time. */
const LOCK = 0x41_4d_54_4c
/** A migration may have to write a large table again. */
const STATEMENT_TIMEOUT = '1h'

/**
 * Brings the ledger to the current schema, in one transaction; safe when many mixers start at the same moment. It lives in
 * the first schema of the connection's search_path, `public` unless the operator says otherwise; the table `amt_ledger`
 * there lists the migrations that it has had.
 * Returns what is wrong where the schema is not a ledger that this version can use; it is then unchanged.
 */
export async function migratePostgres(client: Client): Promise<string | undefined> {
  await client.query('BEGIN')
  await client.query(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT}'`)
  await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
  const refusal = await refusalOf(client)
  if (refusal !== undefined) {
    await client.query('ROLLBACK')
    return refusal
  }
  await client.query(`CREATE TABLE IF NOT EXISTS amt_ledger (
    version    BIGINT      NOT NULL PRIMARY KEY,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
  )`)
  for (let version = (await versionOf(client)) + 1; version <= MIGRATIONS.length; version += 1) {
    for (const statement of MIGRATIONS[version - 1] ?? [])
      await client.query(forPostgres(statement))
    await client.query('INSERT INTO amt_ledger (version) VALUES ($1)', [version])
  }
  await client.query('COMMIT')
  return undefined
}

/** Relations of the first schema that no extension has brought there. */
const RELATIONS = `
  SELECT relname AS name FROM pg_class
  WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
    AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND NOT EXISTS (
      SELECT 1 FROM pg_depend
      WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    )`

async function refusalOf(client: Client): Promise<string | undefined> {
  const settings = await client.query<{ encoding: string; schema: string | null }>(
    `SELECT current_setting('server_encoding') AS encoding, current_schema() AS schema`,
  )
  const { encoding, schema } = settings.rows[0] ?? {}
  if (encoding !== 'UTF8') return `its encoding is ${encoding}, it must be UTF8`
  if (schema === null) return 'no schema of its search_path exists'
  const { rows } = await client.query<{ name: string }>(RELATIONS)
  if (rows.length === 0) return undefined
  if (!rows.some(({ name }) => name === 'amt_ledger'))
    return `its schema ${schema} belongs to another program; give the ledger an empty database or schema`
  if ((await versionOf(client)) > MIGRATIONS.length)
    return 'it was written by a newer version of amt'
  return undefined
}

async function versionOf(client: Client): Promise<number> {
  const { rows } = await client.query<{ version: bigint | null }>(
    'SELECT max(version) AS version FROM amt_ledger',
  )
  return Number(rows[0]?.version ?? 0)
}

/**
 * One step of the ledger's tables, as statements in the order in which they run, all in one transaction. Written in the SQL
 * of both databases (see database.ts), types are TEXT, BIGINT and BYTEA; every table has a primary key and every
 * CREATE TABLE is a statement of its own, because each database adds to it what it needs:
 * SQLite `STRICT, WITHOUT ROWID`, without which a sum beyond 2^63 - 1 would become an inexact floating point number;
 * PostgreSQL the collation "C" for TEXT, so that both have one order, and room in each page for new versions of its rows,
 * which can then be written without touching the indexes.
 */
export type Migration = readonly string[]

/** A statement of a migration as SQLite takes it. */
export function forSqlite(statement: string): string {
  const typed = statement.replaceAll(/\bBIGINT\b/g, 'INTEGER').replaceAll(/\bBYTEA\b/g, 'BLOB')
  return isTable(statement) ? `${typed} STRICT, WITHOUT ROWID` : typed
}

/** A statement of a migration as PostgreSQL takes it. */
export function forPostgres(statement: string): string {
  return isTable(statement)
    ? `${statement.replaceAll(/\bTEXT\b/g, 'TEXT COLLATE "C"')} WITH (fillfactor = 60)`
    : statement
}

function isTable(statement: string): boolean {
  return /^\s*CREATE TABLE\b/.test(statement)
}

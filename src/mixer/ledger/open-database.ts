import type { OpenedDatabase } from './database.ts'
import { openPostgresDatabase, type PostgresDatabase } from './postgres-database.ts'
import { openSqliteDatabase, type SqliteDatabase } from './sqlite-database.ts'

/** Opens the database that `ledger` of the configuration names: `sqlite:PATH`, `postgres://…` or `postgresql://…`. */
export async function openDatabase(
  ledger: string,
): Promise<OpenedDatabase<SqliteDatabase | PostgresDatabase>> {
  const [, path] = /^sqlite:(.+)$/s.exec(ledger) ?? []
  return path === undefined ? openPostgresDatabase(ledger) : openSqliteDatabase(path)
}

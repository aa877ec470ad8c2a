/** How a report gets into SQLite: prepared statements, in one transaction in one piece. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { UsageRecord, UsageReport } from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import type { ApplyResult } from './ledger.ts'
import { isSqliteOverflow, type SqliteDatabase } from './sqlite-database.ts'
import { addingTo } from './usage-columns.ts'

interface Statements {
  readonly highWater: StatementSync
  readonly advance: StatementSync
  readonly add: StatementSync
}

/** Rejects with a SqlError where the database cannot be used; nothing has changed then. */
export function createSqliteApply(
  database: SqliteDatabase,
  clock: Clock,
): (report: UsageReport) => Promise<ApplyResult> {
  let prepared: Statements | undefined
  return report =>
    database.atOnce((connection, commit) => {
      prepared ??= prepare(connection)
      const result = apply(prepared, report, Math.floor(clock.now()))
      if (result.kind === 'applied') commit()
      return result
    })
}

function prepare(connection: DatabaseSync): Statements {
  return {
    highWater: connection.prepare('SELECT sequence FROM producer WHERE producer = ?'),
    advance: connection.prepare(`
      INSERT INTO producer VALUES (:producer, :sequence, :now)
      ON CONFLICT DO UPDATE SET sequence = excluded.sequence, applied_at = excluded.applied_at`),
    // Its parameters are the fields of a record. node:sqlite binds their numbers as floating point, which the columns turn
    // into the same integers before anything is added to them.
    add: connection.prepare(`
      INSERT INTO usage VALUES (:window, :tenant, :listener, :routability, :operation, :code,
        :calls, :ingress, :egress, :connections, :connectionMs, :callMs)
      ${addingTo('usage')}`),
  }
}

function apply(statements: Statements, report: UsageReport, now: number): ApplyResult {
  const { producer, sequence, first = sequence, records } = report
  const durable = Number(statements.highWater.get(producer)?.['sequence'] ?? 0)
  if (first <= durable) return { kind: 'repeated', durable }
  if (first > durable + 1) return { kind: 'gap', expected: durable + 1 }
  const overflow = addAll(statements.add, records)
  if (overflow !== undefined) return { kind: 'overflow', record: overflow }
  statements.advance.run({ producer, sequence, now })
  return { kind: 'applied', durable: sequence }
}

/** The index of the first record that does not fit, if there is one. */
function addAll(add: StatementSync, records: readonly UsageRecord[]): number | undefined {
  for (const [index, record] of records.entries()) {
    try {
      add.run(record)
    } catch (cause) {
      if (isSqliteOverflow(cause)) return index
      throw cause
    }
  }
  return undefined
}

/** What of an export is not acknowledged, and what an operator decides about it. */
import type {
  ExportDecision,
  ExportItemAnswer,
  ExportState,
} from '../../contracts/export-status.ts'
import type { Database, SqlRow, SqlSession, SqlValue } from '../ledger/database.ts'
import { amountOf } from './amount.ts'
import type { Backlog } from './export-metrics.ts'
import { ITEM_COLUMNS, type ItemRecord, itemOf } from './item.ts'
import { acknowledge, placeholders } from './settlement.ts'

export const UNSETTLED = ['pending', 'refused', 'expired', 'uncertain'] as const
/** States that wait for somebody to decide. */
const DECIDABLE = ['refused', 'expired', 'uncertain'] as const
const DECIDED_AT_ONCE = 100

/** One entry for each state, also where there is nothing. */
export async function backlogOf(session: SqlSession, name: string): Promise<readonly Backlog[]> {
  const rows = await session.all(
    `SELECT state, count(*) AS items, min(window_start) AS oldest FROM export_item
     WHERE export = $1 AND state IN (${placeholders(UNSETTLED.length, 2)}) GROUP BY state`,
    [name, ...UNSETTLED],
  )
  const found = new Map(rows.map(row => [String(row['state']), row]))
  return UNSETTLED.map(state => {
    const row = found.get(state)
    return {
      state,
      items: Number(row?.['items'] ?? 0),
      oldest: row === undefined ? undefined : Number(row['oldest']),
    }
  })
}

export interface KnownExport {
  readonly name: string
  readonly plannedUntil: number
}

export async function knownExports(session: SqlSession): Promise<readonly KnownExport[]> {
  const rows = await session.all(
    'SELECT export, planned_until FROM export_progress ORDER BY export',
  )
  return rows.map(row => ({
    name: String(row['export']),
    plannedUntil: Number(row['planned_until']),
  }))
}

export interface ItemFilter {
  readonly export?: string
  /** Those that wait for a decision where it is left out. */
  readonly state?: ExportState
  readonly tenant?: string
  /** Start of a window. */
  readonly window?: number
  readonly limit: number
}

/** Items, oldest window first; one more than the limit where there are more. */
export async function findItems(
  session: SqlSession,
  filter: ItemFilter,
): Promise<readonly ExportItemAnswer[]> {
  const params: SqlValue[] = []
  const bind = (value: SqlValue): string => `$${params.push(value)}`
  const states = filter.state === undefined ? DECIDABLE : [filter.state]
  const conditions = [`state IN (${states.map(bind).join(', ')})`]
  // Named one by one, so that an index leads to them.
  if (filter.export === undefined) conditions.push('export IN (SELECT export FROM export_progress)')
  else conditions.push(`export = ${bind(filter.export)}`)
  if (filter.tenant !== undefined) conditions.push(`tenant = ${bind(filter.tenant)}`)
  if (filter.window !== undefined) conditions.push(`window_start = ${bind(filter.window)}`)
  const rows = await session.all(
    `SELECT export, ${ITEM_COLUMNS} FROM export_item WHERE ${conditions.join(' AND ')}
     ORDER BY window_start, export, tenant, metric, operation, revision LIMIT ${filter.limit + 1}`,
    params,
  )
  return rows.map(row => answerOf(row, itemOf(row)))
}

function answerOf(row: SqlRow, item: ItemRecord): ExportItemAnswer {
  return {
    export: String(row['export']),
    id: item.id,
    tenant: item.tenant,
    metric: item.metric,
    ...(item.operation === '' ? {} : { operation: item.operation }),
    window: new Date(item.window).toISOString(),
    revision: Number(item.revision),
    value: amountOf(item),
    state: item.state,
    attempts: item.attempts,
    ...(item.settledAt === undefined ? {} : { settledAt: new Date(item.settledAt).toISOString() }),
    ...(item.reason === undefined ? {} : { reason: item.reason }),
  }
}

/** Number of items that were changed. Only a decision that names items reaches pending ones, and only to acknowledge them. */
export async function decide(
  database: Database,
  decision: ExportDecision,
  now: number,
): Promise<number> {
  const ids = decision.ids ?? (await undecidedIds(database, decision.export))
  let changed = 0
  for (let at = 0; at < ids.length; at += DECIDED_AT_ONCE) {
    const some = ids.slice(at, at + DECIDED_AT_ONCE)
    changed += await database.transaction(session =>
      decision.as === 'pending'
        ? sendAgain(session, decision.export, some, now)
        : takeAsAcknowledged(session, decision.export, some, now),
    )
  }
  return changed
}

async function undecidedIds(database: Database, name: string): Promise<readonly string[]> {
  const rows = await database.snapshot(session =>
    session.all(
      `SELECT id FROM export_item
       WHERE export = $1 AND state IN (${placeholders(DECIDABLE.length, 2)})`,
      [name, ...DECIDABLE],
    ),
  )
  return rows.map(row => String(row['id']))
}

/** Whoever decides so has looked it up: the sink does not have them. */
async function sendAgain(
  session: SqlSession,
  name: string,
  ids: readonly string[],
  now: number,
): Promise<number> {
  return session.run(
    `UPDATE export_item SET state = 'pending', next_at = $2, attempts = 0, unknown_at = NULL,
       settled_at = NULL, reason = NULL
     WHERE export = $1 AND id IN (${placeholders(ids.length, 3)})
       AND state IN (${placeholders(DECIDABLE.length, 3 + ids.length)})`,
    [name, now, ...ids, ...DECIDABLE],
  )
}

async function takeAsAcknowledged(
  session: SqlSession,
  name: string,
  ids: readonly string[],
  now: number,
): Promise<number> {
  const rows = await session.all(
    `SELECT ${ITEM_COLUMNS} FROM export_item
     WHERE export = $1 AND id IN (${placeholders(ids.length, 2)})`,
    [name, ...ids],
  )
  return rows.length === 0 ? 0 : acknowledge(session, name, rows.map(itemOf), now)
}

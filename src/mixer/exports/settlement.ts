/** Writes down what became of items: each changes its state once, and is in the total of what was acknowledged once. */
import type { SqlSession } from '../ledger/database.ts'
import type { ItemRecord, Outcome } from './item.ts'

/** What a sink says, and what we say of an item that it may have and would not know again. */
export type Verdict = Outcome | { readonly kind: 'uncertain'; readonly reason: string }

export interface Settled {
  readonly item: ItemRecord
  readonly verdict: Verdict
  /** When it may be sent again, where it is to be. */
  readonly nextAt: number
}

const ROWS_AT_ONCE = 100
const MAX_REASON = 300

/** Number of items that are acknowledged now and were not before. */
export async function settle(
  session: SqlSession,
  name: string,
  settled: readonly Settled[],
  now: number,
): Promise<number> {
  const acknowledged: ItemRecord[] = []
  for (const each of settled) {
    if (each.verdict.kind === 'acknowledged') acknowledged.push(each.item)
    else await settleOne(session, name, each, now)
  }
  let changed = 0
  for (let at = 0; at < acknowledged.length; at += ROWS_AT_ONCE)
    changed += await acknowledge(session, name, acknowledged.slice(at, at + ROWS_AT_ONCE), now)
  return changed
}

async function settleOne(
  session: SqlSession,
  name: string,
  { item, verdict, nextAt }: Settled,
  now: number,
): Promise<void> {
  if (verdict.kind === 'acknowledged') return
  const reason = verdict.reason.slice(0, MAX_REASON)
  if (verdict.kind === 'later') {
    // Where the sink certainly does not have it, all is as it was before this attempt.
    const unknown = verdict.sent === 'no' ? (item.unknownAt ?? null) : (item.unknownAt ?? now)
    await session.run(
      `UPDATE export_item SET next_at = $3, unknown_at = $4, reason = $5
       WHERE export = $1 AND id = $2 AND state = 'pending'`,
      [name, item.id, nextAt, unknown, reason],
    )
    return
  }
  await session.run(
    `UPDATE export_item SET state = $3, settled_at = $4, reason = $5
     WHERE export = $1 AND id = $2 AND state = 'pending'`,
    [name, item.id, verdict.kind, now, reason],
  )
}

/** Acknowledged stays acknowledged, whatever was decided of it meanwhile; returns how many were not before. */
export async function acknowledge(
  session: SqlSession,
  name: string,
  items: readonly ItemRecord[],
  now: number,
): Promise<number> {
  const ids = items.map(({ id }) => id)
  const rows = await session.all(
    `SELECT id FROM export_item
     WHERE export = $1 AND state <> 'acknowledged' AND id IN (${placeholders(ids.length, 2)})`,
    [name, ...ids],
  )
  if (rows.length === 0) return 0
  const fresh = new Set(rows.map(row => String(row['id'])))
  await session.run(
    `UPDATE export_item SET state = 'acknowledged', settled_at = $2, reason = NULL
     WHERE export = $1 AND id IN (${placeholders(fresh.size, 3)})`,
    [name, now, ...fresh],
  )
  for (const item of items) if (fresh.has(item.id)) await addToTotal(session, name, item, now)
  return fresh.size
}

async function addToTotal(
  session: SqlSession,
  name: string,
  { tenant, metric, operation, value }: ItemRecord,
  now: number,
): Promise<void> {
  await session.run(
    `INSERT INTO export_total (export, tenant, metric, operation, acknowledged, first_at)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (export, tenant, metric, operation)
     DO UPDATE SET acknowledged = export_total.acknowledged + excluded.acknowledged`,
    [name, tenant, metric, operation, value, now],
  )
}

/** `$2, $3, $4` */
export function placeholders(count: number, first: number): string {
  return Array.from({ length: count }, (_, index) => `$${index + first}`).join(', ')
}

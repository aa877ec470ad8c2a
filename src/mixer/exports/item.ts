/** What is exported, what may become of it, and what a sink has to be able to do. */
import type { ExportState } from '../../contracts/export-status.ts'
import type { SqlRow } from '../ledger/database.ts'

/** One amount as it is sent: written down before it is sent for the first time, and never changed after. */
export interface ExportItem {
  /** Of the item, for ever; see item-id.ts. */
  readonly id: string
  readonly tenant: string
  readonly metric: string
  /** Empty where the export is not by operation. */
  readonly operation: string
  /** Start of the window, in milliseconds since the epoch. */
  readonly window: number
  /** 1 for the first amount of a window, then 2, 3 … for corrections. */
  readonly revision: bigint
  /** 1 for what was found when the window was closed; items that were found together have one number. */
  readonly round: bigint
  /** What is sent: what came in addition to the revisions before. Above 0. */
  readonly value: bigint
  /** Sum of the values of this revision and of all before it. */
  readonly total: bigint
  /** How often it was given to the sink before. */
  readonly attempts: number
}

/** An item with what is known of its way. */
export interface ItemRecord extends ExportItem {
  readonly state: ExportState
  /** When it was written down. */
  readonly plannedAt: number
  /** When it was first given to the sink without a clear answer: from then on the sink may have it. */
  readonly unknownAt: number | undefined
  /** When its state became what it is, where it is no longer pending. */
  readonly settledAt: number | undefined
  readonly reason: string | undefined
}

/** What became of an item that was given to a sink. Reasons are for logs and operators and hold no secrets. */
export type Outcome =
  /** The sink has it, now or since an earlier attempt. */
  | { readonly kind: 'acknowledged' }
  /** The sink will not take it however often it is sent. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** It is too old for the sink. */
  | { readonly kind: 'expired'; readonly reason: string }
  | Postponed

/** To be sent again, with the same id and value. */
export interface Postponed {
  readonly kind: 'later'
  readonly reason: string
  /** `no`: the sink certainly does not have it. */
  readonly sent: 'no' | 'perhaps'
  /** Whether other items have a chance meanwhile. */
  readonly fault: 'item' | 'sink'
  /** Not before; the sender's own pauses where it is left out. */
  readonly afterMs?: number
}

export interface Sink {
  /** Items that are given at once; `round`: all items of a window that were found together, again and again the same. */
  readonly batch: number | 'round'
  /** How old a window may be, from its start; undefined where the sink takes any. */
  readonly maxAgeMs?: number
  /** For how long the sink knows an id again; undefined where that does not end. */
  readonly deduplicationMs?: number
  /** One outcome for each item, in their order. Never rejects. */
  deliver(items: readonly ExportItem[]): Promise<readonly Outcome[]>
  /** Ends what is under way. */
  close(): Promise<void>
}

/** The columns that `itemOf` reads. */
export const ITEM_COLUMNS =
  'id, tenant, metric, operation, window_start, revision, round, value, total, state, planned_at, attempts, unknown_at, settled_at, reason'

/** An item out of a row of `export_item`. */
export function itemOf(row: SqlRow): ItemRecord {
  return {
    id: String(row['id']),
    tenant: String(row['tenant']),
    metric: String(row['metric']),
    operation: String(row['operation']),
    window: Number(row['window_start']),
    revision: row['revision'] as bigint,
    round: row['round'] as bigint,
    value: row['value'] as bigint,
    total: row['total'] as bigint,
    state: String(row['state']) as ExportState,
    plannedAt: Number(row['planned_at']),
    attempts: Number(row['attempts']),
    unknownAt: optionalNumber(row['unknown_at']),
    settledAt: optionalNumber(row['settled_at']),
    reason: typeof row['reason'] === 'string' ? row['reason'] : undefined,
  }
}

function optionalNumber(value: SqlRow[string] | undefined): number | undefined {
  return value === null || value === undefined ? undefined : Number(value)
}

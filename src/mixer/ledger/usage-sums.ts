/** How a usage query becomes SQL, and its rows become groups. Values are bound, never written into the text. */
import { USAGE_GRAINS, type UsageDimension } from '../../contracts/usage-query.ts'
import type { UsageRecord } from '../../contracts/usage-report.ts'
import type { SqlRow, SqlValue } from './database.ts'
import type { LedgerGroup, LedgerQuery } from './ledger.ts'
import { COUNTER_COLUMNS, SUMS, sumsOf } from './usage-columns.ts'
import type { UsagePiece } from './usage-pieces.ts'

export interface UsageStatement {
  readonly sql: string
  readonly params: readonly SqlValue[]
}

/** The text of a statement and its parameters, which grow together. */
class Builder {
  readonly params: SqlValue[] = []

  /** The place of a new parameter. */
  bind(value: SqlValue): string {
    this.params.push(value)
    return `$${this.params.length}`
  }
}

/** Sums over `pieces`, which cover the time of the query. Answers one row more than the limit, where there is one. */
export function usageStatement(query: LedgerQuery, pieces: readonly UsagePiece[]): UsageStatement {
  const builder = new Builder()
  const grain = query.grain === undefined ? undefined : USAGE_GRAINS[query.grain]
  const start = grain === undefined ? undefined : `window_start / ${grain} * ${grain}`
  const keys = [...(start === undefined ? [] : ['start']), ...query.dimensions]
  const sql = [
    `SELECT ${[...(start === undefined ? [] : [`${start} AS start`]), ...query.dimensions, SUMS].join(', ')}`,
    `FROM (${pieces.map(piece => rowsOf(piece, query, builder)).join(' UNION ALL ')}) AS piece`,
    afterOf(query, start, builder),
    // Without a key the aggregate of no rows would be one row of NULLs.
    keys.length === 0
      ? 'HAVING count(*) > 0'
      : `GROUP BY ${keys.join(', ')} ORDER BY ${keys.join(', ')}`,
    `LIMIT ${builder.bind(query.limit + 1)}`,
  ].join(' ')
  return { sql, params: builder.params }
}

function rowsOf({ table, from, to }: UsagePiece, query: LedgerQuery, builder: Builder): string {
  const columns = ['window_start', ...new Set(query.dimensions), ...Object.values(COUNTER_COLUMNS)]
  return [
    `SELECT ${columns.join(', ')} FROM ${table}`,
    `WHERE window_start >= ${builder.bind(from)} AND window_start < ${builder.bind(to)}`,
    query.tenant === undefined ? '' : `AND tenant = ${builder.bind(query.tenant)}`,
  ].join(' ')
}

/** Only the groups behind a page, wherever new ones have come up meanwhile. */
function afterOf(
  { after, dimensions }: LedgerQuery,
  start: string | undefined,
  builder: Builder,
): string {
  if (after === undefined) return ''
  const names = [...(start === undefined ? [] : [start]), ...dimensions]
  const values = [...(start === undefined ? [] : [after.window ?? 0]), ...after.dimensions]
  const places = values.map(value => builder.bind(value))
  return `WHERE (${names.join(', ')}) > (${places.join(', ')})`
}

/** Reads rows of `usageStatement(query)`. */
export function groupReader(query: LedgerQuery): (row: SqlRow) => LedgerGroup {
  return row => ({
    ...(query.grain === undefined ? {} : { window: Number(row['start']) }),
    dimensions: dimensionsOf(row, query.dimensions),
    sums: sumsOf(row),
  })
}

function dimensionsOf(
  row: SqlRow,
  dimensions: readonly UsageDimension[],
): LedgerGroup['dimensions'] {
  const values = dimensions.map(dimension => [dimension, row[dimension]])
  return Object.fromEntries(values) as Partial<Pick<UsageRecord, UsageDimension>>
}

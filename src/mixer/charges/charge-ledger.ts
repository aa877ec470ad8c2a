/** What deployments charge for, exact and once: each charge under its id, and the sums of each minute. */
import {
  type Charge,
  type ChargeGrain,
  chargeMicros,
  formatMicros,
  MAX_CHARGE_WINDOWS,
} from '../../contracts/charge.ts'
import { USAGE_GRAINS } from '../../contracts/usage-query.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf, type SqlRow, type SqlSession, type SqlValue } from '../ledger/database.ts'
import { GroupCommit, type GroupCommitOptions } from '../ledger/group-commit.ts'
import type { LedgerUnavailable } from '../ledger/ledger.ts'

const MICROS = 1_000_000n
const MAX_BIGINT = 2n ** 63n - 1n
const MINUTE_MS = USAGE_GRAINS.minute
/** Sums are taken in two parts, since that of the whole numbers might not fit. */
const HALF = 1_000_000_000n

export interface ChargeRequest {
  readonly tenant: string
  readonly charge: Charge
}

export type Charged =
  | { readonly kind: 'charged'; readonly quantity: string; readonly at: number }
  /** The id was used before for something else; nothing has changed. */
  | { readonly kind: 'conflict' }
  /** The sum of its minute would pass 2^63 - 1; nothing has changed. */
  | { readonly kind: 'overflow' }

export interface ChargeQuery {
  readonly tenant?: string
  readonly event?: string
  /** First minute, and the first that no longer counts, in milliseconds since the epoch. */
  readonly from: number
  readonly to: number
  readonly by: ChargeGrain
  /** Behind this one, in the order of the answer. */
  readonly after?: Pick<ChargeSum, 'window' | 'tenant' | 'event'>
  readonly limit: number
}

export interface ChargeSum {
  /** 0 where the query does not group by time. */
  readonly window: number
  readonly tenant: string
  readonly event: string
  readonly charges: number
  /** Exact, as a decimal. */
  readonly quantity: string
}

export type ChargeSumsFound =
  | { readonly kind: 'sums'; readonly sums: readonly ChargeSum[]; readonly more: boolean }
  | LedgerUnavailable

export class ChargeLedger {
  readonly #database: GroupCommitOptions<unknown>['database']
  readonly #clock: Clock
  readonly #commits: GroupCommit<ChargeRequest, Charged>

  constructor(database: GroupCommitOptions<unknown>['database'], clock: Clock) {
    this.#database = database
    this.#clock = clock
    this.#commits = new GroupCommit({ database, order }, (session, request) =>
      this.#charge(session, request),
    )
  }

  /** Adds a charge once for each id of a tenant; durable when it answers. Never rejects. */
  async charge(request: ChargeRequest): Promise<Charged | LedgerUnavailable> {
    return this.#commits.add(request)
  }

  /** Of one moment, ordered by window, tenant and event. */
  async sums(query: ChargeQuery): Promise<ChargeSumsFound> {
    const limit = Math.min(query.limit, MAX_CHARGE_WINDOWS)
    const { sql, params } = sumsStatement(query, limit + 1)
    try {
      const rows = await this.#database.snapshot(session => session.all(sql, params))
      return { kind: 'sums', sums: rows.slice(0, limit).map(sumOf), more: rows.length > limit }
    } catch (cause) {
      return { kind: 'unavailable', detail: messageOf(cause) }
    }
  }

  async #charge(session: SqlSession, { tenant, charge }: ChargeRequest): Promise<Charged> {
    const { id, event } = charge
    const micros = chargeMicros(charge.quantity)
    const attributes = canonicalJson(charge.attributes)
    const at = Math.floor(this.#clock.now())
    const content = [event, micros / MICROS, micros % MICROS, attributes] as const
    const inserted = await session.run(
      `INSERT INTO charge (tenant, id, event, whole, micros, attributes, at)
       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, id) DO NOTHING`,
      [tenant, id, ...content, at],
    )
    if (inserted === 0) return former(session, [tenant, id], content)
    const window = [at - (at % MINUTE_MS), tenant, event] as const
    const [sum] = await session.all(
      `INSERT INTO charge_window (window_start, tenant, event, charges, whole, micros)
       VALUES ($1, $2, $3, 0, 0, 0)
       ON CONFLICT (window_start, tenant, event) DO UPDATE SET charges = charge_window.charges
       RETURNING whole, micros`,
      window,
    )
    const total = integer(sum, 'whole') * MICROS + integer(sum, 'micros') + micros
    if (total / MICROS > MAX_BIGINT) {
      await session.run('DELETE FROM charge WHERE tenant = $1 AND id = $2', [tenant, id])
      return { kind: 'overflow' }
    }
    await session.run(
      `UPDATE charge_window SET charges = charges + 1, whole = $4, micros = $5
       WHERE window_start = $1 AND tenant = $2 AND event = $3`,
      [...window, total / MICROS, total % MICROS],
    )
    return { kind: 'charged', quantity: formatMicros(micros), at }
  }
}

function order(a: ChargeRequest, b: ChargeRequest): number {
  if (a.tenant !== b.tenant) return a.tenant < b.tenant ? -1 : 1
  return a.charge.event < b.charge.event ? -1 : a.charge.event > b.charge.event ? 1 : 0
}

type Content = readonly [event: string, whole: bigint, micros: bigint, attributes: string]

async function former(
  session: SqlSession,
  key: readonly [tenant: string, id: string],
  [event, whole, micros, attributes]: Content,
): Promise<Charged> {
  const [row] = await session.all(
    'SELECT event, whole, micros, attributes, at FROM charge WHERE tenant = $1 AND id = $2',
    key,
  )
  const same =
    row?.['event'] === event &&
    row['whole'] === whole &&
    row['micros'] === micros &&
    row['attributes'] === attributes
  return same
    ? {
        kind: 'charged',
        quantity: formatMicros(whole * MICROS + micros),
        at: Number(row['at']),
      }
    : { kind: 'conflict' }
}

/** The same for the same entries, in whatever order they came. */
function canonicalJson(attributes: Charge['attributes']): string {
  const sorted = Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify(Object.fromEntries(sorted))
}

function sumsStatement(
  { tenant, event, from, to, by, after }: ChargeQuery,
  limit: number,
): { readonly sql: string; readonly params: readonly SqlValue[] } {
  const params: SqlValue[] = [from, to]
  const bind = (value: SqlValue): string => `$${params.push(value)}`
  const grain = by === 'none' ? undefined : USAGE_GRAINS[by]
  const start = grain === undefined ? '0' : `window_start / ${grain} * ${grain}`
  const conditions = ['window_start >= $1', 'window_start < $2']
  if (tenant !== undefined) conditions.push(`tenant = ${bind(tenant)}`)
  if (event !== undefined) conditions.push(`event = ${bind(event)}`)
  if (after !== undefined) {
    const moment = grain === undefined ? [] : [bind(after.window)]
    const key = [...moment, bind(after.tenant), bind(after.event)]
    const columns = grain === undefined ? 'tenant, event' : `${start}, tenant, event`
    conditions.push(`(${columns}) > (${key.join(', ')})`)
  }
  const sql = `
    SELECT ${start} AS start, tenant, event,
      CAST(sum(charges) AS BIGINT) AS charges,
      CAST(sum(whole / ${HALF}) AS BIGINT) AS high,
      CAST(sum(whole % ${HALF}) AS BIGINT) AS low,
      CAST(sum(micros) AS BIGINT) AS micros
    FROM charge_window WHERE ${conditions.join(' AND ')}
    GROUP BY start, tenant, event ORDER BY start, tenant, event LIMIT ${limit}`
  return { sql, params }
}

function integer(row: SqlRow | undefined, column: string): bigint {
  return row?.[column] as bigint
}

function sumOf(row: SqlRow): ChargeSum {
  const whole = integer(row, 'high') * HALF + integer(row, 'low')
  return {
    window: Number(row['start']),
    tenant: String(row['tenant']),
    event: String(row['event']),
    charges: Number(row['charges']),
    quantity: formatMicros(whole * MICROS + integer(row, 'micros')),
  }
}

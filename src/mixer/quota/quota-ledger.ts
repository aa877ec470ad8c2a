/** How much of each quota is allocated, exact with many callers and many mixers at once. */
import type { Allocation, AllocationMode, Quota } from '../../contracts/quota.ts'
import { calendarWindow } from '../../core/calendar-window.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf, type SqlRow, type SqlSession } from '../ledger/database.ts'
import { GroupCommit, type GroupCommitOptions } from '../ledger/group-commit.ts'
import type { LedgerUnavailable } from '../ledger/ledger.ts'

/** Windows are known for this long after their end, so that a clock that is set back finds them. */
const KEEP_WINDOW_MS = 2 * 3_600_000
/** So are ids, by who asks: a deployment may try again tomorrow; a proxy asks often, and never again for a window that is over. */
const KEEP_ID_MS = { deployment: 86_400_000, proxy: 5 * 60_000 } as const
/** Rows of one table that go in one transaction. */
const SWEEP_ROWS = 1_000

export interface AllocationRequest {
  readonly tenant: string
  readonly quota: Quota
  readonly by: keyof typeof KEEP_ID_MS
  readonly allocation: Pick<Allocation, 'id' | 'amount' | 'mode'>
}

export type Allocated =
  | {
      readonly kind: 'allocated'
      readonly granted: number
      readonly remaining: number
      /** Milliseconds since the epoch. */
      readonly resetAt: number
    }
  /** The id was used before for something else; nothing has changed. */
  | { readonly kind: 'conflict' }

export class QuotaLedger {
  readonly #database: GroupCommitOptions<unknown>['database']
  readonly #clock: Clock
  readonly #commits: GroupCommit<AllocationRequest, Allocated>

  constructor(database: GroupCommitOptions<unknown>['database'], clock: Clock) {
    this.#database = database
    this.#clock = clock
    this.#commits = new GroupCommit({ database, order }, (session, request) =>
      this.#allocate(session, request),
    )
  }

  /** Allocates once for each id of a tenant; durable when it answers. Never rejects. */
  async allocate(request: AllocationRequest): Promise<Allocated | LedgerUnavailable> {
    return request.allocation.mode === 'checkOnly'
      ? this.#check(request)
      : this.#commits.add(request)
  }

  /** Deletes a piece of what is older than anybody asks for; whether there is more. */
  async sweep(): Promise<boolean> {
    const now = Math.floor(this.#clock.now())
    const deleted = await this.#database.transaction(async session => {
      const windows = await session.run(
        `DELETE FROM quota_window WHERE (tenant, quota, period, window_start) IN (
           SELECT tenant, quota, period, window_start FROM quota_window
           WHERE keep_until < $1 ORDER BY keep_until LIMIT ${SWEEP_ROWS})`,
        [now],
      )
      const allocations = await session.run(
        `DELETE FROM quota_allocation WHERE (tenant, id) IN (
           SELECT tenant, id FROM quota_allocation
           WHERE keep_until < $1 ORDER BY keep_until LIMIT ${SWEEP_ROWS})`,
        [now],
      )
      return Math.max(windows, allocations)
    })
    return deleted >= SWEEP_ROWS
  }

  async #check({
    tenant,
    quota,
    allocation: { amount },
  }: AllocationRequest): Promise<Allocated | LedgerUnavailable> {
    const { start, end } = calendarWindow(quota.per, this.#clock.now())
    try {
      const rows = await this.#database.snapshot(session =>
        session.all(
          `SELECT used FROM quota_window
           WHERE tenant = $1 AND quota = $2 AND period = $3 AND window_start = $4`,
          [tenant, quota.name, quota.per, start],
        ),
      )
      const remaining = remainingOf(quota, rows[0])
      const granted = amount <= remaining ? amount : 0
      return { kind: 'allocated', granted, remaining, resetAt: end }
    } catch (cause) {
      return { kind: 'unavailable', detail: messageOf(cause) }
    }
  }

  /** The row of the window is locked first: who has it sees all that others have allocated of it, and their ids. */
  async #allocate(session: SqlSession, request: AllocationRequest): Promise<Allocated> {
    const { tenant, quota, allocation } = request
    const { start, end } = calendarWindow(quota.per, this.#clock.now())
    const window = [tenant, quota.name, quota.per, start] as const
    const locked = await session.all(
      `INSERT INTO quota_window (tenant, quota, period, window_start, used, keep_until)
       VALUES ($1, $2, $3, $4, 0, $5)
       ON CONFLICT (tenant, quota, period, window_start) DO UPDATE SET used = quota_window.used
       RETURNING used`,
      [...window, end + KEEP_WINDOW_MS],
    )
    const before = await formerOf(session, request)
    if (before !== undefined) return before
    const left = remainingOf(quota, locked[0])
    const granted = grantOf(allocation.mode, allocation.amount, left)
    const remaining = left - granted
    const inserted = await session.run(
      `INSERT INTO quota_allocation
         (tenant, id, quota, amount, mode, granted, remaining, reset_at, keep_until)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (tenant, id) DO NOTHING`,
      [
        tenant,
        allocation.id,
        quota.name,
        allocation.amount,
        allocation.mode,
        granted,
        remaining,
        end,
        end + KEEP_ID_MS[request.by],
      ],
    )
    // Another mixer was faster, with the same id for another quota: only for that the lock does not hold.
    if (inserted === 0) return (await formerOf(session, request)) ?? { kind: 'conflict' }
    if (granted > 0) {
      await session.run(
        `UPDATE quota_window SET used = used + $5
         WHERE tenant = $1 AND quota = $2 AND period = $3 AND window_start = $4`,
        [...window, granted],
      )
    }
    return { kind: 'allocated', granted, remaining, resetAt: end }
  }
}

function order(a: AllocationRequest, b: AllocationRequest): number {
  return compare(a.tenant, b.tenant) || compare(a.quota.name, b.quota.name)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function grantOf(mode: AllocationMode, amount: number, left: number): number {
  if (amount <= left) return amount
  return mode === 'bestEffort' ? left : 0
}

/** None where the quota has been lowered below what is used. */
function remainingOf(quota: Quota, row: SqlRow | undefined): number {
  return Math.max(0, quota.amount - Number(row?.['used'] ?? 0n))
}

async function formerOf(
  session: SqlSession,
  { tenant, quota, allocation: { id, amount, mode } }: AllocationRequest,
): Promise<Allocated | undefined> {
  const [row] = await session.all(
    `SELECT quota, amount, mode, granted, remaining, reset_at FROM quota_allocation
     WHERE tenant = $1 AND id = $2`,
    [tenant, id],
  )
  if (row === undefined) return undefined
  const same =
    row['quota'] === quota.name && Number(row['amount']) === amount && row['mode'] === mode
  if (!same) return { kind: 'conflict' }
  return {
    kind: 'allocated',
    granted: Number(row['granted']),
    remaining: Number(row['remaining']),
    resetAt: Number(row['reset_at']),
  }
}

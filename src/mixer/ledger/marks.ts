/** How far the ledger's own work has come; read and written in the transactions that rely on it. */
import type { UsageRecord } from '../../contracts/usage-report.ts'
import type { SqlSession } from './database.ts'

export interface Marks {
  /** Usage before it is in the sums of hours and days as well. */
  readonly rolledUp: RolledUp
  /** Minutes, hours and days before these are no longer kept, or about to go. */
  readonly minutesFrom: number
  readonly hoursFrom: number
  readonly daysFrom: number
}

/** All minutes before `at`, and of the minute `at` what belongs to tenants up to `tenant`. */
export interface RolledUp {
  readonly at: number
  readonly tenant: string
}

export type MarkName = 'rolled-up' | 'minutes-from' | 'hours-from' | 'days-from'

export async function readMarks(session: SqlSession): Promise<Marks> {
  const rows = await session.all('SELECT name, at, tenant FROM ledger_mark')
  const of = (name: MarkName): RolledUp => {
    const row = rows.find(each => each['name'] === name)
    return { at: Number(row?.['at'] ?? 0), tenant: String(row?.['tenant'] ?? '') }
  }
  return {
    rolledUp: of('rolled-up'),
    minutesFrom: of('minutes-from').at,
    hoursFrom: of('hours-from').at,
    daysFrom: of('days-from').at,
  }
}

export async function moveMark(
  session: SqlSession,
  name: MarkName,
  { at, tenant }: RolledUp,
): Promise<void> {
  await session.run('UPDATE ledger_mark SET at = $2, tenant = $3 WHERE name = $1', [
    name,
    at,
    tenant,
  ])
}

/** Whether usage is late: the roll-up has been there and will not come again. */
export function isLate({ window, tenant }: UsageRecord, rolledUp: RolledUp): boolean {
  return window < rolledUp.at || (window === rolledUp.at && isUpTo(tenant, rolledUp.tenant))
}

/** As the database compares: tenant ids are ASCII. */
function isUpTo(tenant: string, last: string): boolean {
  return last !== '' && tenant <= last
}

/**
 * Sums of hours and days out of the minutes, in small steps of one transaction each, which moves the mark `rolled-up` over
 * what it has added: so a step counts once, whether this mixer does it or another, and whenever it is killed. Reports that
 * come in behind the mark add to hours and days themselves (apply-report.ts).
 */
import { USAGE_GRAINS } from '../../contracts/usage-query.ts'
import type { SqlSession } from './database.ts'
import { moveMark, type RolledUp, readMarks } from './marks.ts'
import { addingTo, COUNTER_COLUMNS, USAGE_COLUMNS, type UsageTable } from './usage-columns.ts'
import type { UsageTables } from './usage-tables.ts'

const { minute: MINUTE_MS } = USAGE_GRAINS
/** About so many rows a step: reports wait for it. */
export const ROWS_A_STEP = 5_000

/** Where a step has moved the mark to; undefined where all minutes before `until` are rolled up. */
export async function rollUpStep(
  tables: UsageTables,
  until: number,
  rows: number = ROWS_A_STEP,
): Promise<RolledUp | undefined> {
  return tables.exclusive(async session => {
    const { rolledUp } = await readMarks(session)
    const from = await nextMinute(session, rolledUp, until)
    if (from === undefined) {
      if (rolledUp.at < until) await moveMark(session, 'rolled-up', { at: until, tenant: '' })
      return undefined
    }
    const last = await lastTenant(session, from, rows)
    await addUp(session, 'usage_hour', USAGE_GRAINS.hour, { ...from, last })
    await addUp(session, 'usage_day', USAGE_GRAINS.day, { ...from, last })
    const to =
      last === undefined ? { at: from.at + MINUTE_MS, tenant: '' } : { at: from.at, tenant: last }
    await moveMark(session, 'rolled-up', to)
    return to
  })
}

/** The first minute that has something to roll up, and behind which tenant of it that begins. */
async function nextMinute(
  session: SqlSession,
  rolledUp: RolledUp,
  until: number,
): Promise<RolledUp | undefined> {
  const [row] = await session.all(
    `SELECT window_start FROM usage
     WHERE (window_start, tenant) > ($1, $2) AND window_start >= $1 AND window_start < $3
     ORDER BY window_start LIMIT 1`,
    [rolledUp.at, rolledUp.tenant, until],
  )
  if (row === undefined) return undefined
  const at = Number(row['window_start'])
  return { at, tenant: at === rolledUp.at ? rolledUp.tenant : '' }
}

/** The last tenant of a step that begins behind `from`; undefined where the rest of the minute is few enough rows. */
async function lastTenant(
  session: SqlSession,
  from: RolledUp,
  rows: number,
): Promise<string | undefined> {
  const [row] = await session.all(
    `SELECT tenant FROM usage WHERE window_start = $1 AND tenant > $2
     ORDER BY tenant LIMIT 1 OFFSET $3`,
    [from.at, from.tenant, rows],
  )
  return row === undefined ? undefined : String(row['tenant'])
}

const COUNTERS = Object.values(COUNTER_COLUMNS).join(', ')

async function addUp(
  session: SqlSession,
  table: UsageTable,
  grain: number,
  { at, tenant, last }: RolledUp & { readonly last: string | undefined },
): Promise<void> {
  // Within a minute each key is there once, so that no row is written twice by the statement.
  await session.run(
    `INSERT INTO ${table} (${USAGE_COLUMNS})
     SELECT window_start / ${grain} * ${grain}, tenant, listener, routability, operation, code, ${COUNTERS}
     FROM usage WHERE window_start = $1 AND tenant > $2 ${last === undefined ? '' : 'AND tenant <= $3'}
     ORDER BY tenant, listener, routability, operation, code
     ${addingTo(table)}`,
    [at, tenant, ...(last === undefined ? [] : [last])],
  )
}

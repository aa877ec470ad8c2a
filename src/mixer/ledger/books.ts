/** The ledger's own books: what producers have reported, and what of it there is. */
import type { SqlRow, SqlSession } from './database.ts'
import type { LedgerBooks, LedgerBooksQuery, LedgerProducer } from './ledger.ts'
import { readMarks } from './marks.ts'
import { addSums, type ExactSums, HALVES, SUMS, SUMS_OF_HALVES, sumsOf } from './usage-columns.ts'

const PRODUCER_COLUMNS = `producer, proxy, sequence, applied_at, ${HALVES.join(', ')}`

/** All of it from one session, which is one moment. */
export async function readBooks(
  session: SqlSession,
  query: LedgerBooksQuery,
): Promise<LedgerBooks> {
  const { producers, more } = await producersOf(session, query)
  const [all] = await session.all(`SELECT ${SUMS_OF_HALVES} FROM producer`)
  const kept = await session.all('SELECT * FROM ledger_sums')
  const named = (name: string): ExactSums => sumsOf(kept.find(row => row['name'] === name))
  const tenants = query.tenants === 0 ? [] : await tenantsOf(session, query.tenants + 1)
  if (tenants.length > query.tenants) return { kind: 'too-many' }
  const windows = query.tenants === 0 ? [await windowsOf(session)] : tenants.map(({ sums }) => sums)
  return {
    kind: 'books',
    producers,
    more,
    reported: addSums([sumsOf(all), named('before')]),
    ledger: addSums([named('expired'), ...windows]),
    tenants,
  }
}

async function producersOf(
  session: SqlSession,
  query: LedgerBooksQuery,
): Promise<{ readonly producers: readonly LedgerProducer[]; readonly more: boolean }> {
  if ('producers' in query) {
    if (query.producers.length === 0) return { producers: [], more: false }
    const places = query.producers.map((_, index) => `$${index + 1}`)
    const rows = await session.all(
      `SELECT ${PRODUCER_COLUMNS} FROM producer WHERE producer IN (${places.join(', ')}) AND sequence > 0 ORDER BY producer`,
      query.producers,
    )
    return { producers: rows.map(producerOf), more: false }
  }
  const rows = await session.all(
    `SELECT ${PRODUCER_COLUMNS} FROM producer WHERE producer > $1 AND sequence > 0 ORDER BY producer LIMIT $2`,
    [query.after, query.limit + 1],
  )
  return { producers: rows.slice(0, query.limit).map(producerOf), more: rows.length > query.limit }
}

function producerOf(row: SqlRow): LedgerProducer {
  return {
    producer: String(row['producer']),
    proxy: String(row['proxy']),
    durable: Number(row['sequence']),
    appliedAt: Number(row['applied_at']),
    sums: sumsOf(row),
  }
}

/** From the days, and from the minutes that are not in them yet: each piece of usage once. */
const ALL_WINDOWS = `(
  SELECT * FROM usage_day
  UNION ALL
  SELECT * FROM usage WHERE window_start >= $1 AND (window_start > $1 OR tenant > $2)
) AS piece`

async function windowsOf(session: SqlSession): Promise<ExactSums> {
  const { rolledUp } = await readMarks(session)
  const [row] = await session.all(`SELECT ${SUMS} FROM ${ALL_WINDOWS}`, [
    rolledUp.at,
    rolledUp.tenant,
  ])
  return sumsOf(row)
}

async function tenantsOf(
  session: SqlSession,
  limit: number,
): Promise<{ readonly tenant: string; readonly sums: ExactSums }[]> {
  const { rolledUp } = await readMarks(session)
  const rows = await session.all(
    `SELECT tenant, ${SUMS} FROM ${ALL_WINDOWS} GROUP BY tenant ORDER BY tenant LIMIT $3`,
    [rolledUp.at, rolledUp.tenant, limit],
  )
  return rows.map(row => ({ tenant: String(row['tenant']), sums: sumsOf(row) }))
}

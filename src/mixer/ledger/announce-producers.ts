/** Makes producers known to the ledger, which takes reports of no others. */
import type { Announcement } from '../../contracts/producer-announcement.ts'
import type { SqlSession } from './database.ts'
import type { AnnounceResult } from './ledger.ts'

/** An old one keeps its sequence, and is from now on of the proxy that says so last. */
const ANNOUNCE = `
  INSERT INTO producer (producer, sequence, applied_at, proxy) VALUES ($1, 0, $2, $3)
  ON CONFLICT (producer) DO UPDATE SET proxy = excluded.proxy WHERE producer.proxy <> excluded.proxy`

/** In one transaction; `now` in milliseconds since the epoch. */
export async function announceProducers(
  session: SqlSession,
  { proxy, producers }: Announcement,
  now: number,
): Promise<AnnounceResult> {
  // In the order of their names, so that two announcements never wait for each other in a circle.
  const names = [...new Set(producers)].toSorted()
  for (const producer of names) await session.run(ANNOUNCE, [producer, now, proxy])
  const places = names.map((_, index) => `$${index + 1}`)
  const rows = await session.all(
    `SELECT producer, sequence FROM producer WHERE producer IN (${places.join(', ')})`,
    names,
  )
  const durable = rows.map(row => [String(row['producer']), Number(row['sequence'])] as const)
  return { kind: 'announced', durable: new Map(durable) }
}

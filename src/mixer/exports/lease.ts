/**
 * Of all mixers on one ledger one exports at a time: it holds a lease, a row with an expiry. The lease saves work and
 * requests; that nothing is billed twice does not depend on it but on the items, which are written before they are sent.
 */
import type { Clock } from '../../core/clock.ts'
import type { Database, SqlSession } from '../ledger/database.ts'

/** Longer than two passes; a mixer that died is followed after at most so long. */
const LEASE_MS = 60_000
const NAME = 'exports'

export class Lease {
  readonly #database: Database
  readonly #clock: Clock
  readonly #holder: string

  /** `holder` is another one for each process and start. */
  constructor(database: Database, clock: Clock, holder: string) {
    this.#database = database
    this.#clock = clock
    this.#holder = holder
  }

  /** Takes or renews the lease; whether it is ours now. */
  async acquire(): Promise<boolean> {
    return this.#database.transaction(async session => {
      const now = Math.floor(this.#clock.now())
      const [row] = await session.all(
        'SELECT holder, held_until FROM export_lease WHERE name = $1',
        [NAME],
      )
      const heldUntil = row === undefined ? 0 : Number(row['held_until'])
      const ours = row?.['holder'] === this.#holder
      // A lease that ends later than any could was given by a clock that ran ahead.
      const held = heldUntil > now && heldUntil <= now + 2 * LEASE_MS
      if (held && !ours) return false
      await session.run(
        `INSERT INTO export_lease (name, holder, held_until) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until`,
        [NAME, this.#holder, now + LEASE_MS],
      )
      return true
    })
  }

  /** Whether it is ours, within a transaction that stands or falls with it. */
  async holds(session: SqlSession): Promise<boolean> {
    const [row] = await session.all('SELECT holder FROM export_lease WHERE name = $1', [NAME])
    return row?.['holder'] === this.#holder
  }

  /** Lets the next one have it at once. */
  async release(): Promise<void> {
    await this.#database.transaction(session =>
      session.run('DELETE FROM export_lease WHERE name = $1 AND holder = $2', [NAME, this.#holder]),
    )
  }
}

/** Opens a ledger as the mixer does, for tests of the ledger without a mixer. */
import type { Clock } from '../../../src/core/clock.ts'
import type { Database } from '../../../src/mixer/ledger/database.ts'
import type { Ledger } from '../../../src/mixer/ledger/ledger.ts'
import { openDatabase } from '../../../src/mixer/ledger/open-database.ts'
import { createUsageLedger, usageTablesOf } from '../../../src/mixer/ledger/usage-ledger.ts'
import type { UsageTables } from '../../../src/mixer/ledger/usage-tables.ts'
import { NOON } from './reports.ts'

export interface OpenLedger extends Ledger {
  readonly database: Database
  readonly tables: UsageTables
  close(): Promise<void>
}

const atNoon: Clock = { now: () => NOON, monotonic: () => 0 }

/**
 * `url` as in the configuration; its producers are announced with their first reports. Throws what is wrong where it cannot be
 * opened.
 */
export async function openLedger(url: string, clock: Clock = atNoon): Promise<OpenLedger> {
  const opened = await openDatabase(url)
  if ('refusal' in opened) throw new Error(opened.refusal)
  const { database } = opened
  const tables = usageTablesOf(database)
  const ledger = createUsageLedger(tables, clock)
  const announced = new Set<string>()
  return {
    tables,
    database,
    announce: announcement => ledger.announce(announcement),
    apply: async report => {
      const { producer } = report
      if (!announced.has(producer)) {
        announced.add(producer)
        await ledger.announce({ proxy: 'proxy-1', producers: [producer] })
      }
      return ledger.apply(report)
    },
    usage: query => ledger.usage(query),
    books: query => ledger.books(query),
    check: () => ledger.check(),
    close: () => database.close(),
  }
}

/** Why `url` cannot be opened, if it cannot. */
export async function refusalOf(url: string): Promise<string | undefined> {
  const opened = await openDatabase(url)
  if ('refusal' in opened) return opened.refusal
  await opened.database.close()
  return undefined
}

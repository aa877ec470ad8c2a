/** What was read of one journal, and what became of it: each batch once, however often it is read or shipped anew. */
import { noUsage, type UsageTotals } from '../../contracts/usage-report.ts'
import type { Batch } from './journal-cursor.ts'
import { addTo, type UsageAccounts } from './usage-accounts.ts'

/** A batch, or the sum of several up to `sequence`. */
export type Numbered = Pick<Batch, 'sequence' | 'records'>

export class JournalAccount {
  /** First and last batch that was read for a report; 0 before there is one. */
  first = 0
  read = 0
  /** Last batch whose fate is in the accounts. */
  settled = 0
  /** Batches that the mixer refuses for good. */
  setAside = 0
  readonly #acknowledged = noUsage()
  readonly #accounts: UsageAccounts
  readonly #producer: string

  constructor(accounts: UsageAccounts, producer: string) {
    this.#accounts = accounts
    this.#producer = producer
  }

  /** Sums of the batches that the ledger has. */
  get acknowledged(): UsageTotals {
    return { ...this.#acknowledged }
  }

  /** Batches from `first` on were read. */
  journaled(first: number, { sequence, records }: Numbered): void {
    if (first <= this.read) return
    this.read = sequence
    this.#accounts.add('journaled', this.#producer, records)
  }

  /** Batches from `first` on are in the ledger, or kept aside. */
  settle(fate: 'setAside' | 'acknowledged', first: number, { sequence, records }: Numbered): void {
    if (first <= this.settled) return
    this.settled = sequence
    this.#accounts.add(fate, this.#producer, records)
    if (fate === 'setAside') this.setAside += 1
    else for (const record of records) addTo(this.#acknowledged, record, 1)
  }
}

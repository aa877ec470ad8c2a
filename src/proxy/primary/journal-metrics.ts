/** What the workers say of their journals, as metrics. "No usage" and "usage cannot be recorded" must never look the same. */
import type { JournalFigures } from '../ipc.ts'
import type { LiveState } from './live-state.ts'
import type { MetricReader } from './metric-tables.ts'

type Counted = 'bytes' | 'errors' | 'lost' | 'postponed'

export class JournalMetrics {
  readonly #live: LiveState
  readonly #sums: Record<Counted, number> = { bytes: 0, errors: 0, lost: 0, postponed: 0 }

  constructor(live: LiveState) {
    this.#live = live
  }

  record(figures: JournalFigures): void {
    for (const name of Object.keys(this.#sums) as Counted[]) this.#sums[name] += figures[name]
  }

  readers(): MetricReader[] {
    const live = this.#live
    return [
      {
        name: 'amt_journal_failing',
        help: 'Workers that cannot write their journal at the moment; they count in memory.',
        type: 'gauge',
        read: () => [{ labels: {}, value: live.journals().failing }],
      },
      {
        name: 'amt_journal_unwritten_records',
        help: 'Usage records in the memory of workers that cannot write their journal.',
        type: 'gauge',
        read: () => [{ labels: {}, value: live.journals().unwritten }],
      },
      this.#counter('amt_journal_bytes_total', 'Bytes written to journals.', 'bytes'),
      this.#counter(
        'amt_journal_write_errors_total',
        'Writes and syncs of journals that failed.',
        'errors',
      ),
      this.#counter(
        'amt_journal_lost_records_total',
        'Usage records that a worker could not write before its end.',
        'lost',
      ),
      this.#counter(
        'amt_journal_postponed_records_total',
        'Usage records that are billed in a later minute than their own, since too many waited.',
        'postponed',
      ),
    ]
  }

  #counter(name: string, help: string, sum: Counted): MetricReader {
    return {
      name,
      help,
      type: 'counter',
      read: () => [{ labels: {}, value: this.#sums[sum] }],
    }
  }
}

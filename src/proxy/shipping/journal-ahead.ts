/** What stands in a journal behind what was read for reports: read for the books alone, and further each time. */
import type { JournalCursor, Segments } from './journal-cursor.ts'
import { TenantTotals } from './usage-accounts.ts'

export class JournalAhead {
  /** The batch that it begins behind. */
  readonly behind: number
  readonly totals = new TenantTotals()
  /** How far it has come. */
  readonly cursor: JournalCursor

  constructor(behind: number, cursor: JournalCursor) {
    this.behind = behind
    this.cursor = cursor
  }

  /** Goes on where it stopped, until `enough`. */
  async readOn(segments: Segments, buffer: Buffer, enough: () => boolean): Promise<void> {
    await this.cursor.readOn(segments, buffer, ({ sequence, records }) => {
      if (enough()) return false
      if (sequence > this.behind) this.totals.add(records)
      return true
    })
  }
}

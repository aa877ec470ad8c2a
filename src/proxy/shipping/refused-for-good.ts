/** Which refusals of a mixer no repetition helps against. */
import { MAX_WINDOW_AHEAD_MS, type UsageReport } from '../../contracts/usage-report.ts'

/** Sending these again cannot help: it is the message that the mixer does not take. */
const REFUSED_FOR_GOOD: ReadonlySet<string> = new Set(['malformed_message', 'payload_too_large'])

/** `now`: the time of day by our own clock, in ms. */
export function isRefusedForGood({ records }: UsageReport, code: string, now: number): boolean {
  if (code !== 'window_ahead') return REFUSED_FOR_GOOD.has(code)
  // A matter of clocks, which agree again some day, unless it was our own that was wrong.
  return records.some(({ window }) => window > now + MAX_WINDOW_AHEAD_MS)
}

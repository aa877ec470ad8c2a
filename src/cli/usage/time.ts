/** Times as people write them on a command line. */
import { parseDuration } from '../../core/units.ts'

const DAY_MS = 86_400_000

export const TIME_HINT =
  'a time such as today, yesterday, now, -90m, -24h, -7d, 2026-11-22 or 2026-11-22T13:00:00Z'

/**
 * What to ask the mixer for: relative times become milliseconds since the epoch, days being days in UTC; absolute ones are
 * passed on as they are, since the mixer reads and checks them. Undefined for text that is neither.
 */
export function parseUsageTime(text: string, now: number): number | string | undefined {
  const today = now - (now % DAY_MS)
  if (text === 'now') return now
  if (text === 'today') return today
  if (text === 'yesterday') return today - DAY_MS
  if (text.startsWith('-')) {
    const ago = parseDuration(text.slice(1))
    return ago === undefined || ago > now ? undefined : Math.floor(now - ago)
  }
  return /^\d[\dTZ:.+-]*$/.test(text) ? text : undefined
}

/** Usage as CSV, RFC 4180: every number with all its digits, times in ISO 8601. */
import type { UsageAnswer, UsageGrouping } from '../../contracts/usage-query.ts'
import { USAGE_COUNTERS } from '../../contracts/usage-report.ts'

export function csvHead(by: readonly UsageGrouping[]): string {
  return lineOf([...by, ...USAGE_COUNTERS])
}

/** A line for each window, in the columns of `csvHead`. */
export function csvRows({ by, windows }: UsageAnswer): string {
  const lines = windows.map(window => {
    const groups = by.map(grouping =>
      grouping === 'minute' || grouping === 'hour' || grouping === 'day'
        ? window.window
        : window[grouping],
    )
    return lineOf([...groups, ...USAGE_COUNTERS.map(counter => window[counter])])
  })
  return lines.join('')
}

function lineOf(fields: readonly (string | number | undefined)[]): string {
  return `${fields.map(fieldOf).join(',')}\r\n`
}

function fieldOf(value: string | number | undefined): string {
  const text = String(value ?? '')
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

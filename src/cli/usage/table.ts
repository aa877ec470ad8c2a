/** Usage as an aligned table with exact numbers; a bill is checked against it. */
import type {
  UsageAnswer,
  UsageGrouping,
  UsageSums,
  UsageWindow,
} from '../../contracts/usage-query.ts'
import { USAGE_COUNTERS, type UsageCounter } from '../../contracts/usage-report.ts'

export const TITLES: Readonly<Record<UsageCounter, string>> = {
  calls: 'calls',
  ingress: 'ingress bytes',
  egress: 'egress bytes',
  connections: 'connections',
  connectionMs: 'connection time ms',
  callMs: 'call time ms',
  requestMessages: 'request messages',
  responseMessages: 'response messages',
}

const MESSAGES: ReadonlySet<UsageCounter> = new Set(['requestMessages', 'responseMessages'])

/** Those of a table: messages are left out where there are none, as for every service without gRPC. */
export function shownCounters(totals: readonly UsageSums[]): UsageCounter[] {
  return USAGE_COUNTERS.filter(
    counter => !MESSAGES.has(counter) || totals.some(sums => BigInt(sums[counter]) !== 0n),
  )
}

/** A line for what was asked, then the table with its total, each line ended. */
export function usageTable(usage: UsageAnswer): string {
  const whose = usage.tenant === null ? 'all tenants' : `tenant ${usage.tenant}`
  const range = `Usage of ${whose} from ${shortTime(usage.from)} to ${shortTime(usage.to)} UTC`
  if (usage.windows.length === 0) return `${range}: none\n`
  const counters = shownCounters([usage.totals])
  const rows = [
    [...usage.by.map(titleOf), ...counters.map(counter => TITLES[counter])],
    ...usage.windows.map(window => [
      ...usage.by.map(grouping => valueOf(window, grouping)),
      ...counters.map(counter => exact(window[counter])),
    ]),
    [
      ...usage.by.map((_, index) => (index === 0 ? 'total' : '')),
      ...counters.map(counter => exact(usage.totals[counter])),
    ],
  ]
  return `${range}\n\n${align(rows, usage.by.length)}`
}

function titleOf(grouping: UsageGrouping): string {
  return isGrain(grouping) ? `${grouping} (UTC)` : grouping
}

function valueOf(window: UsageWindow, grouping: UsageGrouping): string {
  if (isGrain(grouping)) return shortTime(window.window ?? '')
  return printable(window[grouping] ?? '')
}

function isGrain(grouping: UsageGrouping): grouping is 'minute' | 'hour' | 'day' {
  return grouping === 'minute' || grouping === 'hour' || grouping === 'day'
}

/** Names come over the network and end on a terminal, which obeys control characters. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?')
}

/** `2026-11-22 13:05`; seconds are always 0. */
export function shortTime(iso: string): string {
  return iso.slice(0, 16).replace('T', ' ')
}

export function exact(sum: number | string): string {
  return String(sum).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** The first `texts` columns to the left, the numbers to the right. */
export function align(rows: readonly (readonly string[])[], texts: number): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map(row => row[column]?.length ?? 0)),
  )
  const lines = rows.map(row => {
    const cells = row.map((cell, column) => {
      const width = widths[column] ?? 0
      return column < texts ? cell.padEnd(width) : cell.padStart(width)
    })
    return `${cells.join('  ').trimEnd()}\n`
  })
  return lines.join('')
}

/** Which tables a stretch of time is read from: days and hours where they hold all of it, minutes for the rest. */
import { USAGE_GRAINS, type UsageGrain } from '../../contracts/usage-query.ts'
import type { Marks } from './marks.ts'
import type { UsageTable } from './usage-columns.ts'

export interface UsagePiece {
  readonly table: UsageTable
  readonly from: number
  readonly to: number
}

export type UsagePieces =
  | { readonly kind: 'pieces'; readonly pieces: readonly UsagePiece[] }
  | { readonly kind: 'expired'; readonly unit: UsageGrain; readonly from: number }

const TABLES = { minute: 'usage', hour: 'usage_hour', day: 'usage_day' } as const
const MARKS = { minute: 'minutesFrom', hour: 'hoursFrom', day: 'daysFrom' } as const

export interface Stretch {
  /** Start of the first minute, in milliseconds since the epoch. */
  readonly from: number
  /** Start of the first minute that no longer counts. */
  readonly to: number
  /** What the answer is grouped by; pieces are never larger. */
  readonly grain?: UsageGrain
}

/** Exact: each minute of the stretch is in exactly one piece. */
export function usagePieces({ from, to, grain }: Stretch, marks: Marks): UsagePieces {
  const pieces: UsagePiece[] = []
  for (const [unit, start, end] of cut({ from, to }, grain ?? 'day', marks.rolledUp.at)) {
    if (start >= end) continue
    const kept = marks[MARKS[unit]]
    if (start < kept) return { kind: 'expired', unit, from: kept }
    pieces.push({ table: TABLES[unit], from: start, to: end })
  }
  return { kind: 'pieces', pieces }
}

type Cut = readonly [unit: UsageGrain, from: number, to: number]

/** The largest unit in the middle, the smaller ones at both ends. Hours and days hold nothing behind the roll-up. */
function cut({ from, to }: Stretch, unit: UsageGrain, rolledUp: number): Cut[] {
  if (unit === 'minute') return [['minute', from, to]]
  const smaller = unit === 'day' ? 'hour' : 'minute'
  const length = USAGE_GRAINS[unit]
  const start = Math.ceil(from / length) * length
  const end = Math.floor(Math.min(to, rolledUp) / length) * length
  if (start >= end) return cut({ from, to }, smaller, rolledUp)
  return [
    ...cut({ from, to: start }, smaller, rolledUp),
    [unit, start, end],
    ...cut({ from: end, to }, smaller, rolledUp),
  ]
}

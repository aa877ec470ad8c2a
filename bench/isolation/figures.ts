/** What a run of the benchmark found of one proxy in one scenario; `--json` writes it as it is. */
import type { Machine } from '../harness/result.ts'
import { percentile } from '../harness/statistics.ts'
import type { NoiseCounts } from './noise/noise.ts'
import type { QuietOutcome } from './quiet-client.ts'
import { ALONE } from './scenarios.ts'

export interface ScenarioFigures {
  readonly scenario: string
  readonly peer: string
  /** Of the quiet tenant, answered rightly. */
  readonly calls: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
  /** Its calls that failed. */
  readonly failed: number
  readonly errors: Readonly<Record<string, number>>
  /** How late its calls were made: the load's own fault, and part of the times. */
  readonly lateP99Ms: number
  /** Share of its CPU that the proxy used. */
  readonly busy: number
  /** What became of the noise. */
  readonly noise: NoiseCounts
  /** Times that a share of the calls did not exceed: the curve of the picture. */
  readonly curve: readonly CurvePoint[]
}

export interface CurvePoint {
  readonly share: number
  readonly ms: number
}

export interface IsolationResult {
  readonly started: string
  readonly machine: Machine
  readonly seconds: number
  readonly rounds: number
  /** Calls a second of the quiet tenant. */
  readonly rate: number
  readonly versions: Readonly<Record<string, string>>
  /** Of peers that are not here, or that failed. */
  readonly absent: Readonly<Record<string, string>>
  readonly figures: readonly ScenarioFigures[]
}

/** One round of one proxy in one scenario. */
export interface Round {
  readonly quiet: QuietOutcome
  readonly noise: NoiseCounts
  readonly cpuSeconds: number
  readonly seconds: number
}

/** Shares of the curve, evenly spaced as "one in so many". */
const POINTS = 40
const ONE_IN_MOST = 1_000

/** All rounds as one. */
export function figuresOf(
  { scenario, peer }: { readonly scenario: string; readonly peer: string },
  rounds: readonly Round[],
): ScenarioFigures {
  const sorted = Float64Array.from(rounds.flatMap(({ quiet }) => quiet.times)).toSorted()
  const late = Float64Array.from(rounds.flatMap(({ quiet }) => quiet.late)).toSorted()
  const errors = sumOf(rounds.map(({ quiet }) => quiet.errors))
  const seconds = rounds.reduce((sum, round) => sum + round.seconds, 0)
  return {
    scenario,
    peer,
    calls: sorted.length,
    p50Ms: at(sorted, 0.5),
    p99Ms: at(sorted, 0.99),
    p999Ms: at(sorted, 0.999),
    maxMs: at(sorted, 1),
    failed: Object.values(errors).reduce((sum, count) => sum + count, 0),
    errors,
    lateP99Ms: at(late, 0.99),
    busy: rounds.reduce((sum, round) => sum + round.cpuSeconds, 0) / seconds,
    noise: sumOf(rounds.map(({ noise }) => noise)),
    curve: curveOf(sorted),
  }
}

/** NaN where no call was answered. */
function at(sorted: Float64Array, share: number): number {
  return sorted.length === 0 ? Number.NaN : percentile(sorted, share)
}

function curveOf(sorted: Float64Array): CurvePoint[] {
  if (sorted.length === 0) return []
  return Array.from({ length: POINTS + 1 }, (_, index) => {
    const share = 1 - ONE_IN_MOST ** (-index / POINTS)
    return { share, ms: percentile(sorted, share) }
  })
}

function sumOf(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {}
  for (const counts of all)
    for (const [what, count] of Object.entries(counts)) sum[what] = (sum[what] ?? 0) + count
  return sum
}

/** What is asked of a proxy: by how much the 99th percentile may exceed that without noise. */
const MOST_TIMES = 1.5
const MOST_MORE_MS = 2
/** By how much two percentiles of equally good proxies differ on this machine. */
const SAME_MS = 0.25
const SAME_PART = 0.1

export interface Verdict {
  readonly holds: boolean
  /** In words, and why not. */
  readonly text: string
}

/** What the 99th percentile of a proxy may be in any scenario, by the one that it has alone. In milliseconds. */
export function mostOf({ p99Ms }: ScenarioFigures): number {
  return Math.max(p99Ms * MOST_TIMES, p99Ms + MOST_MORE_MS)
}

/** Of one proxy in one scenario, beside itself alone. Missing where that was not measured. */
export function verdictOf(
  { peer, p99Ms, failed }: ScenarioFigures,
  all: readonly ScenarioFigures[],
): Verdict | undefined {
  const alone = all.find(other => other.peer === peer && other.scenario === ALONE)
  if (alone === undefined) return undefined
  const most = mostOf(alone)
  const faults = [
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(p99Ms <= most ? [] : [`p99 above ${most.toFixed(2)} ms`]),
  ]
  return faults.length === 0
    ? { holds: true, text: 'holds' }
    : { holds: false, text: faults.join(', ') }
}

/** Peers that were better than `own` in its scenario, in the 99th percentile or in failed calls. */
export function betterThan(
  own: ScenarioFigures,
  all: readonly ScenarioFigures[],
): readonly ScenarioFigures[] {
  return all.filter(other => {
    if (other.scenario !== own.scenario || other.peer === own.peer) return false
    if (other.failed !== own.failed) return other.failed < own.failed
    return own.p99Ms > Math.max(other.p99Ms + SAME_MS, other.p99Ms * (1 + SAME_PART))
  })
}

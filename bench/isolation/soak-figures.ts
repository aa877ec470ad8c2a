/** What a soak found, and whether memory stayed flat. */
import { percentile, spreadOf } from '../harness/statistics.ts'
import { MEMORY_FIGURES, type MemoryFigure, type MemorySample } from './memory-watch.ts'
import type { QuietOutcome } from './quiet-client.ts'

export interface SoakStep {
  /** From the start. */
  readonly seconds: number
  readonly memory: MemorySample
  /** Workers that had died by then. */
  readonly restarts: number
  readonly quiet: QuietOutcome
}

export interface Growth {
  readonly figure: MemoryFigure
  /** Medians of the middle and of the last third. */
  readonly middle: number
  readonly last: number
  /** What the last may be. */
  readonly most: number
  readonly isFlat: boolean
}

const MIB = 2 ** 20
const MOST_TIMES = 1.1
/** By how much garbage that is not yet collected moves a median. */
const SLACK_BYTES = 16 * MIB
/** By how much connections that come and go do. */
const SLACK_FILES = 100

/** The first third is what a process needs to find its size. Throws with fewer than three steps. */
export function growthOf(steps: readonly SoakStep[]): Growth[] {
  const third = Math.floor(steps.length / 3)
  const medianOf = (figure: MemoryFigure, part: readonly SoakStep[]): number =>
    spreadOf(part.map(({ memory }) => memory[figure])).median
  return MEMORY_FIGURES.map(figure => {
    const middle = medianOf(figure, steps.slice(third, -third))
    const last = medianOf(figure, steps.slice(-third))
    const most = middle * MOST_TIMES + (isBytes(figure) ? SLACK_BYTES : SLACK_FILES)
    return { figure, middle, last, most, isFlat: last <= most }
  })
}

/** Why it does not hold; empty where it does. */
export function soakFaults(steps: readonly SoakStep[]): string[] {
  const failed = failedOf(steps)
  const restarts = steps.at(-1)?.restarts ?? 0
  return [
    ...growthOf(steps)
      .filter(({ isFlat }) => !isFlat)
      .map(
        ({ figure, last, most }) => `${figure} is ${say(figure, last)}, above ${say(figure, most)}`,
      ),
    ...(failed > 0 ? [`${failed} quiet calls failed`] : []),
    ...(restarts > 0 ? [`${restarts} workers died`] : []),
  ]
}

const ROWS = 12

/** Some ten rows over the time, in Markdown, and one with the verdict on each figure. */
export function soakTable(steps: readonly SoakStep[]): string {
  const size = Math.ceil(steps.length / ROWS)
  const parts = Array.from({ length: Math.ceil(steps.length / size) }, (_, index) =>
    steps.slice(index * size, (index + 1) * size),
  )
  const headings = [
    'minute',
    ...MEMORY_FIGURES.map(figure => (isBytes(figure) ? `${figure} MiB` : figure)),
    'quiet p50 ms',
    'quiet p99 ms',
    'failed',
  ]
  const rows = parts.map(part => [
    ((part.at(-1)?.seconds ?? 0) / 60).toFixed(1),
    ...MEMORY_FIGURES.map(figure =>
      number(figure, spreadOf(part.map(({ memory }) => memory[figure])).median),
    ),
    ...latencyOf(part),
    String(failedOf(part)),
  ])
  const verdict = ['flat', ...growthOf(steps).map(({ isFlat }) => (isFlat ? 'yes' : 'NO'))]
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(headings), line(headings.map(() => '---')), ...[...rows, verdict].map(line)].join(
    '\n',
  )
}

function latencyOf(steps: readonly SoakStep[]): string[] {
  const sorted = Float64Array.from(steps.flatMap(({ quiet }) => quiet.times)).toSorted()
  if (sorted.length === 0) return ['', '']
  return [0.5, 0.99].map(share => percentile(sorted, share).toFixed(2))
}

function failedOf(steps: readonly SoakStep[]): number {
  return steps
    .flatMap(({ quiet }) => Object.values(quiet.errors))
    .reduce((sum, count) => sum + count, 0)
}

function isBytes(figure: MemoryFigure): boolean {
  return figure !== 'worker files'
}

function number(figure: MemoryFigure, value: number): string {
  return isBytes(figure) ? (value / MIB).toFixed(1) : String(Math.round(value))
}

function say(figure: MemoryFigure, value: number): string {
  return `${number(figure, value)}${isBytes(figure) ? ' MiB' : ''}`
}

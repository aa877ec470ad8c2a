/** What a scale benchmark found out, and its table. */
import type { Quartiles, Spread } from '../harness/statistics.ts'

export interface ScaleFigures {
  readonly tenants: number
  readonly startSeconds: number
  /** To all workers, in ms: a line of the file of all, and a file of a directory. */
  readonly lineMs: Spread
  readonly fileMs: Spread
  /** Resident bytes of a worker for each tenant more than ten; none for ten. */
  readonly bytesATenant: number | undefined
  /** CPU of primary and worker together, by round; and beside ten tenants. */
  readonly cpuMicros: Quartiles
  readonly callsASecond: Quartiles
  readonly cpuRatio: Quartiles
  readonly rateRatio: Quartiles
}

const HEADINGS = [
  'tenants',
  'cold start s',
  'change of a line, ms p50 / max',
  'change of a file, ms p50 / max',
  'bytes a tenant a worker',
  'CPU µs a call',
  'of that with ten',
  'calls/s',
  'of those with ten',
]

/** Markdown, so that it can go into the documentation as it is. */
export function scaleTable(figures: readonly ScaleFigures[]): string {
  const rows = figures.map(each => [
    each.tenants.toLocaleString('en'),
    each.startSeconds.toFixed(2),
    `${each.lineMs.median.toFixed(0)} / ${each.lineMs.max.toFixed(0)}`,
    `${each.fileMs.median.toFixed(0)} / ${each.fileMs.max.toFixed(0)}`,
    each.bytesATenant?.toFixed(0) ?? '',
    each.cpuMicros.median.toFixed(1),
    ratioText(each.cpuRatio),
    each.callsASecond.median.toFixed(0),
    ratioText(each.rateRatio),
  ])
  const lines = [HEADINGS, HEADINGS.map(() => '---'), ...rows]
  return lines.map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

function ratioText({ median, lower, upper }: Quartiles): string {
  return `${median.toFixed(2)} (${lower.toFixed(2)} to ${upper.toFixed(2)})`
}

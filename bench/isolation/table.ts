/** The table of the benchmark, in Markdown, and what must be told with it. */
import { betterThan, type IsolationResult, type ScenarioFigures, verdictOf } from './figures.ts'
import { amt } from './peers/amt.ts'

const QUIET_LOAD = 0.5
const LATE_MS = 0.5

const HEADINGS: readonly string[] = [
  'scenario',
  'proxy',
  'p50 ms',
  'p99 ms',
  'p99.9 ms',
  'max ms',
  'calls',
  'failed',
  'p99 ≤ 1.5 × alone or + 2 ms',
  'better than AMT',
  'CPU',
  'the noisy one got',
]

export function isolationTable({ figures }: IsolationResult): string {
  let last = ''
  const rows = figures.map(row => {
    const name = row.scenario === last ? '' : row.scenario
    last = row.scenario
    return [name, ...cellsOf(row, figures)]
  })
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.map(row => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`
  const rule = `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`
  return [line(HEADINGS), rule, ...rows.map(line)].join('\n')
}

function cellsOf(row: ScenarioFigures, all: readonly ScenarioFigures[]): string[] {
  const { peer, p50Ms, p99Ms, p999Ms, maxMs } = row
  const own = peer === amt.name
  return [
    peer,
    ...[p50Ms, p99Ms, p999Ms, maxMs].map(ms => ms.toFixed(2)),
    String(row.calls),
    String(row.failed),
    verdictOf(row, all)?.text ?? '',
    own
      ? betterThan(row, all)
          .map(({ peer }) => peer)
          .join(', ')
      : '',
    `${(row.busy * 100).toFixed(0)} %`,
    noiseText(row.noise),
  ]
}

/** The most frequent first. Bytes as MiB. */
export function noiseText(noise: ScenarioFigures['noise']): string {
  return Object.entries(noise)
    .toSorted(([, a], [, b]) => b - a)
    .map(([what, count]) =>
      what === 'bytes' ? `${Math.round(count / 2 ** 20)} MiB` : `${what}: ${count}`,
    )
    .join(', ')
}

/** What a reader must know before believing a figure. */
export function* isolationNotes({ machine, figures, absent }: IsolationResult): Generator<string> {
  for (const [peer, reason] of Object.entries(absent)) yield `${peer}: ${reason}`
  if (machine.load > QUIET_LOAD)
    yield `the load average was ${machine.load.toFixed(2)}: others were at work on the machine`
  const late = Math.max(...figures.map(({ lateP99Ms }) => lateP99Ms))
  if (late > LATE_MS)
    yield `quiet calls were made ${late.toFixed(2)} ms late (99th percentile): the load is part of the figures`
  for (const { scenario, peer, errors } of figures)
    for (const [what, count] of Object.entries(errors))
      yield `${scenario}: ${peer}: ${count} quiet calls failed: ${what}`
}

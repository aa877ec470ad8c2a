/** The one table that the benchmark prints. */
import type { BenchResult, LaneResult, PeerResult } from './result.ts'
import type { Spread } from './statistics.ts'

/** Above it, somebody else is at work on the machine. */
const QUIET_LOAD = 0.5
const MAX_CLOCK_ERROR = 0.01

const HEADINGS: readonly string[] = [
  'lane',
  'peer',
  'figure',
  'peer/AMT (min to max)',
  'must reach',
  'rate',
  'p50 ms',
  'p99 ms',
  'busy',
  'version',
]

/** Markdown, so that it can go into README.md as it is. */
export function tableOf(result: BenchResult): string {
  const rows = result.lanes.flatMap(rowsOf)
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.map(row => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`
  const rule = `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`
  return [line(HEADINGS), rule, ...rows.map(line)].join('\n')
}

/** What a reader must know before believing a figure. */
export function notesOf({ machine, lanes }: BenchResult): string[] {
  const notes: string[] = []
  if (machine.load > QUIET_LOAD)
    notes.push(
      `the load average was ${machine.load.toFixed(2)}: others were at work on the machine`,
    )
  for (const { lane, figure, peers } of lanes) {
    for (const peer of peers) {
      if (peer.kind !== 'measured') continue
      const told = peer.rounds.map(({ note }) => note).filter(note => note !== undefined)
      if (told.length > 0) notes.push(`${lane}: ${peer.peer}: ${told.at(-1)}`)
      if (!figure.fromCpu) continue
      const clockError = Math.max(...peer.rounds.map(round => round.clockError))
      if (clockError > MAX_CLOCK_ERROR)
        notes.push(
          `${lane}: ${peer.peer}: CPU is only known to ${(clockError * 100).toFixed(1)} %; make --seconds longer`,
        )
    }
  }
  return notes
}

function rowsOf({ lane, figure, peers }: LaneResult): string[][] {
  return peers.map((peer, index) => [index === 0 ? lane : '', peer.peer, ...cellsOf(peer, figure)])
}

function cellsOf(peer: PeerResult, figure: LaneResult['figure']): string[] {
  if (peer.kind === 'absent') return [`absent: ${peer.reason}`]
  if (peer.kind === 'failed') return [`NO RESULT: ${peer.reason.split('\n')[0]?.slice(0, 160)}`]
  const busy = peer.rounds.reduce((sum, round) => sum + round.busy, 0) / peer.rounds.length
  const { rate } = figure
  return [
    `${peer.figure.median.toFixed(figure.digits)} ${figure.unit}`,
    peer.ratio ? spreadText(peer.ratio) : '',
    peer.target ? `${peer.target.text} ${peer.target.reached ? 'reached' : 'MISSED'}` : '',
    `${peer.rate.median.toFixed(rate.digits)} ${rate.unit}`,
    peer.p50Ms?.median.toFixed(2) ?? '',
    peer.p99Ms?.median.toFixed(2) ?? '',
    `${(busy * 100).toFixed(0)} %`,
    peer.version,
  ]
}

function spreadText({ median, min, max }: Spread): string {
  return `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`
}

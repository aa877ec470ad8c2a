/** The figures of all ways beside each other, as Markdown. */
import { spreadOf } from '../harness/statistics.ts'
import type { EndFigures, LoadFigures, WayFigures } from './measure.ts'

type Cell = (figures: WayFigures) => string

const ROWS: readonly (readonly [string, Cell])[] = [
  ['new connections a second', load('plain', ({ perSecond }) => perSecond, 0)],
  ['CPU µs a connection, all workers', load('plain', ({ workersUs }) => workersUs, 0)],
  ['CPU µs a connection, primary', load('plain', ({ primaryUs }) => primaryUs, 0)],
  ['p99 ms', load('plain', ({ p99Ms }) => p99Ms, 1)],
  ['busiest worker, 1 is even', load('plain', ({ unevenness }) => unevenness, 2)],
  ['with 1 ms of work each: a second', load('handshakes', ({ perSecond }) => perSecond, 0)],
  ['… p99 ms', load('handshakes', ({ p99Ms }) => p99Ms, 1)],
  ['… busiest worker', load('handshakes', ({ unevenness }) => unevenness, 2)],
  ['400 that stay: busiest worker', ({ staying }) => median(staying, 2)],
  ['a drain: lost in a queue', ends('drains', ({ lost }) => lost)],
  ['… cut after accept', ends('drains', ({ cut }) => cut)],
  ['… refused', ends('drains', ({ refused }) => refused)],
  ['a kill: lost in a queue', ends('kills', ({ lost }) => lost)],
  ['… cut after accept', ends('kills', ({ cut }) => cut)],
  ['… refused', ends('kills', ({ refused }) => refused)],
]

export function acceptTable(figures: readonly WayFigures[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [
    line(['', ...figures.map(({ way }) => way)]),
    line(['---', ...figures.map(() => '---')]),
    ...ROWS.map(([name, cell]) => line([name, ...figures.map(cell)])),
  ].join('\n')
}

function load(
  which: 'plain' | 'handshakes',
  valueOf: (figures: LoadFigures) => number,
  digits: number,
): Cell {
  return figures => median(figures[which].map(valueOf), digits)
}

/** An end, on average. */
function ends(which: 'drains' | 'kills', countOf: (figures: EndFigures) => number): Cell {
  return figures => {
    const total = figures[which].reduce((sum, one) => sum + countOf(one), 0)
    const count = figures[which].reduce((sum, one) => sum + one.ends, 0)
    return (total / count).toFixed(1)
  }
}

function median(values: readonly number[], digits: number): string {
  const { median: middle, min, max } = spreadOf(values)
  return `${middle.toFixed(digits)} (${min.toFixed(digits)} to ${max.toFixed(digits)})`
}

/** One picture of the whole terminal, line by line. */
import type { Top } from '../../contracts/top.ts'
import { topSummary } from './summary.ts'
import { topTable } from './table.ts'
import { SORT_KEYS, type View } from './view.ts'

export interface Size {
  readonly columns: number
  readonly rows: number
}

/** Summary, a line of what is chosen, and the titles. */
const ABOVE = 4

const REVERSE = '\x1b[7m'
const PLAIN = '\x1b[m'

const HELP: readonly string[] = [
  '',
  '  c e l b i o n m t   sort by calls, errors, limits met, bytes, bytes in, bytes out,',
  '                      open connections, mean time of a call, tenant',
  '  /                   show tenants whose id contains a text; Esc shows all again',
  '  Up Down PgUp PgDn   scroll; g to the beginning',
  '  Space               stop and go on',
  '  h ?                 this help',
  '  q Ctrl-C            quit',
  '',
  '  !      endpoints of the deployment get no calls',
  '  ERR    answered with 5xx or a gRPC status that stands for it',
  '  LIM    met a limit of the tenant, or refused for overload',
  '  MS     mean time of a call, from its first byte to the last of its answer',
  '  LIMIT  use of the limit that is used most: requests, connections, bandwidth',
]

/** Tenants that a terminal of this size shows. */
export function pageOf({ rows }: Size): number {
  return Math.max(1, rows - ABOVE)
}

/** As many lines as there are rows at most, none longer than there are columns, without their ends. `problem`: of the last question. */
export function frameOf(
  view: View,
  top: Top,
  { columns, rows }: Size,
  problem: string | undefined,
): string[] {
  const page = pageOf({ columns, rows })
  const { head, rows: lines } = topTable(top.top.slice(view.offset, view.offset + page), columns)
  const body = view.help ? HELP : [titled(head, columns), ...lines]
  return [
    ...topSummary(top).map(line => line.slice(0, columns)),
    statusOf(view, top, problem).slice(0, columns),
    ...body.map(line => (line.startsWith(REVERSE) ? line : line.slice(0, columns))),
  ].slice(0, rows)
}

function titled(head: string, columns: number): string {
  return `${REVERSE}${head.slice(0, columns).padEnd(columns)}${PLAIN}`
}

function statusOf(view: View, top: Top, problem: string | undefined): string {
  if (view.typing !== undefined) return `show tenants with: ${view.typing}_   (Enter, or Esc)`
  if (problem !== undefined) return `! ${problem}`
  const { matching } = top.tenants
  const first = Math.min(view.offset + 1, matching)
  const parts = [
    `by ${view.by} (${keyOf(view.by)})`,
    ...(view.filter === '' ? [] : [`with "${view.filter}": ${matching}`]),
    ...(view.offset > 0 ? [`from ${first}`] : []),
    ...(view.paused ? ['STOPPED (space goes on)'] : []),
    'h help',
    'q quit',
  ]
  return parts.join('  ')
}

function keyOf(by: View['by']): string {
  return Object.entries(SORT_KEYS).find(([, key]) => key === by)?.[0] ?? ''
}

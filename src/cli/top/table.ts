/** The tenants as a table of as many columns of text as there are, 80 or more. */
import type { TopTenant } from '../../contracts/top.ts'
import { printable } from '../usage/table.ts'
import { shortBytes, shortCount, shortPart } from './figures.ts'

interface Column {
  readonly title: string
  readonly width: number
  readonly value: (tenant: TopTenant) => string
}

/** With the mark and a tenant of 29 characters they take 80. */
const COLUMNS: readonly Column[] = [
  { title: 'CALLS/S', width: 7, value: ({ calls }) => shortCount(calls) },
  { title: 'ERR/S', width: 5, value: ({ errors }) => shortCount(errors) },
  { title: 'LIM/S', width: 5, value: ({ limited }) => shortCount(limited) },
  { title: 'IN/S', width: 5, value: ({ ingress }) => shortBytes(ingress) },
  { title: 'OUT/S', width: 5, value: ({ egress }) => shortBytes(egress) },
  { title: 'CONN', width: 5, value: ({ connections }) => shortCount(connections) },
  { title: 'MS', width: 5, value: ({ meanMs }) => shortCount(meanMs) },
  { title: 'LIMIT', width: 5, value: ({ closest }) => (closest ? shortPart(closest.part) : '-') },
]
/** Where there is room for them. */
const WIDE_COLUMNS: readonly Column[] = [
  { title: 'OF', width: 11, value: ({ closest }) => closest?.limit ?? '-' },
  {
    title: 'UP',
    width: 7,
    value: ({ endpoints }) =>
      endpoints === null ? '-' : `${endpoints.healthy}/${endpoints.healthy + endpoints.ejected}`,
  },
]
const MIN_WIDTH = 80
const NAME_WIDTH = 20
const LONGEST_NAME = 63

export interface Table {
  readonly head: string
  readonly rows: readonly string[]
}

/** No line is longer than `width`, or than 80 where that is less. */
export function topTable(tenants: readonly TopTenant[], width: number): Table {
  const columns = columnsFor(width)
  const figures = columns.reduce((sum, column) => sum + 1 + column.width, 0)
  const room = Math.max(width, MIN_WIDTH) - figures - 1
  const longest = Math.max(NAME_WIDTH, ...tenants.map(({ tenant }) => tenant.length))
  const name = Math.min(room, longest, LONGEST_NAME)
  const line = (mark: string, first: string, cells: readonly string[]): string =>
    [
      `${mark}${fitted(first, name)}`,
      ...cells.map((cell, index) => cell.padStart(columns[index]?.width ?? 0)),
    ].join(' ')
  return {
    head: line(
      ' ',
      'TENANT',
      columns.map(({ title }) => title),
    ),
    rows: tenants.map(tenant =>
      line(
        markOf(tenant),
        printable(tenant.tenant),
        columns.map(({ value }) => value(tenant)),
      ),
    ),
  }
}

function columnsFor(width: number): readonly Column[] {
  const wide = WIDE_COLUMNS.reduce((sum, column) => sum + 1 + column.width, MIN_WIDTH)
  return width >= wide ? [...COLUMNS, ...WIDE_COLUMNS] : COLUMNS
}

/** `!` where endpoints of the deployment get no calls. */
function markOf({ endpoints }: TopTenant): string {
  return endpoints !== null && endpoints.ejected > 0 ? '!' : ' '
}

/** Of a name that is too long the beginning and the end, which mostly tells more than the middle. */
function fitted(text: string, width: number): string {
  if (text.length <= width) return text.padEnd(width)
  const end = Math.floor((width - 2) / 2)
  return `${text.slice(0, width - 2 - end)}..${text.slice(text.length - end)}`
}

/** The state of exports as tables: one line an export, then the items that were asked for. */
import type {
  ExportItemAnswer,
  ExportStatus,
  ExportsAnswer,
} from '../../contracts/export-status.ts'
import { align, exact, printable, shortTime } from '../usage/table.ts'

const TEXTS_OF_STATUS = 3
const TEXTS_OF_ITEM = 9

/** Each line ended. */
export function exportsTable({ exports, items, more }: ExportsAnswer): string {
  if (exports.length === 0) return 'no exports\n'
  const problems = exports
    .filter(({ problem }) => problem !== undefined)
    .map(({ name, problem = '' }) => `\n${name}: ${printable(problem)}\n`)
  const statuses = align([STATUS_TITLES, ...exports.map(statusRow)], TEXTS_OF_STATUS)
  if (items.length === 0) return statuses + problems.join('')
  const listed = align([ITEM_TITLES, ...items.map(itemRow)], TEXTS_OF_ITEM)
  const rest = more ? '… and more\n' : ''
  return `${statuses}${problems.join('')}\n${listed}${rest}`
}

const STATUS_TITLES = [
  'export',
  'kind',
  'closed until (UTC)',
  'pending',
  'refused',
  'expired',
  'uncertain',
]

function statusRow(status: ExportStatus): string[] {
  const counts = [status.pending, status.refused, status.expired, status.uncertain]
  return [
    printable(status.name),
    status.kind ?? 'not configured',
    status.plannedUntil === undefined ? '' : shortTime(status.plannedUntil),
    ...counts.map(({ items }) => exact(items)),
  ]
}

const ITEM_TITLES = [
  'window (UTC)',
  'export',
  'tenant',
  'metric',
  'operation',
  'revision',
  'state',
  'id',
  'reason',
  'value',
]

function itemRow(item: ExportItemAnswer): string[] {
  return [
    shortTime(item.window),
    printable(item.export),
    item.tenant,
    item.metric,
    printable(item.operation ?? ''),
    String(item.revision),
    item.state,
    item.id,
    printable(item.reason ?? ''),
    typeof item.value === 'number' ? exact(item.value) : item.value,
  ]
}

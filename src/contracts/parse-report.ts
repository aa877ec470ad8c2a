/** Reads the body of `POST /v1/report`. */
import type { z } from 'zod'
import { CODE_CLASSES, ROUTABILITIES } from '../core/routability.ts'
import { TENANT_ID_PATTERN } from '../core/tenant-id.ts'
import {
  columnReportSchema,
  MAX_RECORDS_PER_REPORT,
  PRODUCER_PATTERN,
  USAGE_NAME_PATTERN,
  type UsageColumns,
  type UsageRecord,
  type UsageReport,
  usageReportSchema,
} from './usage-report.ts'

export type ParsedReport =
  | { readonly success: true; readonly data: UsageReport }
  | { readonly success: false; readonly error: z.ZodError }

/** A body of either form. */
export function parseReport(body: unknown): ParsedReport {
  if (!isObject(body) || !('columns' in body)) return usageReportSchema.safeParse(body)
  const quick = readColumns(body)
  if (quick !== undefined) return { success: true, data: quick }
  const parsed = columnReportSchema.safeParse(body)
  if (!parsed.success) return parsed
  const { columns, ...head } = parsed.data
  return { success: true, data: { ...head, records: recordsOf(columns) } }
}

/**
 * What the schema says, written out for the form that every proxy sends, at a tenth of its time: a report has tens of
 * thousands of records. Undefined for whatever is not plainly right, which is then the schema's to judge and to explain.
 */
function readColumns(body: Record<string, unknown>): UsageReport | undefined {
  const { producer, first, sequence, columns } = body
  const keys = 'first' in body ? 4 : 3
  if (Object.keys(body).length !== keys || !isObject(columns)) return undefined
  if (typeof producer !== 'string' || !PRODUCER_PATTERN.test(producer)) return undefined
  if (!isCount(sequence) || sequence === 0) return undefined
  if (keys === 4 && (!isCount(first) || first === 0 || first > sequence)) return undefined
  if (!areColumns(columns)) return undefined
  return {
    producer,
    ...(keys === 4 ? { first: first as number } : {}),
    sequence,
    records: recordsOf(columns),
  }
}

const ROUTABILITY_SET: ReadonlySet<unknown> = new Set(ROUTABILITIES)
const CODE_SET: ReadonlySet<unknown> = new Set(CODE_CLASSES)

const CELLS: Readonly<Record<keyof UsageRecord, (cells: readonly unknown[]) => boolean>> = {
  tenant: each(cell => typeof cell === 'string' && TENANT_ID_PATTERN.test(cell)),
  listener: eachName,
  routability: each(cell => ROUTABILITY_SET.has(cell)),
  operation: eachName,
  code: each(cell => CODE_SET.has(cell)),
  window: each(cell => isCount(cell) && cell % 60_000 === 0),
  calls: each(isCount),
  ingress: each(isCount),
  egress: each(isCount),
  connections: each(isCount),
  connectionMs: each(isCount),
  callMs: each(isCount),
  requestMessages: each(isCount),
  responseMessages: each(isCount),
}
const NAMES = Object.keys(CELLS) as (keyof UsageRecord)[]
const MAY_BE_ABSENT: ReadonlySet<keyof UsageRecord> = new Set([
  'requestMessages',
  'responseMessages',
])

function areColumns(columns: Record<string, unknown>): columns is UsageColumns {
  const { tenant } = columns
  if (!Array.isArray(tenant) || tenant.length > MAX_RECORDS_PER_REPORT) return false
  const given = NAMES.filter(name => !MAY_BE_ABSENT.has(name) || Object.hasOwn(columns, name))
  if (Object.keys(columns).length !== given.length) return false
  return given.every(name => {
    const cells = Object.hasOwn(columns, name) ? columns[name] : undefined
    return Array.isArray(cells) && cells.length === tenant.length && CELLS[name](cells)
  })
}

function each(holds: (cell: unknown) => boolean): (cells: readonly unknown[]) => boolean {
  return cells => {
    for (const cell of cells) if (!holds(cell)) return false
    return true
  }
}

/** There are few different ones in a report. */
function eachName(cells: readonly unknown[]): boolean {
  for (const name of new Set(cells)) {
    if (typeof name !== 'string' || name.length > 63 || !USAGE_NAME_PATTERN.test(name)) return false
  }
  return true
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function recordsOf(columns: UsageColumns): UsageRecord[] {
  return columns.tenant.map((tenant, row) => ({
    tenant,
    listener: columns.listener[row] as string,
    routability: columns.routability[row] as UsageRecord['routability'],
    operation: columns.operation[row] as string,
    code: columns.code[row] as UsageRecord['code'],
    window: columns.window[row] as number,
    calls: columns.calls[row] as number,
    ingress: columns.ingress[row] as number,
    egress: columns.egress[row] as number,
    connections: columns.connections[row] as number,
    connectionMs: columns.connectionMs[row] as number,
    callMs: columns.callMs[row] as number,
    requestMessages: columns.requestMessages?.[row] ?? 0,
    responseMessages: columns.responseMessages?.[row] ?? 0,
  }))
}

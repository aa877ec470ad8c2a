/** What a proxy reports to the mixer (`POST /v1/report`), version 1. Units and meanings: docs/metering.md. */
import { z } from 'zod'
import { CODE_CLASSES, ROUTABILITIES } from '../core/routability.ts'
import { TENANT_ID_PATTERN } from '../core/tenant-id.ts'

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER)

export const MAX_RECORDS_PER_REPORT = 50_000
/** Of a report's body, as it is sent and again inflated: a zip bomb is a thousand times its own size. */
export const MAX_REPORT_BYTES: number = 8 * 1024 * 1024

/** How far a window may be ahead of the clock of whoever looks at it; beyond that a clock is or was wrong. */
export const MAX_WINDOW_AHEAD_MS: number = 24 * 3_600_000

const FIRST_IS_LATER = { path: ['first'], message: 'must not be greater than sequence' }

function firstIsNotLater(report: {
  readonly first?: number | undefined
  readonly sequence: number
}): boolean {
  return report.first === undefined || report.first <= report.sequence
}

/** Printable Unicode: a NUL is no text for PostgreSQL, and half a surrogate pair is none in UTF-8. */
export const USAGE_NAME_PATTERN: RegExp = /^[^\p{Cc}\p{Cs}]+$/u
const usageName = z
  .string()
  .min(1)
  .max(63)
  .regex(USAGE_NAME_PATTERN, 'must have no control characters')

export const usageRecordSchema = z.strictObject({
  tenant: z.string().regex(TENANT_ID_PATTERN),
  listener: usageName,
  routability: z.enum(ROUTABILITIES),
  /** Name of the operation; `other` for calls that match none, `tunnel` for connections that are not HTTP. */
  operation: usageName,
  code: z.enum(CODE_CLASSES),
  /** Start of the minute, milliseconds since the epoch, UTC. */
  window: count
    .refine(value => value % 60_000 === 0, 'must be the start of a minute')
    .meta({ multipleOf: 60_000 }),
  calls: count,
  /** Bytes received from downstream, inside TLS. */
  ingress: count,
  /** Bytes sent to downstream, inside TLS. */
  egress: count,
  /** Connections opened. */
  connections: count,
  connectionMs: count,
  callMs: count,
  /** gRPC messages of requests; 0 for all else, and from proxies that do not count them. */
  requestMessages: count.default(0),
  /** gRPC messages of answers. */
  responseMessages: count.default(0),
})
export type UsageRecord = z.infer<typeof usageRecordSchema>

export const PRODUCER_PATTERN: RegExp = /^[A-Za-z0-9._-]{1,128}$/
const sequence = z.number().int().positive().max(Number.MAX_SAFE_INTEGER)
const reportHead = {
  /** Names one journal for ever: a sequence counts within it. */
  producer: z.string().regex(PRODUCER_PATTERN),
  /** Number of the first batch in it; that of its last by default. */
  first: sequence.optional(),
  /**
   * Number of the last batch in it. Batches are numbered 1, 2, 3 … without a gap. A report is applied when its first
   * batch is the next one; one that begins with a batch that is durable changes nothing, whole or in part.
   */
  sequence,
}

/** A report without records closes a gap: its batches are lost for good, and the ones behind them can be reported. */
export const usageReportSchema = z
  .strictObject({ ...reportHead, records: z.array(usageRecordSchema).max(MAX_RECORDS_PER_REPORT) })
  .refine(firstIsNotLater, FIRST_IS_LATER)
export type UsageReport = z.infer<typeof usageReportSchema>

const column = <Cell extends z.ZodType>(cell: Cell): z.ZodArray<Cell> =>
  z.array(cell).max(MAX_RECORDS_PER_REPORT)
const { shape } = usageRecordSchema
const columnsSchema = z.strictObject({
  tenant: column(shape.tenant),
  listener: column(shape.listener),
  routability: column(shape.routability),
  operation: column(shape.operation),
  code: column(shape.code),
  window: column(shape.window),
  calls: column(shape.calls),
  ingress: column(shape.ingress),
  egress: column(shape.egress),
  connections: column(shape.connections),
  connectionMs: column(shape.connectionMs),
  callMs: column(shape.callMs),
  /** Left out where all are 0: most services have no gRPC, and mixers from before know neither. */
  requestMessages: column(count).optional(),
  responseMessages: column(count).optional(),
} satisfies Record<keyof UsageRecord, unknown>)
export type UsageColumns = z.infer<typeof columnsSchema>

/** The same by columns, a third as long and two thirds of that once compressed: what a proxy sends. */
export const columnReportSchema = z
  .strictObject({ ...reportHead, columns: columnsSchema })
  .refine(firstIsNotLater, FIRST_IS_LATER)
  .refine(
    ({ columns }) =>
      new Set(Object.values(columns).flatMap(cells => cells?.length ?? [])).size === 1,
    {
      path: ['columns'],
      message: 'must all be of one length',
    },
  )
type ColumnReport = z.infer<typeof columnReportSchema>

/** What `POST /v1/report` takes. */
export const reportBodySchema: z.ZodType = z.union([usageReportSchema, columnReportSchema])

/** The body of a report as it is sent. */
export function columnReport({ records, ...head }: UsageReport): ColumnReport {
  const cells = <Key extends keyof UsageRecord>(key: Key): UsageRecord[Key][] =>
    records.map(record => record[key])
  const messages = records.some(
    ({ requestMessages, responseMessages }) => requestMessages + responseMessages > 0,
  )
  return {
    ...head,
    columns: {
      tenant: cells('tenant'),
      listener: cells('listener'),
      routability: cells('routability'),
      operation: cells('operation'),
      code: cells('code'),
      window: cells('window'),
      calls: cells('calls'),
      ingress: cells('ingress'),
      egress: cells('egress'),
      connections: cells('connections'),
      connectionMs: cells('connectionMs'),
      callMs: cells('callMs'),
      ...(messages
        ? {
            requestMessages: cells('requestMessages'),
            responseMessages: cells('responseMessages'),
          }
        : {}),
    },
  }
}

/** Answer to a report: all of this producer up to `durable` is in the ledger. */
export const reportAnswerSchema = z.strictObject({
  producer: z.string(),
  durable: z.number().int().nonnegative(),
})
export type ReportAnswer = Readonly<z.infer<typeof reportAnswerSchema>>

/** The sums of a usage query; also the columns of the ledger. */
export const USAGE_COUNTERS = [
  'calls',
  'ingress',
  'egress',
  'connections',
  'connectionMs',
  'callMs',
  'requestMessages',
  'responseMessages',
] as const
export type UsageCounter = (typeof USAGE_COUNTERS)[number]
export type UsageTotals = Record<UsageCounter, number>

/** Sums to add to. */
export function noUsage(): UsageTotals {
  return {
    calls: 0,
    ingress: 0,
    egress: 0,
    connections: 0,
    connectionMs: 0,
    callMs: 0,
    requestMessages: 0,
    responseMessages: 0,
  }
}

/** Exact sums to add to. */
export function noExactUsage(): Record<UsageCounter, bigint> {
  return {
    calls: 0n,
    ingress: 0n,
    egress: 0n,
    connections: 0n,
    connectionMs: 0n,
    callMs: 0n,
    requestMessages: 0n,
    responseMessages: 0n,
  }
}

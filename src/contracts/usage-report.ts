/** What a proxy reports to the mixer (`POST /v1/report`), version 1. Units and meanings: docs/metering.md. */
import { z } from 'zod'
import { CODE_CLASSES, ROUTABILITIES } from '../core/routability.ts'
import { TENANT_ID_PATTERN } from '../core/tenant-id.ts'

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER)

export const MAX_RECORDS_PER_REPORT = 10_000

export const usageRecordSchema = z.strictObject({
  tenant: z.string().regex(TENANT_ID_PATTERN),
  listener: z.string().min(1).max(63),
  routability: z.enum(ROUTABILITIES),
  /** Name of the operation; `other` for calls that match none, `tunnel` for connections that are not HTTP. */
  operation: z.string().min(1).max(63),
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
})
export type UsageRecord = z.infer<typeof usageRecordSchema>

export const usageReportSchema = z.strictObject({
  /** Names one journal for ever: a sequence counts within it. */
  producer: z.string().regex(/^[A-Za-z0-9._-]{1,128}$/),
  /** 1, 2, 3 … without a gap. A repeated one changes nothing. */
  sequence: z.number().int().positive().max(Number.MAX_SAFE_INTEGER),
  records: z.array(usageRecordSchema).max(MAX_RECORDS_PER_REPORT),
})
export type UsageReport = z.infer<typeof usageReportSchema>

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
] as const
export type UsageCounter = (typeof USAGE_COUNTERS)[number]
export type UsageTotals = Record<UsageCounter, number>

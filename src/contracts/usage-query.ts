/** Reading usage back from the mixer (`GET /v1/usage`), version 1. Meanings and defaults: docs/metering.md. */
import { z } from 'zod'
import { CODE_CLASSES, ROUTABILITIES } from '../core/routability.ts'
import type { UsageCounter } from './usage-report.ts'

/** Lengths of time that usage can be grouped by, in milliseconds; days are days in UTC. */
export const USAGE_GRAINS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const
export type UsageGrain = keyof typeof USAGE_GRAINS

export const USAGE_DIMENSIONS = ['tenant', 'listener', 'routability', 'operation', 'code'] as const
export type UsageDimension = (typeof USAGE_DIMENSIONS)[number]

export type UsageGrouping = UsageGrain | UsageDimension
export const USAGE_GROUPINGS: readonly [UsageGrouping, ...UsageGrouping[]] = [
  'minute',
  'hour',
  'day',
  ...USAGE_DIMENSIONS,
]

/** More groups than this are refused instead of cut: an answer that is silently short would be billed. */
export const MAX_USAGE_WINDOWS = 50_000

/** What to ask for; every part may be left out. */
export interface UsageQuery {
  readonly tenant?: string
  /** First moment, ISO 8601 or milliseconds since the epoch. */
  readonly from?: string | number
  /** First moment that no longer counts. */
  readonly to?: string | number
  readonly by?: readonly UsageGrouping[]
  /** The most windows in an answer, which is then a page where there are more. */
  readonly limit?: number
  /** `next` of the page before. */
  readonly cursor?: string
}

/**
 * A sum in an answer. A JSON number as long as that is exact everywhere (up to 2^53 - 1), from there on the same digits
 * as a string: a reader that cannot take it fails, where a number would silently be rounded.
 */
const usageSum = z.union([
  z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER),
  z.string().regex(/^[1-9][0-9]{15,39}$/),
])
export type UsageSum = z.infer<typeof usageSum>

/** One sum as it goes into an answer. */
export function usageSumOf(exact: bigint): UsageSum {
  return exact <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(exact) : String(exact)
}

export type UsageSums = Record<UsageCounter, UsageSum>

/** Sums as they go into an answer. */
export function usageSumsOf(exact: Readonly<Record<UsageCounter, bigint>>): UsageSums {
  return {
    calls: usageSumOf(exact.calls),
    ingress: usageSumOf(exact.ingress),
    egress: usageSumOf(exact.egress),
    connections: usageSumOf(exact.connections),
    connectionMs: usageSumOf(exact.connectionMs),
    callMs: usageSumOf(exact.callMs),
    requestMessages: usageSumOf(exact.requestMessages),
    responseMessages: usageSumOf(exact.responseMessages),
  }
}

const sums = {
  calls: usageSum,
  ingress: usageSum,
  egress: usageSum,
  connections: usageSum,
  connectionMs: usageSum,
  callMs: usageSum,
  /** Whoever answers with neither counts no messages. */
  requestMessages: usageSum.default(0),
  responseMessages: usageSum.default(0),
} satisfies Record<UsageCounter, z.ZodType<UsageSum>>
export const usageSumsSchema: z.ZodType<UsageSums> = z.strictObject(sums)

export const usageWindowSchema = z.strictObject({
  window: z.iso
    .datetime()
    .optional()
    .describe('Start of the minute, hour or day; only where grouped by one of them.'),
  tenant: z.string().optional(),
  listener: z.string().optional(),
  routability: z.enum(ROUTABILITIES).optional(),
  operation: z.string().optional(),
  code: z.enum(CODE_CLASSES).optional(),
  ...sums,
})
export type UsageWindow = z.infer<typeof usageWindowSchema>

export const usageAnswerSchema = z.strictObject({
  tenant: z.string().nullable().describe('Whose usage this is; null for all tenants together.'),
  from: z.iso.datetime().describe('Start of the first minute that counts.'),
  to: z.iso.datetime().describe('Start of the first minute that no longer counts.'),
  by: z.array(z.enum(USAGE_GROUPINGS)),
  totals: z.strictObject(sums).describe('Sums of the windows in this answer.'),
  windows: z
    .array(usageWindowSchema)
    .max(MAX_USAGE_WINDOWS)
    .describe('One for each group that has usage, in order.'),
  next: z
    .string()
    .nullable()
    .describe('`cursor` to ask for the next page with; null where this is all, or the last page.'),
})
export type UsageAnswer = z.infer<typeof usageAnswerSchema>

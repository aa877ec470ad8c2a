/**
 * Quotas: how much a tenant may use in a window of the calendar, and how parts of it are allocated
 * (`POST /v1/quota/allocate`), version 1. Meanings: docs/quotas.md.
 */
import { z } from 'zod'
import { CALENDAR_PERIODS } from '../core/calendar-window.ts'
import { TENANT_ID_PATTERN } from '../core/tenant-id.ts'

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
export const QUOTA_OF_PATTERN: RegExp =
  /^(calls|bytes|ingress|egress|(operation|event):[A-Za-z0-9][A-Za-z0-9._-]{0,62})$/
export const QUOTA_OF_HINT = 'calls, bytes, ingress, egress, operation:NAME or event:NAME'
export const QUOTA_PERIODS = CALENDAR_PERIODS
/** Of one tenant, those of the service included. */
export const MAX_QUOTAS_PER_TENANT = 20

const amount = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER)

/** A quota as the mixer keeps it for a tenant that a proxy has registered. */
export const quotaSchema = z.strictObject({
  /** Unique for the tenant. */
  name: z.string().regex(NAME),
  /** What it counts: calls, bytes, calls of an operation, or what deployments allocate for themselves. */
  of: z.string().regex(QUOTA_OF_PATTERN),
  amount: amount.min(1),
  /** Windows are those of the calendar in UTC. */
  per: z.enum(QUOTA_PERIODS),
})
export type Quota = Readonly<z.output<typeof quotaSchema>>

export const ALLOCATION_MODES = ['normal', 'bestEffort', 'checkOnly'] as const
export type AllocationMode = (typeof ALLOCATION_MODES)[number]

const id = z.string().regex(/^[A-Za-z0-9._:-]{1,128}$/)

export const allocationSchema = z.strictObject({
  id: id.describe('Names this allocation of the tenant: the same id again allocates nothing more.'),
  quota: z.string().regex(NAME).describe('Name of the quota.'),
  amount: amount.min(1),
  mode: z
    .enum(ALLOCATION_MODES)
    .default('normal')
    .describe(
      '`normal`: all or nothing; `bestEffort`: what is left; `checkOnly`: what `normal` would do, without doing it.',
    ),
  tenant: z
    .string()
    .regex(TENANT_ID_PATTERN)
    .optional()
    .describe('Whose quota, where the token is shown; what a deployment says here is ignored.'),
})
export type Allocation = Readonly<z.output<typeof allocationSchema>>

export const allocationAnswerSchema = z.strictObject({
  granted: amount,
  remaining: amount.describe('What is left of the window, after this.'),
  resetAt: z.iso.datetime().describe('When the window ends and the next one begins.'),
  resetInMs: amount.describe('The same from now, in milliseconds: for callers with another clock.'),
})
export type AllocationAnswer = Readonly<z.output<typeof allocationAnswerSchema>>

export const MAX_ALLOCATIONS_PER_CALL = 200

/** Several at once, for the proxy: with the token alone, each with its tenant. */
export const allocationBatchSchema = z.strictObject({
  allocations: z.array(allocationSchema).min(1).max(MAX_ALLOCATIONS_PER_CALL),
})

/** In the order of the request; `refused` is an error code. */
export const allocationBatchAnswerSchema = z.strictObject({
  allocations: z
    .array(
      z.union([
        allocationAnswerSchema,
        z.strictObject({ refused: z.string().regex(/^[a-z0-9_]{1,64}$/) }),
      ]),
    )
    .max(MAX_ALLOCATIONS_PER_CALL),
})
export type AllocationBatchAnswer = Readonly<z.output<typeof allocationBatchAnswerSchema>>

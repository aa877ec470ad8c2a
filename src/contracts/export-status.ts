/** What the mixer says about its exports (`GET /v1/exports`), and what an operator may decide (`POST /v1/exports`). */
import { z } from 'zod'

/**
 * `pending`: will be sent, again if need be. `acknowledged`: the sink has it. The others wait for an operator:
 * `refused` by the sink, `expired` because the sink takes nothing so old, `uncertain` because it may have it and would not
 * know it again.
 */
export const EXPORT_STATES = ['pending', 'acknowledged', 'refused', 'expired', 'uncertain'] as const
export type ExportState = (typeof EXPORT_STATES)[number]

/** Most items in an answer. */
export const MAX_EXPORT_ITEMS = 1_000

/** A JSON number where that is exact everywhere, else the same digits as a string; charges may have a fraction. */
const amount = z.union([
  z.number().int().nonnegative(),
  z.string().regex(/^[0-9]{1,39}(\.[0-9]{1,6})?$/),
])

export const exportItemSchema = z.strictObject({
  export: z.string(),
  id: z.string(),
  tenant: z.string(),
  metric: z.string(),
  operation: z.string().optional(),
  window: z.iso.datetime().describe('Start of the window.'),
  revision: z.number().int().describe('1 for the first amount of a window, then corrections.'),
  value: amount.describe('What is sent.'),
  state: z.enum(EXPORT_STATES),
  attempts: z.number().int(),
  settledAt: z.iso.datetime().optional().describe('When it was acknowledged or given up.'),
  reason: z.string().optional().describe('Why it is not acknowledged.'),
})
export type ExportItemAnswer = z.infer<typeof exportItemSchema>

const waiting = z.strictObject({
  items: z.number().int(),
  oldest: z.iso.datetime().optional().describe('Start of the oldest window among them.'),
})

export const exportStatusSchema = z.strictObject({
  name: z.string(),
  configured: z.boolean().describe('False for one that is in the ledger only.'),
  kind: z.string().optional(),
  plannedUntil: z.iso
    .datetime()
    .optional()
    .describe('Windows before this moment are closed; absent before the first start.'),
  pending: waiting,
  refused: waiting,
  expired: waiting,
  uncertain: waiting,
  problem: z.string().optional().describe('Why nothing of it is sent at the moment.'),
})
export type ExportStatus = z.infer<typeof exportStatusSchema>

export const exportsAnswerSchema = z.strictObject({
  exports: z.array(exportStatusSchema),
  items: z.array(exportItemSchema).max(MAX_EXPORT_ITEMS),
  more: z.boolean().describe('Whether there are more items than these.'),
})
export type ExportsAnswer = z.infer<typeof exportsAnswerSchema>

/** An operator's decision on items that wait for one. */
export const exportDecisionSchema = z.strictObject({
  export: z.string().min(1).max(63),
  ids: z
    .array(z.uuid())
    .min(1)
    .max(MAX_EXPORT_ITEMS)
    .optional()
    .describe('Which items; all that wait for a decision where it is left out.'),
  as: z
    .enum(['pending', 'acknowledged'])
    .describe('`pending`: send again. `acknowledged`: the sink has it, as somebody has looked up.'),
})
export type ExportDecision = z.infer<typeof exportDecisionSchema>

export const exportDecisionAnswerSchema = z.strictObject({ changed: z.number().int() })

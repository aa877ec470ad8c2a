/**
 * What a proxy says before it reports (`POST /v1/producers`): which journals are its own. A report of a producer that
 * nobody has announced is refused, so that a report which went astray, or comes from a folder that was copied out of
 * another installation, is billed to nobody. Announcing again changes nothing.
 */
import { z } from 'zod'
import { PRODUCER_PATTERN } from './usage-report.ts'

export const MAX_PRODUCERS_PER_ANNOUNCEMENT = 100

/** Names one proxy, also after a restart. */
export const proxyNameSchema: z.ZodString = z.string().regex(/^[A-Za-z0-9._-]{1,128}$/)

const producer = z.string().regex(PRODUCER_PATTERN)

export const announcementSchema = z.strictObject({
  proxy: proxyNameSchema,
  producers: z.array(producer).min(1).max(MAX_PRODUCERS_PER_ANNOUNCEMENT),
})
export interface Announcement {
  readonly proxy: string
  readonly producers: readonly string[]
}

export const announcementAnswerSchema = z.strictObject({
  proxy: z.string(),
  producers: z
    .array(z.strictObject({ producer: z.string(), durable: z.number().int().nonnegative() }))
    .describe('Those that were announced, each with the number of its last batch in the ledger.'),
})
export type AnnouncementAnswer = Readonly<z.output<typeof announcementAnswerSchema>>

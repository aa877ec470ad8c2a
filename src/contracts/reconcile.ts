/**
 * The books, for `amt reconcile`: what a proxy has counted, journaled and brought into the ledger (`GET /reconcile` on its
 * admin server), and what the ledger has taken from each producer (`GET /v1/reconcile` on the mixer). Meanings: docs/metering.md.
 */
import { z } from 'zod'
import { MAX_USAGE_WINDOWS, usageSumsSchema } from './usage-query.ts'

const batchNumber = z.number().int().nonnegative()

/** The most producers in a page of the mixer's answer, and the most that can be asked for by name. */
export const MAX_PRODUCERS_PER_PAGE = 100

/** What to ask the mixer for: some producers, or all of them page by page in the order of their names. */
export interface MixerBooksQuery {
  /** At most MAX_PRODUCERS_PER_PAGE; in the address a comma list. */
  readonly producers?: readonly string[]
  /** `next` of the page before. */
  readonly after?: string
  /** Whether the sums of each tenant are asked for too. */
  readonly tenants?: boolean
}

/** What the ledger has of one producer. A producer that it never took anything from is left out. */
export const producerBooksSchema = z.strictObject({
  producer: z.string(),
  proxy: z.string().describe('The one that announced it; empty where none did.'),
  durable: batchNumber.describe('Number of the last batch in the ledger.'),
  appliedAt: z.iso.datetime().describe('When that was applied, by the clock of the mixer.'),
  totals: usageSumsSchema.describe('Sums of all records that were ever applied of it.'),
})
export type ProducerBooks = z.infer<typeof producerBooksSchema>

/** Of one moment: a report is in all of its sums or in none. */
export const mixerBooksSchema = z.strictObject({
  producers: z.array(producerBooksSchema).max(MAX_PRODUCERS_PER_PAGE),
  next: z.string().nullable().describe('Name to go on after; null on the last page.'),
  reported: usageSumsSchema.describe('Sums of the records of all producers.'),
  ledger: usageSumsSchema.describe(
    'Sums of all windows, those that are past retention included: the same as `reported`.',
  ),
  tenants: z
    .array(z.strictObject({ tenant: z.string(), totals: usageSumsSchema }))
    .max(MAX_USAGE_WINDOWS)
    .optional()
    .describe('Sums of the windows of each tenant; only where asked for with `by=tenant`.'),
})
export type MixerBooks = z.infer<typeof mixerBooksSchema>

/** What became of usage since this proxy was started; usage that former starts left in journals is part of it. */
export const usageAccountSchema = z.strictObject({
  counted: usageSumsSchema.describe(
    'What workers say they have counted; of workers that are gone, what their journals say.',
  ),
  journaled: usageSumsSchema.describe('What stands in the journals.'),
  acknowledged: usageSumsSchema.describe('What the ledger has.'),
  setAside: usageSumsSchema.describe('What the mixer refuses for good; kept in files of its own.'),
  pending: usageSumsSchema.describe('Journaled, and neither acknowledged nor set aside.'),
})
export type UsageAccountBooks = z.infer<typeof usageAccountSchema>

export const journalBooksSchema = z.strictObject({
  producer: z.string(),
  state: z
    .enum(['live', 'dead', 'done'])
    .describe('Written by a worker; left by one that is gone; all of it durable.'),
  first: batchNumber.describe('First batch that this start has read: its sums begin with it.'),
  read: batchNumber.describe('Last batch that was read for a report.'),
  durable: batchNumber.describe('Last batch that the ledger has.'),
  acknowledged: usageSumsSchema.describe('Sums of the batches that the ledger has.'),
  setAside: z.number().int().nonnegative().describe('Batches that the mixer refuses for good.'),
  bytesPending: z.number().nonnegative().describe('On disk and not in the ledger.'),
  bytesUnread: z.number().nonnegative().describe('Not in the sums of this answer.'),
  lagSeconds: z.number().nonnegative(),
})
export type JournalBooks = z.infer<typeof journalBooksSchema>

export const proxyBooksSchema = z.strictObject({
  totals: usageAccountSchema,
  tenants: z.array(usageAccountSchema.extend({ tenant: z.string() })),
  next: z.string().nullable().describe('Tenant to go on after; null on the last page.'),
  journals: z.array(journalBooksSchema),
  bytesPending: z.number().nonnegative(),
  bytesUnread: z.number().nonnegative(),
  lagSeconds: z.number().nonnegative(),
})
export type ProxyBooks = z.infer<typeof proxyBooksSchema>

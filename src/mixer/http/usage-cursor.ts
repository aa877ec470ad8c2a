/**
 * Where a page of usage ended, as the text that the next one is asked for with: the query in full and the last group. It
 * is nobody's secret, whoever has it could have asked the same: it is checked as every other parameter.
 */
import { z } from 'zod'
import { USAGE_GROUPINGS, type UsageGrouping } from '../../contracts/usage-query.ts'
import type { LedgerGroup, LedgerGroupKey } from '../ledger/ledger.ts'

/** Longer than any that is made here: five names of 63 characters, each of up to six in JSON. */
const MAX_LENGTH = 4_000

const moment = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER)
const cursorSchema = z.strictObject({
  tenant: z.string().optional(),
  from: moment,
  to: moment,
  by: z.array(z.enum(USAGE_GROUPINGS)).max(USAGE_GROUPINGS.length),
  window: moment.optional(),
  dimensions: z.array(z.string().max(100)).max(USAGE_GROUPINGS.length),
})

export interface UsageCursor {
  readonly tenant: string | undefined
  readonly from: number
  readonly to: number
  readonly by: readonly UsageGrouping[]
  readonly after: LedgerGroupKey
}

export function writeCursor(cursor: Omit<UsageCursor, 'after'>, last: LedgerGroup): string {
  const { tenant, from, to, by } = cursor
  const { window, dimensions } = last
  const text = JSON.stringify({
    tenant,
    from,
    to,
    by,
    window,
    dimensions: Object.values(dimensions),
  })
  return Buffer.from(text).toString('base64url')
}

/** Undefined for what is no cursor. */
export function readCursor(text: string): UsageCursor | undefined {
  if (text.length > MAX_LENGTH || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined
  const parsed = cursorSchema.safeParse(parseJson(Buffer.from(text, 'base64url').toString()))
  if (!parsed.success) return undefined
  const { tenant, from, to, by, window, dimensions } = parsed.data
  return {
    tenant,
    from,
    to,
    by,
    after: { ...(window === undefined ? {} : { window }), dimensions },
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

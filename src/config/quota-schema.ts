/** Quotas in the configuration: how much a tenant may use in a window of the calendar. */
import { z } from 'zod'
import {
  MAX_QUOTAS_PER_TENANT,
  QUOTA_OF_HINT,
  QUOTA_OF_PATTERN,
  QUOTA_PERIODS,
} from '../contracts/quota.ts'
import { name } from './forms.ts'
import { size } from './quantities.ts'

const AMOUNT = 'must be a whole number from 1, or a size such as 10GiB'

const quota = z.strictObject({
  name: name().describe('Name of the quota; one of a tenant replaces that of the service.'),
  of: z
    .string()
    .regex(QUOTA_OF_PATTERN, `must be ${QUOTA_OF_HINT}`)
    .describe(
      'What it counts: `calls`; `bytes`, or only `ingress` or `egress`; `operation:NAME`, calls of one operation; `event:NAME`, what the deployment allocates at the mixer.',
    ),
  amount: z
    .union([z.number().int(), size()], { error: AMOUNT })
    .refine(amount => amount > 0, AMOUNT)
    .describe('How much of it; a number, or a size.'),
  per: z
    .enum(QUOTA_PERIODS)
    .describe('Window, of the calendar in UTC: it begins anew with each second, minute, …, month.'),
})

export const quotas = z.array(quota).max(MAX_QUOTAS_PER_TENANT)

export type QuotaConfig = z.output<typeof quota>

export const quotaFailure = z
  .enum(['open', 'closed'])
  .default('open')
  .describe(
    'What happens to calls of tenants with quotas while the mixer cannot be asked: `open` lets them pass, counted; `closed` refuses them.',
  )

/** What holds for a tenant: its own, and those of the service that it has none of the same name of. */
export function effectiveQuotas(
  ofService: readonly QuotaConfig[],
  own: readonly QuotaConfig[],
): QuotaConfig[] {
  const names = new Set(own.map(given => given.name))
  return [...ofService.filter(given => !names.has(given.name)), ...own]
}

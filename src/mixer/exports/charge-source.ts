/** What the ledger holds of custom events in a window: quantities of charges, in millionths. */
import { chargeMicros, MAX_CHARGE_WINDOWS } from '../../contracts/charge.ts'
import type { ChargeLedger, ChargeQuery, ChargeSum } from '../charges/charge-ledger.ts'
import { isCharge } from './amount.ts'
import type { ExportSpec } from './export-spec.ts'
import type { MetricSum, UsageSource } from './usage-source.ts'

const PREFIX = 'event:'

export function chargeSource(charges: Pick<ChargeLedger, 'sums'>): UsageSource {
  return {
    async sums(spec, window) {
      const sums: MetricSum[] = []
      for (const metric of spec.metrics.filter(isCharge))
        for await (const sum of pages(charges, queryOf(spec, window, metric)))
          sums.push({
            tenant: sum.tenant,
            metric,
            operation: '',
            sum: chargeMicros(sum.quantity),
          })
      return sums.filter(({ sum }) => sum > 0n)
    },
  }
}

function queryOf({ windowMs }: ExportSpec, window: number, metric: string): ChargeQuery {
  return {
    event: metric.slice(PREFIX.length),
    from: window,
    to: window + windowMs,
    by: 'none',
    limit: MAX_CHARGE_WINDOWS,
  }
}

/** Pages are of different moments; what comes between them is later found in addition, as late usage is. */
async function* pages(
  charges: Pick<ChargeLedger, 'sums'>,
  query: ChargeQuery,
): AsyncGenerator<ChargeSum> {
  const found = await charges.sums(query)
  if (found.kind === 'unavailable') throw new Error(found.detail)
  yield* found.sums
  const last = found.sums.at(-1)
  if (found.more && last !== undefined) yield* pages(charges, { ...query, after: last })
}

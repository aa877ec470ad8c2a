/** Rules for quotas: what they count must exist, and a name belongs to one of a list. */

import { MAX_QUOTAS_PER_TENANT } from '../contracts/quota.ts'
import { Claims, type Draft, type Verdicts } from './draft.ts'
import { mention, type Place, placeIn } from './problem.ts'
import { effectiveQuotas, type QuotaConfig } from './quota-schema.ts'

/** What usage records call the calls that match no operation. */
const OTHER = 'other'

export function checkQuotas(draft: Draft, verdicts: Verdicts): void {
  const operations = draft.service && operationNames(draft.service)
  const ofService = draft.quotas ?? []
  const list = { operations, verdicts }
  checkList(ofService, placeIn(draft.root, 'quotas'), list)
  for (const { value, place } of draft.tenants) {
    const own = placeIn(place, 'quotas')
    checkList(value.quotas, own, list)
    const all = effectiveQuotas(ofService, value.quotas).length
    if (all > MAX_QUOTAS_PER_TENANT) {
      verdicts.problem(
        own,
        `the tenant ${value.id} has ${all} quotas with those of the service; allowed are ${MAX_QUOTAS_PER_TENANT}`,
      )
    }
  }
}

function operationNames(service: NonNullable<Draft['service']>): ReadonlySet<string> {
  return new Set([OTHER, ...service.operations.map(({ name }) => name)])
}

interface Checking {
  /** Undefined where the section of the service is wrong by itself. */
  readonly operations: ReadonlySet<string> | undefined
  readonly verdicts: Verdicts
}

function checkList(
  quotas: readonly QuotaConfig[],
  place: Place,
  { operations, verdicts }: Checking,
): void {
  const claims = new Claims()
  for (const [index, { name, of }] of quotas.entries()) {
    const first = claims.claim(name, placeIn(place, index, 'name'))
    if (first) {
      verdicts.problem(
        placeIn(place, index, 'name'),
        `the name ${name} is also that of ${mention(first)}`,
      )
    }
    const [kind, operation] = of.split(':', 2)
    if (kind === 'operation' && operations?.has(operation ?? '') === false) {
      verdicts.problem(
        placeIn(place, index, 'of'),
        `service.operations has no ${operation}, must be one of ${[...operations].slice(0, 20).join(', ')}`,
      )
    }
  }
}

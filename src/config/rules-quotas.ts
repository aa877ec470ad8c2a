/** Rules for quotas: what they count must exist, and a name belongs to one of a list. */

import { MAX_QUOTAS_PER_TENANT } from '../contracts/quota.ts'
import { Claims, type Draft, type Located, type Verdicts } from './draft.ts'
import { mention, type Place, placeIn } from './problem.ts'
import { effectiveQuotas, type QuotaConfig } from './quota-schema.ts'
import type { TenantConfig } from './schema.ts'

/** What usage records call the calls that match no operation. */
const OTHER = 'other'

/** The quotas of the service. */
export function checkQuotas(draft: Draft, verdicts: Verdicts): void {
  const list = { operations: operationNames(draft.service), verdicts }
  checkList(draft.quotas ?? [], placeIn(draft.root, 'quotas'), list)
}

/** The rules for the quotas of a tenant, against a service. */
export class TenantQuotaRules {
  readonly #ofService: readonly QuotaConfig[]
  readonly #operations: ReadonlySet<string> | undefined

  constructor(draft: Draft) {
    this.#ofService = draft.quotas ?? []
    this.#operations = operationNames(draft.service)
  }

  check({ value, place }: Located<TenantConfig>, verdicts: Verdicts): void {
    if (value.quotas.length === 0) return
    const own = placeIn(place, 'quotas')
    checkList(value.quotas, own, { operations: this.#operations, verdicts })
    const all = effectiveQuotas(this.#ofService, value.quotas).length
    if (all > MAX_QUOTAS_PER_TENANT) {
      verdicts.problem(
        own,
        `the tenant ${value.id} has ${all} quotas with those of the service; allowed are ${MAX_QUOTAS_PER_TENANT}`,
      )
    }
  }
}

/** Undefined where the section of the service is wrong by itself. */
function operationNames(service: Draft['service']): ReadonlySet<string> | undefined {
  return service && new Set([OTHER, ...service.operations.map(({ name }) => name)])
}

interface Checking {
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

/** The labels that tenants have in metrics: as many as the configuration allows, and one for all others. */

export const OTHER_TENANTS = '_other'

export class TenantLabels {
  readonly #limit: number
  readonly #labelled = new Set<string>()

  /** `limit`: this many tenants get their own label, in the order of their first use; the rest is summed. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** A tenant keeps the label that it got first: a series that moved between tenants would mix what is not the same. */
  labelOf(tenant: string): string {
    if (this.#labelled.has(tenant)) return tenant
    if (this.#labelled.size >= this.#limit) return OTHER_TENANTS
    this.#labelled.add(tenant)
    return tenant
  }
}

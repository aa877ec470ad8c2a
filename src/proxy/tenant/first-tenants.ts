/** The tenants that a worker starts with, taken as they come: there is nothing yet that they could be in the way of. */
import { decodeTenant } from '../../config/tenant-text.ts'
import { claimsOf } from './claims.ts'
import { DirectoryTables } from './tables.ts'
import { Tenant } from './tenant.ts'

export class FirstTenants {
  readonly tenants: Tenant[] = []
  readonly #tables = DirectoryTables.create()
  readonly #firstIndex: number
  /** How many entries the tables have where no two tenants claim the same. */
  #entries = 0

  constructor(firstIndex: number) {
    this.#firstIndex = firstIndex
  }

  take(texts: readonly string[]): void {
    for (const text of texts) {
      const config = decodeTenant(text)
      const tenant = new Tenant(this.#firstIndex + this.tenants.length, config, text)
      const claims = claimsOf(config)
      this.#tables.put(tenant, claims)
      this.tenants.push(tenant)
      this.#entries += 1 + claims.length
    }
  }

  /**
   * The tables with all of them. Throws an `Error` with both names where two claim the same. Looking for that with each
   * entry would take as long as all the rest, so it is only done where there are too few in the end.
   */
  finish(): DirectoryTables {
    if (this.#tables.size === this.#entries) return this.#tables
    const tables = DirectoryTables.create()
    for (const tenant of this.tenants) tables.add(undefined, tenant, claimsOf(tenant.config))
    return tables
  }
}

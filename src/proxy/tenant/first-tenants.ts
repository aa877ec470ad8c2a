/** The tenants that a worker starts with, taken as they come: there is nothing yet that they could be in the way of. */
import { decodeTenant } from '../../config/tenant-text.ts'
import { type Claim, claimsOf } from './claims.ts'
import { factsInText } from './claims-in-text.ts'
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

  take(texts: Iterable<string>): void {
    for (const text of texts) {
      const index = this.#firstIndex + this.tenants.length
      const { tenant, claims } = fromFacts(index, text) ?? fromConfig(index, text)
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

interface Taken {
  readonly tenant: Tenant
  readonly claims: readonly Claim[]
}

/** A tenant of which its text says all that is needed for now. */
function fromFacts(index: number, text: string): Taken | undefined {
  const facts = factsInText(text)
  if (facts === undefined) return undefined
  const { id, claims } = facts
  return { tenant: new Tenant(index, { id, disabled: false, passthrough: false }, text), claims }
}

function fromConfig(index: number, text: string): Taken {
  const config = decodeTenant(text)
  return { tenant: new Tenant(index, config, text), claims: claimsOf(config) }
}

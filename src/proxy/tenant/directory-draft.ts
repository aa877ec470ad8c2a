/** A change of the directory while it is made: first everything that goes is taken out, then what comes is put in. */

import { decodeTenant } from '../../config/tenant-text.ts'
import { type Claim, claimsOf } from './claims.ts'
import type { DirectoryTables } from './tables.ts'
import { Tenant } from './tenant.ts'
import type { Version } from './versioned-map.ts'

/** Where a claim decides between several owners, another tenant's may win over it without touching it. */
const RANKED: ReadonlySet<string> = new Set([
  'hosts',
  'hostSuffixes',
  'spiffeIds',
  'spiffePrefixes',
  'jwtBindings',
  'issuers',
])

interface Entering {
  readonly tenant: Tenant
  readonly claims: readonly Claim[]
}

export class DirectoryDraft {
  readonly tables: DirectoryTables
  /** Tenants that are gone, or are another object now. */
  readonly left: Tenant[] = []
  /** Tenants that are new, or are another object now. */
  readonly entered: Tenant[] = []
  nextIndex: number
  /** Remembers what is changed in tables that it has in common with others; undefined for tables of the draft's own. */
  readonly #version: Version | undefined
  #entering: Entering[] = []
  /** How much more often each ranked claim is there than before. */
  readonly #ranked = new Map<string, number>()

  constructor(tables: DirectoryTables, version: Version | undefined, nextIndex: number) {
    this.tables = tables
    this.#version = version
    this.nextIndex = nextIndex
  }

  remove(id: string): void {
    const tenant = this.tables.ids.newest(id)
    if (tenant !== undefined) this.#takeOut(tenant)
  }

  /** Takes out the tenant that `text` is about, unless it says the same. The new one waits for `enter`. */
  replace(text: string): void {
    const config = decodeTenant(text)
    const former = this.tables.ids.newest(config.id)
    if (former?.text === text) return
    if (former !== undefined) this.#takeOut(former)
    const index = former === undefined ? this.nextIndex++ : former.index
    this.#entering.push({ tenant: new Tenant(index, config, text), claims: claimsOf(config) })
  }

  /** How many wait for `enter`. */
  get entering(): number {
    return this.#entering.length
  }

  /** Puts up to `most` of those that wait in. Throws an `Error` with both names where something is another one's. */
  enter(most: number): void {
    for (const { tenant, claims } of this.#entering.splice(0, most)) {
      this.tables.add(this.#version, tenant, claims)
      this.entered.push(tenant)
      this.#count(tenant, claims, 1)
    }
  }

  /** Whether names belong to the same tenants as before; not said of tables of the draft's own. */
  get sameNames(): boolean {
    return this.#version !== undefined && [...this.#ranked.values()].every(count => count === 0)
  }

  #takeOut(tenant: Tenant): void {
    const claims = claimsOf(tenant.config)
    this.tables.remove(this.#version, tenant, claims)
    this.left.push(tenant)
    this.#count(tenant, claims, -1)
  }

  #count(tenant: Tenant, claims: readonly Claim[], by: number): void {
    if (this.#version === undefined) return
    for (const { table, key } of claims) {
      if (!RANKED.has(table)) continue
      const name = `${table} ${tenant.id} ${key}`
      this.#ranked.set(name, (this.#ranked.get(name) ?? 0) + by)
    }
  }
}

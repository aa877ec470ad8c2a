/** The maps of a directory, and how a tenant's entries come into them and out of them. */
import { CLAIM_TABLES, type Claim, type ClaimTable, describeClaim } from './claims.ts'
import { type Binding, type BindingShape, withoutShape, withShape } from './jwt-bindings.ts'
import type { Tenant } from './tenant.ts'
import { type Version, VersionedMap } from './versioned-map.ts'

export class DirectoryTables {
  readonly ids: VersionedMap<Tenant>
  readonly claims: Readonly<Record<ClaimTable, VersionedMap<Tenant>>>
  /** By issuer: which sets of claims are bound. */
  readonly shapes: VersionedMap<readonly BindingShape[]>

  private constructor(maps: Pick<DirectoryTables, 'ids' | 'claims' | 'shapes'>) {
    this.ids = maps.ids
    this.claims = maps.claims
    this.shapes = maps.shapes
  }

  static create(): DirectoryTables {
    const claims = CLAIM_TABLES.map(table => [table, new VersionedMap<Tenant>()])
    return new DirectoryTables({
      ids: new VersionedMap(),
      claims: Object.fromEntries(claims) as DirectoryTables['claims'],
      shapes: new VersionedMap(),
    })
  }

  /** Tables of their own that say what `version` of these says. Waits with `pause` between two of them: each may be large. */
  async copy(version: Version, pause: () => Promise<void>): Promise<DirectoryTables> {
    const claims: Partial<Record<ClaimTable, VersionedMap<Tenant>>> = {}
    for (const table of CLAIM_TABLES) {
      claims[table] = this.claims[table].copy(version)
      await pause()
    }
    return new DirectoryTables({
      ids: this.ids.copy(version),
      claims: claims as DirectoryTables['claims'],
      shapes: this.shapes.copy(version),
    })
  }

  /** Takes `tenant` out; `left` is the version that still has it, see `VersionedMap.set`. */
  remove(left: Version | undefined, tenant: Tenant, claims: readonly Claim[]): void {
    this.ids.set(left, tenant.id, undefined)
    for (const { table, key, binding } of claims) {
      // What stands twice with a tenant is out already.
      if (this.claims[table].newest(key) === undefined) continue
      this.claims[table].set(left, key, undefined)
      if (binding === undefined) continue
      const shapes = this.shapes.newest(binding.issuer) ?? []
      this.shapes.set(left, binding.issuer, withoutShape(shapes, binding.shape))
    }
  }

  /** Puts `tenant` in. Throws an `Error` with both names where something is another one's. */
  add(left: Version | undefined, tenant: Tenant, claims: readonly Claim[]): void {
    const namesake = this.ids.newest(tenant.id)
    // An id twice would give two `Tenant` objects, and so two counts, for one tenant.
    if (namesake !== undefined) throw contested(namesake, tenant, tenant.id)
    this.ids.set(left, tenant.id, tenant)
    for (const claim of claims) {
      const { table, key, binding } = claim
      const owner = this.claims[table].newest(key)
      if (owner === tenant) continue
      if (owner !== undefined) throw contested(owner, tenant, describeClaim(claim))
      this.claims[table].set(left, key, tenant)
      if (binding !== undefined) this.#addShape(left, binding)
    }
  }

  /** The same without looking whose anything is: what two claim is the second one's. */
  put(tenant: Tenant, claims: readonly Claim[]): void {
    this.ids.set(undefined, tenant.id, tenant)
    for (const { table, key, binding } of claims) {
      this.claims[table].set(undefined, key, tenant)
      if (binding !== undefined) this.#addShape(undefined, binding)
    }
  }

  /** Entries of all maps together, in the newest version. */
  get size(): number {
    return CLAIM_TABLES.reduce((sum, table) => sum + this.claims[table].size, this.ids.size)
  }

  /** Takes back what was done since `left` was the newest version. */
  restore(left: Version): void {
    this.ids.restore(left)
    for (const table of CLAIM_TABLES) this.claims[table].restore(left)
    this.shapes.restore(left)
  }

  #addShape(left: Version | undefined, { issuer, shape }: Binding): void {
    const shapes = this.shapes.newest(issuer) ?? []
    this.shapes.set(left, issuer, withShape(shapes, shape))
  }
}

function contested(a: Tenant, b: Tenant, what: string): Error {
  return new Error(`tenants "${a.id}" and "${b.id}" both claim ${what}`)
}

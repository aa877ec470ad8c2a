/**
 * Which tenant an address, a name or a credential belongs to. A directory is a snapshot: it never changes, a change makes a
 * new one that is swapped in whole, at the cost of what is different (`versioned-map.ts`).
 */
import type { TenantConfig } from '../../config/schema.ts'
import { encodeTenant } from '../../config/tenant-text.ts'
import { textsOf } from '../../core/claim-path.ts'
import type { ClaimTable } from './claims.ts'
import { DirectoryDraft } from './directory-draft.ts'
import type { FirstTenants } from './first-tenants.ts'
import { normalizeAddress } from './ip-address.ts'
import { boundOwner, type Claims } from './jwt-bindings.ts'
import { DirectoryTables } from './tables.ts'
import type { Tenant } from './tenant.ts'
import { Version } from './versioned-map.ts'

/** A change of this many tenants takes some 3 ms, in which no call goes on. More of them are taken piece by piece. */
const MOST_AT_ONCE = 256

/** What a worker is told of a change; see `TenantChange`. */
export interface DirectoryChange {
  readonly generation: number
  readonly changed: readonly string[]
  readonly removed: readonly string[]
}

/** The snapshot after a change, with what to do about it. */
export interface DirectorySwap {
  readonly directory: TenantDirectory
  /** Tenants that are gone, or are another object now. */
  readonly left: readonly Tenant[]
  /** Tenants that are new, or are another object now. */
  readonly entered: readonly Tenant[]
}

interface Parts {
  readonly generation: number
  readonly namesGeneration: number
  readonly size: number
  readonly nextIndex: number
  readonly tables: DirectoryTables
}

export class TenantDirectory {
  /** Number of the configuration that this was made from; it tells snapshots apart. */
  readonly generation: number
  /** The generation since which hosts, SPIFFE ids, JWT bindings and issuers belong to the same tenants. */
  readonly namesGeneration: number
  /** Number of tenants. */
  readonly size: number
  /** What the next new tenant gets, see `Tenant.index`. */
  readonly nextIndex: number
  readonly #tables: DirectoryTables
  readonly #version = new Version()

  private constructor(parts: Parts) {
    this.generation = parts.generation
    this.namesGeneration = parts.namesGeneration
    this.size = parts.size
    this.nextIndex = parts.nextIndex
    this.#tables = parts.tables
  }

  /** The first snapshot of a process, without tenants. */
  static empty(generation = 0): TenantDirectory {
    const tables = DirectoryTables.create()
    return new TenantDirectory({
      generation,
      namesGeneration: generation,
      size: 0,
      nextIndex: 0,
      tables,
    })
  }

  /** A first snapshot with tenants. Throws as `apply` does. */
  static compile(tenants: readonly TenantConfig[], generation: number): TenantDirectory {
    const changed = tenants.map(encodeTenant)
    return TenantDirectory.empty(-1).apply({ generation, changed, removed: [] }).directory
  }

  /** The snapshot after `previous` that has just `tenants`. Throws as `apply` does. */
  static update(
    previous: TenantDirectory,
    tenants: readonly TenantConfig[],
    generation: number,
  ): TenantDirectory {
    const ids = new Set(tenants.map(({ id }) => id))
    const removed = [...previous.tenants()].map(({ id }) => id).filter(id => !ids.has(id))
    const changed = tenants.map(encodeTenant)
    return previous.apply({ generation, changed, removed }).directory
  }

  /**
   * The snapshot after this one. A tenant whose text is the same keeps its `Tenant` object, a changed one its index; a new
   * id (also one that was away for a while) gets a fresh index. Throws an `Error` that names both tenants where two claim
   * the same thing: the loader refuses such a configuration, so it never gets here, and if it does nothing has changed.
   * Only the newest snapshot takes a change.
   */
  apply({ generation, changed, removed }: DirectoryChange): DirectorySwap {
    const draft = new DirectoryDraft(this.#tables, this.#version, this.nextIndex)
    try {
      for (const id of removed) draft.remove(id)
      for (const text of changed) draft.replace(text)
      draft.enter(draft.entering)
    } catch (error) {
      this.#tables.restore(this.#version)
      throw error
    }
    const swap = this.#swap(draft, generation)
    this.#version.next = swap.directory.#version
    return swap
  }

  /**
   * The same for a change of any size: where it is too large for one turn of the event loop, other tables are made beside
   * those in use, with `pause` between pieces of the work.
   */
  async applyInTurns(change: DirectoryChange, pause: () => Promise<void>): Promise<DirectorySwap> {
    const { generation, changed, removed } = change
    if (changed.length + removed.length <= MOST_AT_ONCE) return this.apply(change)
    const tables = await this.#tables.copy(this.#version, pause)
    const draft = new DirectoryDraft(tables, undefined, this.nextIndex)
    let steps = 0
    const step = async (): Promise<void> => {
      steps += 1
      if (steps % MOST_AT_ONCE === 0) await pause()
    }
    for (const id of removed) {
      draft.remove(id)
      await step()
    }
    for (const text of changed) {
      draft.replace(text)
      await step()
    }
    while (draft.entering > 0) {
      draft.enter(MOST_AT_ONCE)
      await pause()
    }
    return this.#swap(draft, generation)
  }

  /** The snapshot after this one, which has no tenants. Throws as `apply` does. */
  begin(first: FirstTenants, generation: number): DirectorySwap {
    const { tenants } = first
    const nextIndex = this.nextIndex + tenants.length
    const parts = { generation, size: tenants.length, nextIndex }
    const tables = first.finish()
    const directory = new TenantDirectory({ ...parts, namesGeneration: generation, tables })
    return { directory, left: [], entered: tenants }
  }

  /** Whether some tenant ends TLS itself: only then names in a ClientHello are of interest. */
  get hasPassthrough(): boolean {
    return !this.#hasNone('passthrough')
  }

  /** Whether some tenant has a limit of TLS handshakes of its own: then it matters whom one is begun for. */
  get hasHandshakeLimits(): boolean {
    return !this.#hasNone('handshakeLimits')
  }

  *tenants(): Generator<Tenant> {
    for (const [, tenant] of this.#tables.ids.entries(this.#version)) yield tenant
  }

  /** Those that have an address of their own, each in the form of `normalizeAddress`. */
  addresses(): Generator<[address: string, tenant: Tenant]> {
    return this.#tables.claims.addresses.entries(this.#version)
  }

  byId(id: string): Tenant | undefined {
    return this.#tables.ids.get(this.#version, id)
  }

  /** `address` as a socket gives it: any text of an IPv4, IPv6 or IPv4-mapped address. */
  byAddress(address: string): Tenant | undefined {
    const exact = this.#owner('addresses', address)
    if (exact !== undefined) return exact
    const normal = normalizeAddress(address)
    return normal === undefined ? undefined : this.#owner('addresses', normal)
  }

  /** `name` as `normalizeHost` gives it. The exact name wins, then the longest `*.` that it lies under, at any depth. */
  byHost(name: string): Tenant | undefined {
    const exact = this.#owner('hosts', name)
    if (exact !== undefined || this.#hasNone('hostSuffixes')) return exact
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      // "*" stands for at least one character: ".example.com" lies under nothing.
      const tenant = dot === 0 ? undefined : this.#owner('hostSuffixes', name.slice(dot + 1))
      if (tenant !== undefined) return tenant
    }
    return undefined
  }

  /** `hex`: 64 lower-case hexadecimal digits. */
  byApiKeyDigest(hex: string): Tenant | undefined {
    return this.#owner('apiKeys', hex)
  }

  /** `hex`: SHA-256 of the certificate's DER, 64 lower-case hexadecimal digits. */
  byCertificateDigest(hex: string): Tenant | undefined {
    return this.#owner('certificates', hex)
  }

  /** `key`: as `ProxyFacts.privateLink` has it. */
  byPrivateLink(key: string): Tenant | undefined {
    return this.#owner('privateLinks', key)
  }

  /** `uri`: a checked SPIFFE id. The exact id wins, then the longest prefix ending in `/*`. */
  bySpiffeId(uri: string): Tenant | undefined {
    const exact = this.#owner('spiffeIds', uri)
    if (exact !== undefined || this.#hasNone('spiffePrefixes')) return exact
    for (let slash = uri.lastIndexOf('/'); slash > 0; slash = uri.lastIndexOf('/', slash - 1)) {
      const tenant = this.#owner('spiffePrefixes', uri.slice(0, slash + 1))
      if (tenant !== undefined) return tenant
    }
    return undefined
  }

  /**
   * The tenant of a verified token: by the claims that tenants list for its issuer, else the one whose id the tenant
   * claim is, or has among others. Claims that point at two tenants point at none.
   */
  byJwt(issuer: string, tenantClaimValue: unknown, claims: Claims): Tenant | undefined {
    const shapes = this.#tables.shapes.get(this.#version, issuer)
    const bound =
      shapes && boundOwner({ issuer, claims }, shapes, key => this.#owner('jwtBindings', key))
    if (bound !== undefined) return bound === 'ambiguous' ? undefined : bound
    let found: Tenant | undefined
    for (const id of textsOf(tenantClaimValue)) {
      const tenant = this.byId(id)
      if (tenant !== undefined && found !== undefined && tenant !== found) return undefined
      found = tenant ?? found
    }
    return found
  }

  /** The tenant whose own issuer (`tenants[].jwt`) this is. */
  byIssuer(issuer: string): Tenant | undefined {
    return this.#owner('issuers', issuer)
  }

  #owner(table: ClaimTable, key: string): Tenant | undefined {
    return this.#tables.claims[table].get(this.#version, key)
  }

  /** For a quick look in the newest snapshot; an older one may only be asked in vain. */
  #hasNone(table: ClaimTable): boolean {
    return this.#version.next === undefined && this.#tables.claims[table].size === 0
  }

  #swap(draft: DirectoryDraft, generation: number): DirectorySwap {
    const { tables, nextIndex, left, entered, sameNames } = draft
    const size = this.size - left.length + entered.length
    const namesGeneration = sameNames ? this.namesGeneration : generation
    const parts = { generation, namesGeneration, size, nextIndex, tables }
    for (const tenant of left) tenant.current = false
    return { directory: new TenantDirectory(parts), left, entered }
  }
}

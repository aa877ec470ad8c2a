/** What several proxies say of the same tenants, put together. */
import type { TenantRegistration } from '../../contracts/registration.ts'
import type { RegisteredTenant } from './registry.ts'

export interface Page {
  readonly digest: string
  readonly tenants: readonly TenantRegistration[]
}

/** What one proxy says. */
export interface Snapshot {
  readonly service: string
  readonly generation: number
  readonly pages: readonly Page[]
}

/** By tenant id. Proxies of one configuration have the same pages, which then cost nothing but their digests. */
export function mergeSnapshots(
  snapshots: readonly Snapshot[],
): ReadonlyMap<string, RegisteredTenant> {
  const merged = new Map<string, RegisteredTenant>()
  const seen = new Set<string>()
  for (const { service, pages } of snapshots.toSorted((a, b) => b.generation - a.generation)) {
    for (const { digest, tenants } of pages) {
      if (seen.has(digest)) continue
      seen.add(digest)
      for (const tenant of tenants) {
        const newer = merged.get(tenant.id)
        merged.set(
          tenant.id,
          newer === undefined ? { ...tenant, service } : withPlacesOf(newer, tenant),
        )
      }
    }
  }
  return merged
}

function withPlacesOf(newer: RegisteredTenant, older: TenantRegistration): RegisteredTenant {
  return {
    ...newer,
    endpoints: union(newer.endpoints, older.endpoints),
    spiffe: union(newer.spiffe, older.spiffe),
    addresses: union(newer.addresses, older.addresses),
  }
}

function union(first: readonly string[], second: readonly string[]): string[] {
  return [...new Set([...first, ...second])]
}

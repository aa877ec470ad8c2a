/**
 * When API keys were last used, as the workers have reported it. It outlives workers, but not the proxy: after a restart
 * it says nothing of a key until that is used again, and `since` tells how far back it can say anything at all.
 */
import type { TenantConfig } from '../../config/schema.ts'
import type { Clock } from '../../core/clock.ts'
import type { KeyUse } from '../ipc.ts'

export class ApiKeyUses {
  /** From when on uses are known, in ms since the epoch. */
  readonly since: number
  readonly #tenant: (id: string) => TenantConfig | undefined
  /** By tenant, then by digest: second of the last use. Only tenants and keys of the configuration are in it. */
  readonly #uses = new Map<string, Map<string, number>>()

  constructor(deps: {
    readonly clock: Clock
    readonly tenant: (id: string) => TenantConfig | undefined
  }) {
    this.since = deps.clock.now()
    this.#tenant = deps.tenant
  }

  record(uses: readonly KeyUse[]): void {
    for (const { tenant: id, digest, at } of uses) {
      const tenant = this.#tenant(id)
      // A worker may use for a moment what is no longer configured.
      if (tenant === undefined || !hasKey(tenant, digest)) continue
      const ofTenant = this.#usesOf(tenant)
      ofTenant.set(digest, Math.max(at, ofTenant.get(digest) ?? 0))
    }
  }

  /** Milliseconds since the epoch, to the second; undefined where no use is known. */
  lastUse(tenant: string, digest: string): number | undefined {
    const second = this.#uses.get(tenant)?.get(digest)
    return second === undefined ? undefined : second * 1_000
  }

  /** Tenants that the configuration no longer names are forgotten. */
  forgetRemoved(): void {
    for (const id of this.#uses.keys()) if (this.#tenant(id) === undefined) this.#uses.delete(id)
  }

  /** Keys that a tenant no longer has go when they are as many as those that it has. */
  #usesOf(tenant: TenantConfig): Map<string, number> {
    let ofTenant = this.#uses.get(tenant.id)
    if (ofTenant === undefined) {
      ofTenant = new Map()
      this.#uses.set(tenant.id, ofTenant)
    }
    if (ofTenant.size > 2 * tenant.credentials.length)
      for (const digest of ofTenant.keys()) if (!hasKey(tenant, digest)) ofTenant.delete(digest)
    return ofTenant
  }
}

function hasKey({ credentials }: TenantConfig, digest: string): boolean {
  return credentials.some(each => 'apiKey' in each && each.apiKey.endsWith(digest))
}

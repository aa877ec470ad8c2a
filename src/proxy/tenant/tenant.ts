import type { TenantConfig } from '../../config/schema.ts'

/**
 * A tenant as a worker knows it. One object lives as long as its configuration does not change, so identity comparison
 * says whether two pieces of evidence name the same tenant. What a tenant needs at run time (pool, limiter, counters) is
 * kept by whoever owns it, in arrays indexed by `index`; a tenant without traffic costs this object and its map entries.
 */
export class Tenant {
  /** Small and unique in this worker; never used again for another tenant id. */
  readonly index: number
  readonly id: string
  readonly config: TenantConfig

  constructor(index: number, config: TenantConfig) {
    this.index = index
    this.id = config.id
    this.config = config
  }
}

/**
 * When API keys were last used, as the workers have reported it. It outlives workers, but not the proxy: after a restart
 * it says nothing of a key until that is used again, and `since` tells how far back it can say anything at all.
 */
import type { Clock } from '../../core/clock.ts'
import type { KeyUse } from '../ipc.ts'

export class ApiKeyUses {
  /** From when on uses are known, in ms since the epoch. */
  readonly since: number
  readonly #text: (id: string) => string | undefined
  /** By tenant, then by digest: second of the last use. Only tenants and keys of the configuration are in it. */
  readonly #uses = new Map<string, Map<string, number>>()

  constructor(deps: {
    readonly clock: Clock
    /** A tenant of the configuration, as `encodeTenant` writes it. */
    readonly text: (id: string) => string | undefined
  }) {
    this.since = deps.clock.now()
    this.#text = deps.text
  }

  record(uses: readonly KeyUse[]): void {
    for (const { tenant, digest, at } of uses) {
      const text = this.#text(tenant)
      // A worker may use for a moment what is no longer configured.
      if (text === undefined || !text.includes(digest)) continue
      const ofTenant = this.#usesOf(tenant, text)
      ofTenant.set(digest, Math.max(at, ofTenant.get(digest) ?? 0))
    }
  }

  /** Milliseconds since the epoch, to the second; undefined where no use is known. */
  lastUse(tenant: string, digest: string): number | undefined {
    const second = this.#uses.get(tenant)?.get(digest)
    return second === undefined ? undefined : second * 1_000
  }

  /** Tenants that the configuration no longer names. */
  forget(tenants: readonly string[]): void {
    for (const id of tenants) this.#uses.delete(id)
  }

  /** Keys that a tenant no longer has go when they are as many as those that it has. */
  #usesOf(tenant: string, text: string): Map<string, number> {
    let ofTenant = this.#uses.get(tenant)
    if (ofTenant === undefined) {
      ofTenant = new Map()
      this.#uses.set(tenant, ofTenant)
    }
    const keys = text.split('"apiKey"').length - 1
    if (ofTenant.size > 2 * keys)
      for (const digest of ofTenant.keys()) if (!text.includes(digest)) ofTenant.delete(digest)
    return ofTenant
  }
}

/** The tenants in force as the admin server shows them; made when it is asked, so that a change costs nothing for it. */
import type { ConfigStore } from '../../config/config-store.ts'
import type { Config, TenantConfig } from '../../config/schema.ts'

export class TenantView {
  readonly #store: ConfigStore
  #ids: readonly string[] | undefined

  constructor(store: ConfigStore) {
    this.#store = store
  }

  /** The tenants have changed. */
  changed(): void {
    this.#ids = undefined
  }

  /** Of all tenants, sorted. */
  ids(): readonly string[] {
    this.#ids ??= [...this.#store.ids()].toSorted()
    return this.#ids
  }

  get size(): number {
    return this.#store.size
  }

  tenant(id: string): TenantConfig | undefined {
    return this.#store.tenant(id)
  }

  /** The configuration with all its tenants. */
  wholeConfig(): Config {
    const tenants = this.ids().flatMap(id => this.#store.tenant(id) ?? [])
    return { ...this.#store.config, tenants }
  }
}

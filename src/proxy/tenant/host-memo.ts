/** Remembers whose hosts are: each is looked up with every call that asks for it, and to look it up normalizes it. */
import { flatCopy } from '../../codec/latin1.ts'
import type { TenantDirectory } from './directory.ts'
import { normalizeHost } from './host-name.ts'
import type { Tenant } from './tenant.ts'

/** Anybody can ask for any host, so it is emptied when it is full. */
const MAX_HOSTS = 4_096
const MAX_HOST_CHARS = 255
/** Whose a host is that is no tenant's. */
const NOBODY = null

export class HostMemo {
  readonly #tenants = new Map<string, Tenant | typeof NOBODY>()
  /** Of the snapshots that say so. */
  #namesGeneration = Number.NaN

  tenantOf(host: string, directory: TenantDirectory): Tenant | undefined {
    if (host === '') return undefined
    if (directory.namesGeneration !== this.#namesGeneration) {
      this.#namesGeneration = directory.namesGeneration
      this.#tenants.clear()
    }
    const known = this.#tenants.get(host)
    if (known === NOBODY) return undefined
    if (known?.current === true) return known
    const tenant = directory.byHost(normalizeHost(host))
    if (this.#tenants.size >= MAX_HOSTS) this.#tenants.clear()
    const copy = host.length <= MAX_HOST_CHARS ? flatCopy(host) : undefined
    if (copy !== undefined) this.#tenants.set(copy, tenant ?? NOBODY)
    return tenant
  }
}

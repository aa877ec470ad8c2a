/** Remembers whose the last host was: most calls of a connection ask for the same one, and looking it up normalizes it. */
import type { TenantDirectory } from './directory.ts'
import { normalizeHost } from './host-name.ts'
import type { Tenant } from './tenant.ts'

export class HostMemo {
  #host = ''
  #tenant: Tenant | undefined
  /** The snapshot that said so. */
  #directory: TenantDirectory | undefined

  tenantOf(host: string, directory: TenantDirectory): Tenant | undefined {
    if (host !== this.#host || directory !== this.#directory) {
      this.#host = host
      this.#directory = directory
      this.#tenant = directory.byHost(normalizeHost(host))
    }
    return this.#tenant
  }
}

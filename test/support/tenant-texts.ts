/** The tenants in force as the workers get them: by id, each as text. */
import type { TenantConfig } from '../../src/config/schema.ts'
import { encodeTenant } from '../../src/config/tenant-text.ts'
import type { TenantChange } from '../../src/proxy/ipc.ts'

type Difference = Pick<TenantChange, 'changed' | 'removed'>

export class TenantTexts {
  #texts: ReadonlyMap<string, string> = new Map()

  get size(): number {
    return this.#texts.size
  }

  /** All of this moment; a later change leaves them alone. */
  all(): string[] {
    return [...this.#texts.values()]
  }

  /** `tenants` instead of those that were there. Returns what is different. */
  replace(tenants: readonly TenantConfig[]): Difference {
    const former = this.#texts
    const texts = new Map(tenants.map(tenant => [tenant.id, encodeTenant(tenant)]))
    this.#texts = texts
    return {
      changed: [...texts].filter(([id, text]) => former.get(id) !== text).map(([, text]) => text),
      removed: [...former.keys()].filter(id => !texts.has(id)),
    }
  }
}

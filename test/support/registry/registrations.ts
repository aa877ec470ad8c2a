/** Registrations as a proxy makes them, for tests of the mixer. */
import {
  type Registration,
  registeredTenantSchema,
  type TenantRegistration,
} from '../../../src/contracts/registration.ts'
import { pageDigest } from '../../../src/runtime/registration/page-digest.ts'

export function tenant(id: string, more: Partial<TenantRegistration> = {}): TenantRegistration {
  return registeredTenantSchema.parse({ id, endpoints: [], ...more })
}

/** A whole snapshot, with each list of tenants as a page. */
export function registration(
  generation: number,
  pages: readonly (readonly TenantRegistration[])[],
  more: Partial<Registration> = {},
): Registration {
  const content = pages.map(tenants => ({ digest: pageDigest(tenants), tenants: [...tenants] }))
  return {
    proxy: 'proxy-1',
    service: 'notes',
    generation,
    pages: content.map(({ digest }) => digest),
    content,
    ...more,
  }
}

/** The small request of a proxy that does not know yet what the mixer has. */
export function announcement(whole: Registration): Registration {
  return { ...whole, content: [] }
}

/** How a page of a registration is named; proxy and mixer have to come to the same name. */
import { createHash } from 'node:crypto'
import type { TenantRegistration } from '../../contracts/registration.ts'

/** SHA-256, base64url, of the tenants as JSON without spaces and with sorted keys. */
export function pageDigest(tenants: readonly TenantRegistration[]): string {
  return digestOfJson(canonicalJson(tenants))
}

/** The same of tenants that are in this form already. */
export function digestOfJson(json: string): string {
  return createHash('sha256').update(json).digest('base64url')
}

/** JSON without spaces and with sorted keys. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

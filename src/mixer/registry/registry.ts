/**
 * Whose deployments there are: what proxies have registered, in memory for look-ups and in the ledger so that a mixer that
 * starts again, or a second one, knows it too.
 */
import type { Registration, TenantRegistration } from '../../contracts/registration.ts'

/**
 * A tenant as all proxies together describe it. Where it can be met is the union of what they say; what they contradict
 * each other in (`service`, `disabled`, `quotas`) is as the proxy with the newest generation says.
 */
export interface RegisteredTenant extends TenantRegistration {
  readonly service: string
}

export type RegisterResult =
  /** The snapshot is in force, for good. */
  | { readonly kind: 'registered'; readonly generation: number }
  /** These pages are still to come; what was in force before stays so until then. */
  | { readonly kind: 'missing'; readonly generation: number; readonly missing: readonly string[] }
  /** A newer snapshot of this proxy, or another one of this generation, is known; nothing has changed. */
  | { readonly kind: 'outdated'; readonly generation: number }
  /** The content does not have the digest that it is given under. */
  | { readonly kind: 'malformed'; readonly problem: string }
  /** There are as many proxies as the registry has place for. */
  | { readonly kind: 'full' }
  | { readonly kind: 'unavailable'; readonly detail: string }

/** Whose something is: one tenant's, several tenants' and so no evidence, or nobody's. */
export type Owner = RegisteredTenant | 'shared' | undefined

export interface Registry {
  register(registration: Registration): Promise<RegisterResult>
  /** Undefined for one that no proxy knows. */
  tenant(id: string): RegisteredTenant | undefined
  /** In no particular order. */
  tenants(): Iterable<RegisteredTenant>
  /** `id`: a checked SPIFFE id. */
  bySpiffe(id: string): Owner
  /** `address`: an IP address as a socket gives it. Loopback addresses belong to nobody. */
  byAddress(address: string): Owner
  /** The tenant with an endpoint at this address and port. */
  byEndpoint(address: string, port: number): Owner
  /** Changes whenever anything else here may answer differently. */
  readonly version: number
  close(): Promise<void>
}

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
  /** The content does not have the digest that it is given under, or is none of the pages. */
  | { readonly kind: 'malformed'; readonly problem: string }
  /** There are as many proxies as the registry has place for. */
  | { readonly kind: 'full' }
  | { readonly kind: 'unavailable'; readonly detail: string }

/** Whose an address is. With more than one owner, or with owners yet to be found, it is evidence for none of them. */
export interface AddressOwners {
  readonly owners: readonly RegisteredTenant[]
  /** False while a host name of some endpoint has not been resolved: it may lead to this address too. */
  readonly complete: boolean
}

/** Look-ups of one moment; all addresses are texts as `canonicalIp` gives them. */
export interface Deployments {
  /** Undefined for one that no proxy knows. */
  tenant(id: string): RegisteredTenant | undefined
  /** In no particular order. */
  tenants(): Iterable<RegisteredTenant>
  /** `id`: a checked SPIFFE id. */
  bySpiffe(id: string): readonly RegisteredTenant[]
  byAddress(address: string): AddressOwners
  /** Tenants with an endpoint there, by its address or by a name that leads to it; loopback addresses are no exception. */
  byEndpoint(address: string, port: number): readonly RegisteredTenant[]
  /** The loopback addresses at which there is an endpoint with this port. */
  loopbackAddresses(port: number): ReadonlySet<string>
  /** Changes whenever a look-up may answer differently. */
  readonly version: number
}

export interface Registry extends Deployments {
  register(registration: Registration): Promise<RegisterResult>
  /** Proxies and tenants that are known, for metrics. */
  readonly size: { readonly proxies: number; readonly tenants: number }
  close(): Promise<void>
}

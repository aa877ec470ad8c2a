import type { TenantConfig } from '../../config/schema.ts'
import { decodeTenant, encodeTenant } from '../../config/tenant-text.ts'
import type { Routability } from '../../core/routability.ts'

/** "This traffic is `tenant`'s, known by that kind of evidence." Frozen; one object a tenant and kind. */
export interface RoutedVerdict {
  readonly kind: 'routed'
  readonly tenant: Tenant
  readonly routability: Exclude<Routability, 'unroutable'>
}

/** What is asked so often that it stands with the tenant, and not in its text alone. */
export type TenantFacts = Pick<TenantConfig, 'id' | 'disabled' | 'passthrough'>

/** The first call of a tenant asks several times. */
let lastRead: { readonly tenant?: Tenant; readonly config?: TenantConfig } = {}

/**
 * A tenant as a worker knows it. One object lives as long as its configuration does not change, so identity comparison
 * says whether two pieces of evidence name the same tenant. What a tenant needs at run time (pool, limiter, counters) is
 * kept by whoever owns it, in arrays indexed by `index`; a tenant without traffic costs this object, its text, and its map
 * entries.
 */
export class Tenant {
  /** Small and unique in this worker; never used again for another tenant id. */
  readonly index: number
  readonly id: string
  /** The configuration, as `encodeTenant` writes it. */
  readonly text: string
  /** Here as well since classifying asks with every call. */
  readonly disabled: boolean
  /** Whether it ends TLS itself; here for the same reason. */
  readonly passthrough: boolean
  /** Whether it takes nothing new, because an operator has said so; the worker keeps it. */
  draining = false
  /** False as soon as a newer snapshot has no such tenant, or another object for it. */
  current = true
  /** Made with the first call that needs them, so that classifying allocates nothing and an idle tenant holds none. */
  #l4: RoutedVerdict | undefined = undefined
  #l7: RoutedVerdict | undefined = undefined
  #private: RoutedVerdict | undefined = undefined

  /** Of `config`, which is not kept. */
  static of(index: number, config: TenantConfig): Tenant {
    return new Tenant(index, config, encodeTenant(config))
  }

  /** `text` is what `encodeTenant` makes of its configuration, `facts` are some of what that says. */
  constructor(index: number, facts: TenantFacts, text: string) {
    this.index = index
    this.text = text
    this.id = facts.id
    this.disabled = facts.disabled
    this.passthrough = facts.passthrough
  }

  /** Read from the text each time, unless it was read last of all: some 5 µs. Whoever needs some of it for longer keeps that. */
  get config(): TenantConfig {
    if (lastRead.tenant !== this) lastRead = { tenant: this, config: decodeTenant(this.text) }
    return lastRead.config as TenantConfig
  }

  /** There is no traffic: lets go of what was made for that. */
  release(): void {
    this.#l4 = undefined
    this.#l7 = undefined
    this.#private = undefined
  }

  /** The verdict that routes to this tenant; the same object each time until it is released. */
  routedBy(routability: RoutedVerdict['routability']): RoutedVerdict {
    switch (routability) {
      case 'l4':
        this.#l4 ??= this.#verdict('l4')
        return this.#l4
      case 'l7':
        this.#l7 ??= this.#verdict('l7')
        return this.#l7
      case 'private':
        this.#private ??= this.#verdict('private')
        return this.#private
    }
  }

  #verdict(routability: RoutedVerdict['routability']): RoutedVerdict {
    return Object.freeze({ kind: 'routed', tenant: this, routability })
  }
}

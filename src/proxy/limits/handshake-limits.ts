/**
 * How many TLS handshakes a second are begun for each tenant in one worker. They are counted before the client has proved
 * anything, by the name that it asks for or the address that it came to, so they are apart from what a tenant has at run
 * time: who asks for a name makes no pool and no limiter.
 */
import type { LimitsConfig } from '../../config/schema.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { rateShareOf } from './named-rate.ts'
import { type Rate, RateLimit, rateOf } from './rate-limit.ts'

const UNLIMITED = rateOf(undefined, 1)

export class HandshakeLimits {
  /** A tenant that has changed is another object, see `succeed`. */
  #limits = new WeakMap<Tenant, RateLimit>()
  readonly #defaults: () => LimitsConfig
  #workers: number
  /** How often `#workers` has changed, so that a rate is told when it is next asked. */
  #shares = 0
  readonly #sharesOf = new WeakMap<RateLimit, number>()

  /** `defaults` are the limits of the service, as they are now. */
  constructor(defaults: () => LimitsConfig, workers: number) {
    this.#defaults = defaults
    this.#workers = workers
  }

  /** Begins a handshake for `tenant`; false where it has had as many as it may. `now` is monotonic. */
  take(tenant: Tenant, now: number): boolean {
    const limit = this.#limits.get(tenant) ?? this.#make(tenant)
    if (this.#sharesOf.get(limit) !== this.#shares) {
      limit.change(this.#rateOf(tenant), now)
      this.#sharesOf.set(limit, this.#shares)
    }
    return limit.take(now) === 0
  }

  #make(tenant: Tenant): RateLimit {
    const limit = new RateLimit(this.#rateOf(tenant))
    this.#limits.set(tenant, limit)
    this.#sharesOf.set(limit, this.#shares)
    return limit
  }

  #rateOf({ config }: Tenant): Rate {
    const perSecond = config.limits.handshakes ?? this.#defaults().handshakes
    return perSecond === undefined ? UNLIMITED : rateShareOf({ perSecond }, this.#workers)
  }

  /** So many workers share the limits from now on. */
  share(workers: number): void {
    this.#workers = workers
    this.#shares += 1
  }

  /** The limits of the service have changed; those that tenants have of their own stay what they are. */
  reset(): void {
    this.#limits = new WeakMap()
  }

  /** `former` is `next` from now on: where its rate is the same, what was taken of it stays taken. */
  succeed(former: Tenant, next: Tenant): void {
    const limit = this.#limits.get(former)
    if (limit !== undefined && former.config.limits.handshakes === next.config.limits.handshakes)
      this.#limits.set(next, limit)
  }
}

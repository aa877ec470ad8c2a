/**
 * How many TLS handshakes a second are begun for each tenant in one worker. They are counted before the client has proved
 * anything, by the name that it asks for or the address that it came to, so they are apart from what a tenant has at run
 * time: who asks for a name makes no pool and no limiter.
 */
import type { LimitsConfig } from '../../config/schema.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { NamedRate } from './named-rate.ts'

export class HandshakeLimits {
  /** A tenant that has changed is another object, see `succeed`. */
  #rates = new WeakMap<Tenant, NamedRate>()
  readonly #defaults: () => LimitsConfig
  #workers: number
  /** How often `#workers` has changed, so that a rate is told when it is next asked. */
  #shares = 0
  readonly #sharesOf = new WeakMap<NamedRate, number>()

  /** `defaults` are the limits of the service, as they are now. */
  constructor(defaults: () => LimitsConfig, workers: number) {
    this.#defaults = defaults
    this.#workers = workers
  }

  /** Begins a handshake for `tenant`; false where it has had as many as it may. `now` is monotonic. */
  take(tenant: Tenant, now: number): boolean {
    const rate = this.#rates.get(tenant) ?? this.#make(tenant)
    if (rate.unlimited) return true
    if (this.#sharesOf.get(rate) !== this.#shares) {
      rate.share(this.#workers, now)
      this.#sharesOf.set(rate, this.#shares)
    }
    return rate.take(now) === undefined
  }

  #make(tenant: Tenant): NamedRate {
    const perSecond = tenant.config.limits.handshakes ?? this.#defaults().handshakes
    const rate = new NamedRate('handshakes', { perSecond, burst: undefined }, this.#workers)
    this.#rates.set(tenant, rate)
    this.#sharesOf.set(rate, this.#shares)
    return rate
  }

  /** So many workers share the limits from now on. */
  share(workers: number): void {
    this.#workers = workers
    this.#shares += 1
  }

  /** The limits of the service have changed; those that tenants have of their own stay what they are. */
  reset(): void {
    this.#rates = new WeakMap()
  }

  /** `former` is `next` from now on: where its rate is the same, what was taken of it stays taken. */
  succeed(former: Tenant, next: Tenant): void {
    const rate = this.#rates.get(former)
    if (rate !== undefined && former.config.limits.handshakes === next.config.limits.handshakes)
      this.#rates.set(next, rate)
  }
}

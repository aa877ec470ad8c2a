/**
 * Which endpoint the next connection or call goes to: of two random ones that are usable, the one with less in use
 * ("the power of two choices", Mitzenmacher 2001). It sees no state but that of the endpoints.
 */
import type { Endpoint } from './endpoint.ts'

export interface BalancerOwner {
  /** So few are well that all are used, or that is over. */
  panicChanged(panicking: boolean): void
}

export class Balancer {
  readonly #owner: BalancerOwner
  readonly #random: () => number
  #panic: number
  #all: readonly Endpoint[] = []
  /** Where there is one alone: most calls look no further. */
  #only: Endpoint | undefined
  #usable: readonly Endpoint[] = []
  /** When `#usable` has to be looked at again. */
  #reviewAt = 0
  #panicking = false

  /**
   * With less than the part `panic` of the endpoints well, 0 to 1, health is ignored. `random` gives 0 up to, and without, 1.
   */
  constructor(panic: number, random: () => number, owner: BalancerOwner) {
    this.#panic = panic
    this.#random = random
    this.#owner = owner
  }

  use(endpoints: readonly Endpoint[]): void {
    this.#all = endpoints
    this.#only = endpoints.length === 1 ? endpoints[0] : undefined
    this.review()
  }

  /** From now on; see the constructor. */
  set panic(part: number) {
    this.#panic = part
    this.review()
  }

  /** Something has happened to an endpoint. */
  review(): void {
    this.#reviewAt = 0
  }

  /** Those that get calls now. */
  usable(now: number): readonly Endpoint[] {
    if (now >= this.#reviewAt) this.#renew(now)
    return this.#usable
  }

  /** Undefined where there is no endpoint at all. `except` is not chosen if there is another. */
  choose(now: number, except?: Endpoint): Endpoint | undefined {
    if (this.#only !== undefined) return this.#only
    const usable = this.usable(now)
    const count = usable.length
    if (count < 2) return usable[0]
    const at = Math.floor(this.#random() * count)
    const step = 1 + Math.floor(this.#random() * (count - 1))
    const one = usable[at] as Endpoint
    const other = usable[(at + step) % count] as Endpoint
    if (one === except) return other
    return other === except ? one : this.#better(one, other, now)
  }

  #better(one: Endpoint, other: Endpoint, now: number): Endpoint {
    const first = one.health.weight(now)
    const second = other.health.weight(now)
    // In a slow start most of the draws do not count: with nothing in use its load alone would not hold calls back.
    if (first < 1 && this.#random() >= first) return other
    if (second < 1 && this.#random() >= second) return one
    return other.load / second < one.load / first ? other : one
  }

  #renew(now: number): void {
    const all = this.#all
    const well = all.filter(endpoint => endpoint.health.well(now))
    const few = well.length === 0 || well.length < all.length * this.#panic
    this.#setPanic(few && well.length < all.length)
    const candidates = this.#panicking ? all : well
    // Also in a panic: that a connection was refused a moment ago is no opinion.
    const rested = candidates.filter(endpoint => !endpoint.health.resting(now))
    this.#usable = rested.length > 0 ? rested : candidates
    this.#reviewAt = Number.POSITIVE_INFINITY
    for (const { health } of all) this.#reviewAt = Math.min(this.#reviewAt, health.nextChange(now))
  }

  #setPanic(panicking: boolean): void {
    if (panicking === this.#panicking) return
    this.#panicking = panicking
    this.#owner.panicChanged(panicking)
  }
}

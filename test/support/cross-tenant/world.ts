/** What the visits of a run have in common. */
import type { SeededRandom } from '../seeded-random.ts'
import type { Place } from './client-connection.ts'
import type { Way } from './places.ts'
import type { Run } from './run.ts'
import type { Tally } from './tally.ts'
import type { Fixtures, TenantFixture } from './tenants.ts'

/** A line of the proxy's `ready` message. */
export interface Bound {
  readonly listener: string
  readonly address: string
  readonly tenant?: string
}

export class World {
  readonly run: Run
  readonly tally: Tally
  readonly tenants: readonly TenantFixture[]
  readonly #ca: string
  readonly #bound: readonly Bound[]

  constructor(
    { run, tally }: { run: Run; tally: Tally },
    { tenants, ca }: Fixtures,
    bound: readonly Bound[],
  ) {
    this.run = run
    this.tally = tally
    this.tenants = tenants
    this.#ca = ca
    this.#bound = bound
  }

  /** A way for calls. */
  callWay(random: SeededRandom): Way {
    const kind = random.weighted({ plain: 40, auto: 22, private: 30, tls: 4, certificate: 4 })
    if (kind === 'private') return this.#privateWay(random, 'private')
    if (kind === 'plain' || kind === 'auto')
      return { listener: kind, place: this.#place(kind), tenant: undefined }
    if (kind === 'certificate') return this.#certificateWay(random)
    return { listener: 'tls', place: this.#place('tls', { ca: this.#ca }), tenant: undefined }
  }

  /** A way for tunnels, all of whose tenants can be counted on; or one on which they are broken. */
  tunnelWay(random: SeededRandom, broken: boolean): Way {
    if (broken) return this.#privateWay(random, 'broken')
    return random.chance(0.15) ? this.#certificateWay(random) : this.#privateWay(random, 'tunnel')
  }

  #privateWay(random: SeededRandom, listener: string): Way {
    const tenant = random.pick(this.tenants)
    return { listener, tenant, place: this.#place(listener, undefined, tenant.id) }
  }

  #certificateWay(random: SeededRandom): Way {
    const tenant = random.pick(this.tenants)
    const place = this.#place('tls', { ca: this.#ca, ...tenant.certificate })
    return { listener: 'tls', tenant, place }
  }

  #place(listener: string, tls?: Place['tls'], tenant?: string): Place {
    const found = this.#bound.find(bound => bound.listener === listener && bound.tenant === tenant)
    if (found === undefined) throw new Error(`${listener} of ${tenant} is not bound`)
    const colon = found.address.lastIndexOf(':')
    return {
      host: found.address.slice(0, colon),
      port: Number(found.address.slice(colon + 1)),
      tls,
    }
  }
}

/** A configuration whose parts are valid each by itself, before the rules between them are checked. */
import type { Place, ProblemList } from './problem.ts'
import type { Config, ListenerConfig } from './schema.ts'

/** A listener, tenant or issuer whose form is valid, and where it stands. */
export interface Located<T> {
  readonly value: T
  readonly place: Place
}

/**
 * What is valid of a configuration by itself, without its tenants: they are read and checked one by one, and again where
 * they change. Sections that are not valid are absent: they have their problem already.
 */
export interface Draft {
  readonly root: Place
  readonly service: Config['service'] | undefined
  readonly listeners: readonly Located<ListenerConfig>[]
  readonly authentication: Config['authentication'] | undefined
  readonly trustedProxies: Config['trustedProxies'] | undefined
  readonly tenantSources: Config['tenantSources'] | undefined
  readonly mixer: Config['mixer'] | undefined
  readonly ledger: Config['ledger'] | undefined
  readonly ledgerRetention: Config['ledgerRetention'] | undefined
  readonly quotas: Config['quotas'] | undefined
  readonly exports: Config['exports'] | undefined
  readonly http1: Config['http1'] | undefined
  readonly http2: Config['http2'] | undefined
  readonly overload: Config['overload'] | undefined
  readonly admin: Config['admin'] | undefined
}

/** What the rules for the service need to know of the tenants. */
export interface TenantCensus {
  /** How many have an address, how many have hosts, and how many of these end TLS themselves. */
  readonly addresses: number
  readonly hosts: number
  readonly passthrough: number
}

export interface Verdicts {
  /** A message that costs something is made only if there is room for it. */
  problem(place: Place, message: string | (() => string)): void
  warning(place: Place, message: string): void
}

export function verdictsOf(problems: ProblemList, warnings: ProblemList): Verdicts {
  return {
    problem: (place, message) => {
      if (problems.full) problems.omit(1)
      else problems.add(place, typeof message === 'string' ? message : message())
    },
    warning: (place, message) => warnings.add(place, message),
  }
}

/** First come, first served: remembers who claimed a key, and tells the next one. */
export class Claims {
  readonly #places = new Map<string, Place>()

  /** Where `key` was claimed before; `undefined` if it is now claimed from `place`. */
  claim(key: string, place: Place): Place | undefined {
    const first = this.#places.get(key)
    if (first === undefined) this.#places.set(key, place)
    return first
  }
}

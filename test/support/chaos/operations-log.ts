/**
 * What clients of a proxy have seen while things happened to it, and what explains it. A failed call is explained where it was
 * in flight on a worker that was killed, by the very connection, or at an endpoint that went away. Nothing else may fail.
 */

/** A call, or a round of a tunnel, that did not get what it asked for. */
export interface Failure {
  readonly tenant: string
  readonly kind: string
  /** Of the client's end of the connection; undefined where it never came about. */
  readonly port: number | undefined
  readonly began: number
  readonly ended: number
  readonly what: string
}

export type Cause = 'killed worker' | 'endpoint that went away'

/** At a worker that died: the ports of the clients that it had. */
interface Kill {
  readonly at: number
  readonly worker: number
  readonly ports: ReadonlySet<number>
}

interface Departure {
  readonly at: number
  readonly tenant: string
}

/**
 * A client that has not noticed yet may begin another call on the connection of a worker that is dead, a proxy on one of an
 * endpoint that is gone; and all of us share two cores.
 */
const UNNOTICED_MS = 250
const AROUND_MS = 3_000

export class OperationsLog {
  /** Answers that came whole, by tenant. */
  readonly received = new Map<string, number>()
  readonly failures: Failure[] = []
  readonly #kills: Kill[] = []
  readonly #departures: Departure[] = []

  receive(tenant: string): void {
    this.received.set(tenant, (this.received.get(tenant) ?? 0) + 1)
  }

  get calls(): number {
    return [...this.received.values()].reduce((sum, count) => sum + count, 0)
  }

  killed(worker: number, ports: ReadonlySet<number>): void {
    this.#kills.push({ at: performance.now(), worker, ports })
  }

  /** An endpoint of a tenant is about to go. */
  departs(tenant: string): void {
    this.#departures.push({ at: performance.now(), tenant })
  }

  /** What happened around a failure: for whoever looks for its cause. */
  around({ began, ended }: Failure): object {
    const near = ({ at }: { readonly at: number }): boolean =>
      at >= began - AROUND_MS && at <= ended + AROUND_MS
    const kills = this.#kills.filter(near).map(kill => ({ ...kill, ports: [...kill.ports] }))
    return { kills, departures: this.#departures.filter(near) }
  }

  /** How many failed for each cause, and those for which there is none. */
  explain(): { readonly causes: Record<Cause, number>; readonly unexplained: readonly Failure[] } {
    const causes: Record<Cause, number> = { 'killed worker': 0, 'endpoint that went away': 0 }
    const unexplained: Failure[] = []
    for (const failure of this.failures) {
      const cause = this.#causeOf(failure)
      if (cause === undefined) unexplained.push(failure)
      else causes[cause] += 1
    }
    return { causes, unexplained }
  }

  #causeOf({ tenant, port, began, ended }: Failure): Cause | undefined {
    const within = ({ at }: { readonly at: number }): boolean =>
      at >= began - UNNOTICED_MS && at <= ended
    if (port !== undefined && this.#kills.some(kill => within(kill) && kill.ports.has(port)))
      return 'killed worker'
    if (this.#departures.some(departure => within(departure) && departure.tenant === tenant))
      return 'endpoint that went away'
    return undefined
  }
}

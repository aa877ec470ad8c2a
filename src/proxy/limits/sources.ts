/**
 * The limits of one source address, whoever sends from it: connections and TLS handshakes at once and a second, calls without a
 * valid credential. A worker holds its share of them. Nothing here is looked at by a call that is let in.
 */
import type { SourcesConfig } from '../../config/sources-schema.ts'
import { type Rate, RateLimit, rateOf } from './rate-limit.ts'

export type SourceRefusal = 'source_connections' | 'source_connection_rate' | HandshakeRefusal
type HandshakeRefusal = 'source_handshakes' | 'source_handshake_rate'

/** What a rate allows in so long may come at once: many people behind one address come back together. */
const BURST_S = 10
/** Sources at rest that are looked at with each connection: more than one, so that they go faster than they come. */
const LOOKED_AT = 2

/** The share of a worker; Infinity for no limit. */
interface Shares {
  readonly connections: number
  readonly newConnections: Rate
  readonly handshakes: number
  readonly newHandshakes: Rate
  readonly badCredentials: Rate
}

/** All addresses that a worker knows: those with connections, and a bounded number of others that have used up some of a rate. */
export class Sources {
  readonly #config: SourcesConfig
  #shares: Shares
  readonly #present = new Map<string, Source>()
  /** Without a connection; the one that has rested longest comes first. */
  readonly #resting = new Map<string, Source>()
  #forgotten = 0

  /** `workers` share all but handshakes. */
  constructor(config: SourcesConfig, workers: number) {
    this.#config = config
    this.#shares = sharesOf(config, workers)
  }

  /** So many workers share the limits from now on; a source gets to know it with its next connection. */
  share(workers: number): void {
    this.#shares = sharesOf(this.#config, workers)
  }

  /** Sources that are known, with connections or without. */
  get size(): number {
    return this.#present.size + this.#resting.size
  }

  /**
   * Counts a connection of `name`, an address as `sourceOf` makes it, or says why it may not be; `leave` follows where it
   * is counted. `now` is monotonic, in ms.
   */
  enter(name: string, now: number): Source | SourceRefusal {
    const source =
      this.#present.get(name) ?? this.#resting.get(name) ?? new Source(name, this.#shares)
    const refusal = source.open(this.#shares, now)
    if (refusal === undefined) {
      if (source.connections === 1) {
        this.#resting.delete(name)
        this.#present.set(name, source)
      }
      this.#dropIdle(now)
      return source
    }
    if (source.connections === 0) this.#rest(source)
    return refusal
  }

  /**
   * Why a connection of `name` would not be let in at this moment, nor the handshake with which it is to begin where it
   * `shakes`. Nothing is counted.
   */
  refusal(name: string, shakes: boolean, now: number): SourceRefusal | undefined {
    const source = this.#present.get(name) ?? this.#resting.get(name)
    return (
      source?.refusal(this.#shares, now) ?? (shakes ? source?.handshakeRefusal(now) : undefined)
    )
  }

  /** A connection of it is closed. */
  leave(source: Source, now: number): void {
    source.close()
    if (source.connections > 0) return
    this.#present.delete(source.name)
    if (!source.idle(now)) this.#rest(source)
  }

  /** Sources that were forgotten with some of a rate used up, since the last time. */
  takeForgotten(): number {
    const forgotten = this.#forgotten
    this.#forgotten = 0
    return forgotten
  }

  #rest(source: Source): void {
    this.#resting.delete(source.name)
    this.#resting.set(source.name, source)
    if (this.#resting.size <= this.#config.remembered) return
    for (const [first] of this.#resting) {
      this.#resting.delete(first)
      this.#forgotten++
      return
    }
  }

  /** Of some that have rested longest: those of which there is nothing to remember any more. */
  #dropIdle(now: number): void {
    let looked = 0
    for (const [name, source] of this.#resting) {
      if (looked++ === LOOKED_AT || !source.idle(now)) return
      this.#resting.delete(name)
    }
  }
}

/** One address. */
export class Source {
  readonly name: string
  /** Open ones. */
  connections = 0
  #shares: Shares
  readonly #arrivals: RateLimit
  #handshakes = 0
  /** Each made with the first of its kind. */
  #newHandshakes: RateLimit | undefined
  #bad: RateLimit | undefined

  constructor(name: string, shares: Shares) {
    this.name = name
    this.#shares = shares
    this.#arrivals = new RateLimit(shares.newConnections)
  }

  /** Of `Sources` alone. */
  refusal(shares: Shares, now: number): SourceRefusal | undefined {
    if (shares !== this.#shares) this.#adopt(shares, now)
    if (this.connections >= this.#shares.connections) return 'source_connections'
    return this.#arrivals.fits(now) ? undefined : 'source_connection_rate'
  }

  /** Of `Sources` alone. */
  open(shares: Shares, now: number): SourceRefusal | undefined {
    const refusal = this.refusal(shares, now)
    if (refusal !== undefined) return refusal
    this.#arrivals.take(now)
    this.connections++
    return undefined
  }

  /** Of `Sources` alone. */
  close(): void {
    this.connections--
  }

  #adopt(shares: Shares, now: number): void {
    const { newConnections, newHandshakes, badCredentials } = shares
    this.#shares = shares
    this.#arrivals.change(newConnections, now)
    this.#newHandshakes?.change(newHandshakes, now)
    this.#bad?.change(badCredentials, now)
  }

  /** Whether a new one would be let do the same. */
  idle(now: number): boolean {
    return (
      this.#arrivals.idle(now) &&
      this.#newHandshakes?.idle(now) !== false &&
      this.#bad?.idle(now) !== false
    )
  }

  /** Why no handshake may begin at this moment. */
  handshakeRefusal(now: number): HandshakeRefusal | undefined {
    if (this.#handshakes >= this.#shares.handshakes) return 'source_handshakes'
    return this.#newHandshakes?.fits(now) === false ? 'source_handshake_rate' : undefined
  }

  /** Begins one, or says why not; `endHandshake` follows each that began. */
  beginHandshake(now: number): HandshakeRefusal | undefined {
    const refusal = this.handshakeRefusal(now)
    if (refusal !== undefined) return refusal
    this.#newHandshakes ??= new RateLimit(this.#shares.newHandshakes)
    this.#newHandshakes.take(now)
    this.#handshakes++
    return undefined
  }

  endHandshake(): void {
    this.#handshakes--
  }

  /** A call came without a valid credential. Whether it was one too many. */
  badCredential(now: number): boolean {
    this.#bad ??= new RateLimit(this.#shares.badCredentials)
    return this.#bad.take(now) > 0
  }
}

function sharesOf(config: SourcesConfig, workers: number): Shares {
  const { connections, maxHandshakes } = config
  const share = (limit: number): Rate => shareOf(limit, workers)
  return {
    connections: connections === 0 ? Number.POSITIVE_INFINITY : Math.ceil(connections / workers),
    newConnections: share(config.newConnections),
    handshakes: maxHandshakes === 0 ? Number.POSITIVE_INFINITY : maxHandshakes,
    newHandshakes: share(config.newHandshakes),
    badCredentials: share(config.badCredentials),
  }
}

/** Of a rate of all workers; 0 for no limit. */
function shareOf(limit: number, workers: number): Rate {
  const perSecond = limit / workers
  return limit === 0 ? rateOf(undefined, 1) : rateOf(perSecond, perSecond * BURST_S)
}

/**
 * One resolution of a host name: DNS with the TTL of its records, else what the system says (hosts file, search domains,
 * `localhost`), which knows no TTL. Everything that can go wrong is an answer; nothing is thrown.
 */
import { promises as dns, type RecordWithTtl } from 'node:dns'
import { isNameUnknown } from '../node-errors.ts'
import { FairTurns } from './fair-turns.ts'

export type NameAnswer =
  | {
      readonly kind: 'found'
      readonly addresses: readonly string[]
      readonly ttlMs: number
      /** Whether it came from the system, and DNS does not know the name. */
      readonly fromSystem: boolean
    }
  /** The name does not exist, or has no address. */
  | { readonly kind: 'unknown' }
  /** Nobody could say. */
  | { readonly kind: 'down' }

export interface NameLookup {
  /**
   * `askSystem`: also where DNS does not answer. `owner`: whose name it is, if anybody's; the names of one owner that take long keep
   * those of others waiting for nothing. Never rejects.
   */
  find(name: string, askSystem: boolean, owner?: string): Promise<NameAnswer>
  close(): void
}

export interface DnsLookupOptions {
  /** `ADDRESS` or `ADDRESS:PORT`; those of the system by default. */
  readonly servers?: readonly string[]
  readonly timeoutMs?: number
  /** What the system knows of a name: its addresses, or a rejection as that of `dns.lookup`, which it is by default. */
  readonly system?: (name: string) => Promise<string[]>
}

/** With two tries, less than a call waits in the queue for a name (`queue.timeout`). */
const TIMEOUT_MS = 1_000
const TRIES = 2
/** A TTL of 0 is common, and must not become a query a call; one of a day would outlive the address. */
const MIN_TTL_MS = 1_000
const MAX_TTL_MS = 5 * 60_000
const SYSTEM_TTL_MS = 30_000
/** Whoever takes longer may take very long: DNS is gone for it. */
const SLOW_MS = 1_000
/**
 * Places of the four threads that libuv has for files, too: a system resolver without its server takes one for many seconds.
 */
const SYSTEM_TURNS = { places: 2, each: 1, slowMs: SLOW_MS }
/** Questions under way; each takes a few hundred bytes and a timer. */
const DNS_TURNS = { places: 256, each: 16, slowMs: SLOW_MS }

const now = (): number => performance.now()

const UNKNOWN: NameAnswer = { kind: 'unknown' }
const DOWN: NameAnswer = { kind: 'down' }

export class DnsLookup implements NameLookup {
  readonly #resolver: dns.Resolver
  readonly #system: (name: string) => Promise<string[]>
  /** At most one a name that is watched waits. */
  readonly #systemTurns: FairTurns
  readonly #dnsTurns: FairTurns

  constructor({ servers, timeoutMs = TIMEOUT_MS, system = lookUp }: DnsLookupOptions = {}) {
    this.#resolver = new dns.Resolver({ timeout: timeoutMs, tries: TRIES })
    if (servers !== undefined) this.#resolver.setServers(servers)
    this.#system = system
    this.#systemTurns = new FairTurns({ ...SYSTEM_TURNS, now })
    this.#dnsTurns = new FairTurns({ ...DNS_TURNS, now })
  }

  async find(name: string, askSystem: boolean, owner = name): Promise<NameAnswer> {
    // RFC 6761 §6.3: such names are never sent to a server.
    if (/(^|\.)localhost\.?$/i.test(name)) return this.#askSystem(name, owner)
    const answer = await this.#dnsTurns.take(owner, () => this.#ask(name))
    if (answer.kind === 'found' || (answer.kind === 'down' && !askSystem)) return answer
    const system = await this.#askSystem(name, owner)
    return answer.kind === 'down' && system.kind === 'unknown' ? DOWN : system
  }

  close(): void {
    this.#resolver.cancel()
  }

  /** IPv6 where there is no IPv4, as Envoy's `V4_PREFERRED`: one machine must not count as two endpoints. */
  async #ask(name: string): Promise<NameAnswer> {
    const ipv4 = await answerOf(() => this.#resolver.resolve4(name, { ttl: true }))
    return ipv4.kind === 'unknown'
      ? answerOf(() => this.#resolver.resolve6(name, { ttl: true }))
      : ipv4
  }

  #askSystem(name: string, owner: string): Promise<NameAnswer> {
    return this.#systemTurns.take(owner, async () => {
      try {
        const addresses = await this.#system(name)
        return { kind: 'found', addresses, ttlMs: SYSTEM_TTL_MS, fromSystem: true }
      } catch (error) {
        return isNameUnknown(error) ? UNKNOWN : DOWN
      }
    })
  }
}

async function answerOf(ask: () => Promise<RecordWithTtl[]>): Promise<NameAnswer> {
  try {
    const records = await ask()
    const ttlMs = Math.min(...records.map(record => record.ttl)) * 1_000
    return {
      kind: 'found',
      addresses: records.map(record => record.address),
      ttlMs: Math.max(MIN_TTL_MS, Math.min(MAX_TTL_MS, ttlMs)),
      fromSystem: false,
    }
  } catch (error) {
    return isNameUnknown(error) ? UNKNOWN : DOWN
  }
}

/** Of both families: what a hosts file says is meant. */
async function lookUp(name: string): Promise<string[]> {
  const found = await dns.lookup(name, { all: true })
  return found.map(({ address }) => address)
}

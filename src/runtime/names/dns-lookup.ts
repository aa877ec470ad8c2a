/**
 * One resolution of a host name: DNS with the TTL of its records, else what the system says (hosts file, search domains,
 * `localhost`), which knows no TTL. Everything that can go wrong is an answer; nothing is thrown.
 */
import { promises as dns, type RecordWithTtl } from 'node:dns'
import { isNameUnknown } from '../node-errors.ts'

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
  /** `askSystem`: also where DNS does not answer. Never rejects. */
  find(name: string, askSystem: boolean): Promise<NameAnswer>
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
/** Of the four threads that libuv has for files, too: a system resolver without its server takes one for many seconds. */
const MAX_SYSTEM_LOOKUPS = 2

const UNKNOWN: NameAnswer = { kind: 'unknown' }
const DOWN: NameAnswer = { kind: 'down' }

export class DnsLookup implements NameLookup {
  readonly #resolver: dns.Resolver
  readonly #system: (name: string) => Promise<string[]>
  #systemLookups = 0
  /** Who waits for another one's lookup to end, in order; at most one a name that is watched. */
  readonly #waiting: (() => void)[] = []

  constructor({ servers, timeoutMs = TIMEOUT_MS, system = lookUp }: DnsLookupOptions = {}) {
    this.#resolver = new dns.Resolver({ timeout: timeoutMs, tries: TRIES })
    if (servers !== undefined) this.#resolver.setServers(servers)
    this.#system = system
  }

  async find(name: string, askSystem: boolean): Promise<NameAnswer> {
    // RFC 6761 §6.3: such names are never sent to a server.
    if (/(^|\.)localhost\.?$/i.test(name)) return this.#askSystem(name)
    const answer = await this.#ask(name)
    if (answer.kind === 'found' || (answer.kind === 'down' && !askSystem)) return answer
    const system = await this.#askSystem(name)
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

  async #askSystem(name: string): Promise<NameAnswer> {
    if (this.#systemLookups < MAX_SYSTEM_LOOKUPS) this.#systemLookups++
    // Who ends a lookup hands its place on.
    else await new Promise<void>(resolve => this.#waiting.push(resolve))
    try {
      const addresses = await this.#system(name)
      return { kind: 'found', addresses, ttlMs: SYSTEM_TTL_MS, fromSystem: true }
    } catch (error) {
      return isNameUnknown(error) ? UNKNOWN : DOWN
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#systemLookups--
      else next()
    }
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

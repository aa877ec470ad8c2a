/**
 * The listening sockets of a private listener with `bind: each`: one an address that a tenant has. Who has which address
 * is for the directory to say; a socket stays when its address goes from one tenant to another, and goes with the last.
 */
import { Timer, type TimerOwner } from '../../core/timer-wheel.ts'
import { describeListenError, nodeErrorCode } from '../../runtime/node-errors.ts'
import { openFilesLimit } from '../../runtime/open-files.ts'
import type { BoundAddress } from '../ipc.ts'
import type { WorkerContext } from '../worker/context.ts'
import { type Door, formatAddress, type ListeningSocket, listenOn } from './listening-socket.ts'

/** Each is a message to the primary and back: one after the other takes 0.3 ms an address, all at once a queue of them. */
const OPENED_AT_ONCE = 64
/** Addresses that this machine does not have are tried again so often, and at most so many of them each time. */
const RETRY_MS = 1_000
const RETRIED_AT_ONCE = 64
/** Named in a log line; of the others there is the number. */
const MOST_NAMED = 10
/** What a worker needs besides, to serve at all. */
const RESERVED_FILES = 256

export interface AddressSocketsOptions {
  /** Of the listener. */
  readonly name: string
  readonly port: number
  readonly door: () => Door
  /** Files that this process has open, about: sockets of all listeners and connections. */
  readonly openFiles: () => number
}

type Slot = 'opening' | ListeningSocket
type Outcome = { readonly kind: 'open' | 'missing' } | { readonly kind: 'failed'; problem: string }

export class AddressSockets implements TimerOwner {
  readonly #context: WorkerContext
  readonly #options: AddressSocketsOptions
  /** By address. */
  readonly #slots = new Map<string, Slot>()
  /** Addresses of tenants that this machine does not have, in the order in which they are tried. */
  readonly #missing = new Set<string>()
  readonly #retry = new Timer(this)
  #closed = false

  constructor(context: WorkerContext, options: AddressSocketsOptions) {
    this.#context = context
    this.#options = options
  }

  /** Sockets, those that are just being opened too. */
  get size(): number {
    return this.#slots.size
  }

  get bound(): BoundAddress[] {
    const bound: BoundAddress[] = []
    for (const [host, slot] of this.#slots) {
      const tenant = this.#ownerOf(host)
      if (slot === 'opening' || tenant === undefined) continue
      bound.push({ listener: this.#options.name, address: slot.address, tenant })
    }
    return bound
  }

  /**
   * Listens at those of `addresses` that a tenant has now, and no more at the others; connections stay. Returns what failed.
   * An address that the machine does not have is no failure: it may come yet, and the others serve.
   */
  async follow(addresses: readonly string[]): Promise<string[]> {
    const wanted: string[] = []
    for (const host of addresses) {
      if (this.#ownerOf(host) === undefined) this.#close(host)
      else if (!this.#slots.has(host)) wanted.push(host)
    }
    if (wanted.length === 0) return []
    const tooMany = this.#tooMany(wanted.length)
    if (tooMany !== undefined) return [tooMany]
    const problems: string[] = []
    const missing: string[] = []
    await this.#openAll(wanted, (host, outcome) => {
      if (outcome.kind === 'failed') problems.push(outcome.problem)
      else if (outcome.kind === 'missing') missing.push(host)
    })
    this.#logMissing(missing)
    return problems
  }

  /** Stops listening, for good. */
  close(): void {
    this.#closed = true
    this.#context.wheel.cancel(this.#retry)
    this.#missing.clear()
    for (const host of this.#slots.keys()) this.#close(host)
  }

  timerExpired(): void {
    void this.#retryMissing()
  }

  #ownerOf(host: string): string | undefined {
    return this.#context.directory.byAddress(host)?.id
  }

  #close(host: string): void {
    this.#missing.delete(host)
    const slot = this.#slots.get(host)
    // One that is just being opened is closed when it is there.
    if (slot === undefined || slot === 'opening') return
    this.#slots.delete(host)
    slot.close()
  }

  async #openAll(
    hosts: readonly string[],
    opened: (host: string, outcome: Outcome) => void,
  ): Promise<void> {
    const rest = hosts.values()
    const work = async (): Promise<void> => {
      for (const host of rest) opened(host, await this.#open(host))
    }
    await Promise.all(Array.from({ length: Math.min(OPENED_AT_ONCE, hosts.length) }, work))
  }

  async #open(host: string): Promise<Outcome> {
    const { name, port, door } = this.#options
    // A retry and a change of tenants can meet at one address.
    if (this.#slots.has(host)) return OPEN
    this.#slots.set(host, 'opening')
    const { sockets, config, logger } = this.#context
    const result = await listenOn({
      listener: name,
      host,
      port,
      sockets,
      probe: config.timeouts.probe,
      door,
      failed: error => logger.error({ err: error, listener: name }, LISTENER_FAILED),
    })
    this.#slots.delete(host)
    const tenant = this.#ownerOf(host)
    const isWanted = !this.#closed && tenant !== undefined
    if ('error' in result) return isWanted ? this.#failed(host, tenant, result.error) : OPEN
    this.#missing.delete(host)
    if (isWanted) this.#slots.set(host, result)
    else result.close()
    return OPEN
  }

  #failed(host: string, tenant: string, error: Error): Outcome {
    const { name, port } = this.#options
    if (nodeErrorCode(error) === 'EADDRNOTAVAIL') {
      this.#missing.add(host)
      this.#waitForMissing()
      return { kind: 'missing' }
    }
    const what = `listener "${name}": ${formatAddress(host, port)} of the tenant ${tenant}`
    return { kind: 'failed', problem: describeListenError(error, what) }
  }

  #logMissing(hosts: readonly string[]): void {
    if (hosts.length === 0) return
    const addresses = hosts
      .slice(0, MOST_NAMED)
      .map(host => `${host} of the tenant ${this.#ownerOf(host)}`)
    this.#context.logger.error(
      { listener: this.#options.name, count: hosts.length, addresses },
      'this machine does not have the address of a tenant; it is listened at as soon as it does',
    )
  }

  #waitForMissing(): void {
    const { wheel, clock } = this.#context
    if (!this.#closed && !this.#retry.armed) wheel.arm(this.#retry, RETRY_MS, clock.monotonic())
  }

  async #retryMissing(): Promise<void> {
    const hosts = [...this.#missing].slice(0, RETRIED_AT_ONCE)
    const { logger } = this.#context
    const listener = this.#options.name
    await this.#openAll(hosts, (host, outcome) => {
      // To the end of the line, so that all get their turn.
      if (this.#missing.delete(host)) this.#missing.add(host)
      if (outcome.kind === 'failed')
        logger.error({ listener, problem: outcome.problem }, RETRY_FAILED)
      else if (this.#slots.has(host)) {
        const found = { listener, address: host, tenant: this.#ownerOf(host) }
        logger.info(found, 'the address of a tenant has appeared, and is listened at')
      }
    })
    if (this.#missing.size > 0) this.#waitForMissing()
  }

  /** A descriptor that cannot be passed to a worker is lost without a word: this has to be known before. */
  #tooMany(more: number): string | undefined {
    const limit = openFilesLimit()
    const needed = this.#options.openFiles() + more
    if (limit === undefined || needed + RESERVED_FILES <= limit) return undefined
    return (
      `listener "${this.#options.name}": bind: each needs an open file for each address, in all ${needed} and ${RESERVED_FILES} besides, ` +
      `and a process may have ${limit}; raise the limit (ulimit -n, LimitNOFILE=), or use bind: wildcard`
    )
  }
}

const OPEN: Outcome = { kind: 'open' }
export const LISTENER_FAILED = 'a listener failed'
const RETRY_FAILED = 'the address of a tenant has appeared, and cannot be listened at'

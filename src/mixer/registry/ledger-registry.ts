/**
 * The registry on the ledger: it answers from memory, and looks every two seconds for what other mixers have put into the
 * ledger. A proxy that nobody has heard of for ten minutes is forgotten.
 */
import type { Registration } from '../../contracts/registration.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { NameResolver } from '../../runtime/names/name-resolver.ts'
import { DeploymentIndex } from './deployment-index.ts'
import { FollowedNames, MAX_FOLLOWED_NAMES } from './followed-names.ts'
import { mergeSnapshots, type Page, type Snapshot } from './merge.ts'
import type { KnownProxy, RegistrationStore } from './registration-store.ts'
import type { AddressOwners, RegisteredTenant, RegisterResult, Registry } from './registry.ts'

const POLL_MS = 2_000
/** Proxies are heard of every 30 seconds. */
const FORGET_MS = 10 * 60_000

export interface LedgerRegistryDeps {
  readonly store: RegistrationStore
  readonly names: Pick<NameResolver, 'watch'>
  readonly clock: Pick<Clock, 'monotonic'>
  readonly logger: Logger
  readonly pollMs?: number
  readonly forgetMs?: number
}

interface HeardProxy {
  heard: bigint
  /** When `heard` was first seen, by this mixer's own clock: one that is set anew makes nobody forgotten. */
  since: number
  generation: number
  snapshot: Snapshot | undefined
}

export class LedgerRegistry implements Registry {
  readonly #deps: LedgerRegistryDeps
  readonly #proxies = new Map<string, HeardProxy>()
  readonly #names: FollowedNames
  #index = new DeploymentIndex(new Map())
  #version = 0
  #failing = false
  #refreshing: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(deps: LedgerRegistryDeps) {
    this.#deps = deps
    this.#names = new FollowedNames({
      names: deps.names,
      changed: () => {
        this.#version += 1
      },
      tooMany: names =>
        deps.logger.error(
          { names, most: MAX_FOLLOWED_NAMES },
          'too many host names of endpoints: source addresses show nothing but where deployment.identity.address says so',
        ),
    })
  }

  /** Reads what the ledger has; what cannot be read now is read later. */
  async start(): Promise<void> {
    await this.#refresh()
    this.#poll()
  }

  async register(registration: Registration): Promise<RegisterResult> {
    try {
      const result = await this.#deps.store.register(registration)
      const known = this.#proxies.get(registration.proxy)?.generation
      if (result.kind === 'registered' && known !== registration.generation) await this.#refresh()
      return result
    } catch (cause) {
      return {
        kind: 'unavailable',
        detail: cause instanceof Error ? cause.message : String(cause),
      }
    }
  }

  get version(): number {
    return this.#version
  }

  get size(): { readonly proxies: number; readonly tenants: number } {
    return { proxies: this.#proxies.size, tenants: this.#index.size }
  }

  tenant(id: string): RegisteredTenant | undefined {
    return this.#index.tenant(id)
  }

  tenants(): Iterable<RegisteredTenant> {
    return this.#index.tenants()
  }

  bySpiffe(id: string): readonly RegisteredTenant[] {
    return this.#index.bySpiffe(id)
  }

  byAddress(address: string): AddressOwners {
    const claimed = this.#index.byBlock(address)
    const owners = new Set([...claimed, ...this.#index.byAddress(address)])
    for (const name of this.#names.leadingTo(address))
      for (const owner of this.#index.byName(name)) owners.add(owner)
    // Who names an address as a deployment's own says that it is no other's, whatever a name may yet lead to.
    return { owners: [...owners], complete: claimed.length > 0 || this.#names.complete }
  }

  byEndpoint(address: string, port: number): readonly RegisteredTenant[] {
    const owners = new Set(this.#index.byEndpoint(address, port))
    for (const name of this.#names.leadingTo(address))
      for (const owner of this.#index.byEndpoint(name, port)) owners.add(owner)
    return [...owners]
  }

  loopbackAddresses(port: number): ReadonlySet<string> {
    return new Set([...this.#index.loopbackAddresses(port), ...this.#names.loopbackAddresses()])
  }

  /** Waits for what is under way; the ledger is not used any more then. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#refreshing
    this.#names.close()
  }

  #poll(): void {
    if (this.#closed) return
    this.#timer = setTimeout(() => {
      void this.#refresh().finally(() => this.#poll())
    }, this.#deps.pollMs ?? POLL_MS)
    this.#timer.unref()
  }

  /** One after the other; never rejects. */
  #refresh(): Promise<void> {
    this.#refreshing = this.#refreshing.then(async () => {
      if (this.#closed) return
      try {
        await this.#read()
        this.#failing = false
      } catch (error) {
        if (!this.#failing)
          this.#deps.logger.error({ err: error }, 'the registry cannot be read from the ledger')
        this.#failing = true
      }
    })
    return this.#refreshing
  }

  async #read(): Promise<void> {
    const { store, clock, forgetMs = FORGET_MS, logger } = this.#deps
    const now = clock.monotonic()
    const stored = await store.proxies()
    let changed = this.#dropAllBut(stored)
    for (const found of stored) {
      const known = this.#hear(found, now)
      if (now - known.since > forgetMs) {
        await store.forget(found)
        logger.warn({ proxy: found.proxy }, 'a proxy was not heard of for long; it is forgotten')
      } else if (known.generation !== found.generation) {
        await this.#load(found.proxy, known)
        changed = true
      }
    }
    if (changed) this.#rebuild()
  }

  #hear({ proxy, heard }: KnownProxy, now: number): HeardProxy {
    const known = this.#proxies.get(proxy)
    if (known === undefined) {
      const fresh: HeardProxy = { heard, since: now, generation: 0, snapshot: undefined }
      this.#proxies.set(proxy, fresh)
      return fresh
    }
    if (known.heard !== heard) Object.assign(known, { heard, since: now })
    return known
  }

  #dropAllBut(stored: readonly KnownProxy[]): boolean {
    const names = new Set(stored.map(({ proxy }) => proxy))
    let changed = false
    for (const [proxy, { snapshot }] of this.#proxies) {
      if (names.has(proxy)) continue
      this.#proxies.delete(proxy)
      changed ||= snapshot !== undefined
    }
    return changed
  }

  async #load(proxy: string, known: HeardProxy): Promise<void> {
    const pages = this.#pages()
    const read = await this.#deps.store.read(proxy, pages)
    if (read === undefined) return
    for (const page of read.pages) pages.set(page.digest, page)
    known.generation = read.generation
    known.snapshot = {
      service: read.snapshot.service,
      generation: read.generation,
      pages: read.snapshot.digests.flatMap(digest => pages.get(digest) ?? []),
    }
  }

  /** Of all snapshots, so that equal ones are held once. */
  #pages(): Map<string, Page> {
    const snapshots = [...this.#proxies.values()].flatMap(({ snapshot }) => snapshot ?? [])
    return new Map(
      snapshots.flatMap(({ pages }) => pages.map(page => [page.digest, page] as const)),
    )
  }

  #rebuild(): void {
    const snapshots = [...this.#proxies.values()].flatMap(({ snapshot }) => snapshot ?? [])
    this.#index = new DeploymentIndex(mergeSnapshots(snapshots))
    this.#names.follow(this.#index.names)
    this.#version += 1
    const { proxies, tenants } = this.size
    this.#deps.logger.info({ proxies, tenants }, 'the registry of deployments has changed')
  }
}

/** The listeners of a worker: what is configured, where it listens, and with which TLS. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { keyOfPrivateLink } from '../../config/private-link-schema.ts'
import type { ListenerConfig } from '../../config/schema.ts'
import type { BoundAddress, ListenersChange } from '../ipc.ts'
import type { DirectorySwap } from '../tenant/directory.ts'
import { normalizeAddress } from '../tenant/ip-address.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Drainable } from './arrival.ts'
import type { StartOptions } from './connection-starter.ts'
import { isSameKind, Listener } from './listener.ts'
import { ListeningPlaces } from './listening-places.ts'
import { TlsSide } from './tls.ts'
import { furtherAuthorities, readTlsMaterial, type TlsMaterial } from './tls-material.ts'
import { newTicketSecret, type TicketSecrets } from './tls-tickets.ts'
import { TrustedPeers } from './trusted-peers.ts'

/** Tenants of a change that are looked at in one turn: a millisecond or two. */
const READ_AT_ONCE = 256

/** What the primary knows of the TLS of all listeners; what is left out is read and made up here. */
export interface GivenTls {
  /** Where it is not that of the start any more. */
  readonly listeners?: readonly ListenerConfig[] | undefined
  readonly materials?: readonly TlsMaterial[] | undefined
  readonly tickets?: readonly TicketSecrets[] | undefined
}

export class ListenerSet {
  readonly connections = new Set<Drainable>()
  readonly #context: WorkerContext
  readonly #trusted: TrustedPeers
  readonly #places: ListeningPlaces
  #given: GivenTls
  #listeners: readonly Listener[] = []
  /** Not configured any more; each goes with `settle`, or comes back where the change is taken back. */
  readonly #leaving = new Set<Listener>()

  constructor(context: WorkerContext, given: GivenTls = {}) {
    this.#context = context
    this.#given = given
    this.#trusted = new TrustedPeers(context.config.trustedProxies)
    this.#places = new ListeningPlaces(context, () => this.connections.size)
  }

  /** Reads certificates; binds nothing yet. Returns whole sentences about what is wrong. */
  prepare(): string[] {
    const made = this.#make(this.#context.config.listeners)
    if ('problems' in made) return [...made.problems]
    this.#listeners = made.listeners
    return []
  }

  /** Those that there are, where they are of the same kind, and new ones. */
  #make(configs: readonly ListenerConfig[]): Made {
    const problems: string[] = []
    const listeners = configs.flatMap(config => {
      const former = this.#find(config)
      if (former !== undefined) return [former]
      const secured = this.#prepareTls(config)
      if ('problems' in secured) {
        problems.push(...secured.problems)
        return []
      }
      const { connections: all } = this
      return [new Listener(this.#context, { config, ...secured, trusted: this.#trusted, all })]
    })
    return problems.length > 0 ? { problems } : { listeners }
  }

  #find(config: ListenerConfig): Listener | undefined {
    return [...this.#listeners, ...this.#leaving].find(each => isSameKind(each.config, config))
  }

  /** Certificates, authorities and the like for handshakes from now on. Returns what cannot be used; that stays as it was. */
  useTls(configs: readonly ListenerConfig[], materials: readonly TlsMaterial[]): string[] {
    this.#given = { ...this.#given, listeners: configs, materials }
    return this.#listeners.flatMap(({ config: { name }, starter, tls }) => {
      const settings = configs.find(each => each.name === name)?.tls
      const material = materials.find(({ listener }) => listener === name)
      if (tls === undefined || settings === undefined || material === undefined) return []
      try {
        starter.handshakes?.use(tls.serve(material, settings), settings.maxHandshakes)
        return []
      } catch (error) {
        return [unusable(name, error)]
      }
    })
  }

  useTickets(secrets: readonly TicketSecrets[]): void {
    this.#given = { ...this.#given, tickets: secrets }
    for (const { config, tls } of this.#listeners) {
      const own = secrets.find(({ listener }) => listener === config.name)
      if (own !== undefined) tls?.rotate(own)
    }
  }

  #prepareTls(config: ListenerConfig): PreparedTls {
    const { name } = config
    const { listeners, materials, tickets } = this.#given
    const settings = listeners?.find(each => each.name === name)?.tls ?? config.tls
    if (settings === undefined) return { tls: undefined, handshakes: undefined }
    const given = materials?.find(({ listener }) => listener === name)
    const read =
      given === undefined
        ? readTlsMaterial({ name, tls: settings }, furtherAuthorities(this.#context.config))
        : { material: given }
    if ('problems' in read) return read
    const secrets = tickets?.find(({ listener }) => listener === name)
    const unshared = { listener: name, current: newTicketSecret(), former: null }
    const tls = new TlsSide(
      settings,
      secrets ?? unshared,
      this.#context.config.authentication.spiffe,
      config.protocol,
    )
    try {
      return {
        tls,
        handshakes: { servers: tls.serve(read.material), most: settings.maxHandshakes },
      }
    } catch (error) {
      return { problems: [unusable(name, error)] }
    }
  }

  /** Binds what the configuration and the present tenants ask for. Returns what failed. */
  async bind(): Promise<string[]> {
    return this.#places.open(this.#listeners)
  }

  /**
   * Listens as `configs` say, with TLS of `materials`. Returns what failed; then all is as it was. What is not configured any
   * more accepts until `settle`, where nobody else has its place, and may come back until then. One at a time.
   */
  async follow({ configs, materials }: ListenersChange): Promise<string[]> {
    if (!this.#context.listenerNames.hasRoomFor(configs.map(({ name }) => name)))
      return ['listeners have had too many different names since the start: restart']
    const given = this.#given
    this.#given = { ...given, listeners: configs, materials }
    const made = this.#make(configs)
    const problems = 'problems' in made ? made.problems : await this.#move(made.listeners, configs)
    if (problems.length > 0) this.#given = given
    return [...problems]
  }

  async #move(
    listeners: readonly Listener[],
    configs: readonly ListenerConfig[],
  ): Promise<readonly string[]> {
    const former = listeners.map(({ config }) => config)
    const configure = (each: readonly ListenerConfig[]): void => {
      for (const [index, listener] of listeners.entries())
        listener.config = each[index] as ListenerConfig
    }
    configure(configs)
    const problems = await this.#places.open(listeners)
    if (problems.length > 0) {
      configure(former)
      return problems
    }
    for (const listener of this.#listeners) this.#leaving.add(listener)
    for (const listener of listeners) this.#leaving.delete(listener)
    this.#listeners = listeners
    this.#places.assign(listeners)
    return []
  }

  /** What `follow` has made of the listeners stays so: those that are gone end. */
  settle(): void {
    this.#places.keep(this.#listeners)
    for (const listener of this.#leaving) listener.retire()
    this.#leaving.clear()
  }

  /**
   * After a change of the tenants: binds the addresses that are new, and lets go of those that are nobody's now. Kept
   * connections at an address or a private link of another tenant than before end with their running call. Returns what failed.
   */
  async rebind({ left, entered }: Pick<DirectorySwap, 'left' | 'entered'>): Promise<string[]> {
    if (!this.#listeners.some(({ config }) => looksAtArrivals(config))) return []
    const hosts = new Set<string>()
    let stranded = false
    for (const [index, tenant] of [...left, ...entered].entries()) {
      const arrivals = arrivalsOf(tenant)
      stranded ||= this.#hasChangedHands(arrivals)
      for (const host of arrivals.hosts) hosts.add(host)
      // Each is read from its text, and calls go on meanwhile.
      if (index % READ_AT_ONCE === READ_AT_ONCE - 1) await nextTurn()
    }
    if (stranded) this.#endStranded()
    if (hosts.size === 0) return []
    return this.#places.follow([...hosts])
  }

  #hasChangedHands({ id, hosts, links }: Arrivals): boolean {
    const { directory } = this.#context
    return (
      hosts.some(host => directory.byAddress(host)?.id !== id) ||
      links.some(link => directory.byPrivateLink(link)?.id !== id)
    )
  }

  #endStranded(): void {
    for (const connection of this.connections) connection.directoryChanged?.()
  }

  get bound(): BoundAddress[] {
    return this.#listeners.flatMap(listener => this.#places.boundBy(listener))
  }

  /** That are listened at; with `bind: each` also while no address is. */
  get ports(): ReadonlySet<number> {
    return this.#places.ports
  }

  /** Stops accepting, and asks every connection to end. */
  drain(): void {
    this.#places.keep([])
    for (const connection of this.connections) connection.drain()
  }

  /** Cuts what is still open of one kind. */
  destroyAll(kind: Drainable['kind']): void {
    for (const connection of this.connections) if (connection.kind === kind) connection.destroy()
  }

  /** Cuts what is still open. */
  destroy(): void {
    for (const connection of this.connections) connection.destroy()
  }
}

type Made = { readonly listeners: readonly Listener[] } | { readonly problems: readonly string[] }

/** Whether a connection can be a tenant's there by its address or a private link. */
function looksAtArrivals({ mode, proxyProtocol }: ListenerConfig): boolean {
  return mode === 'private' || proxyProtocol === 'required'
}

/** By what connections are a tenant's when they arrive. */
interface Arrivals {
  readonly id: string
  readonly hosts: readonly string[]
  readonly links: readonly string[]
}

function arrivalsOf({ id, config }: Tenant): Arrivals {
  const host = config.address === undefined ? undefined : normalizeAddress(config.address)
  const links = config.credentials.flatMap(credential =>
    'privateLink' in credential ? [keyOfPrivateLink(credential.privateLink)] : [],
  )
  return { id, hosts: host === undefined ? [] : [host], links }
}

type PreparedTls =
  | { readonly problems: readonly string[] }
  | {
      readonly tls: TlsSide | undefined
      readonly handshakes: StartOptions['handshakes']
    }

function unusable(listener: string, error: unknown): string {
  return `listener "${listener}": its TLS cannot be used: ${(error as Error).message}`
}

/**
 * The listening sockets of a worker: one a shared listener, and for private ones one for all addresses or one an address of
 * a tenant.
 */
import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { keyOfPrivateLink } from '../../config/private-link-schema.ts'
import type { ListenerConfig } from '../../config/schema.ts'
import { describeListenError } from '../../runtime/node-errors.ts'
import type { BoundAddress } from '../ipc.ts'
import type { DirectorySwap } from '../tenant/directory.ts'
import { normalizeAddress } from '../tenant/ip-address.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { WorkerContext } from '../worker/context.ts'
import { AddressSockets, LISTENER_FAILED } from './address-sockets.ts'
import type { Drainable } from './arrival.ts'
import { ConnectionStarter, type StartOptions } from './connection-starter.ts'
import { formatAddress, type ListeningSocket, listenOn } from './listening-socket.ts'
import { TlsSide } from './tls.ts'
import { furtherAuthorities, readTlsMaterial, type TlsMaterial } from './tls-material.ts'
import { newTicketSecret, type TicketSecrets } from './tls-tickets.ts'
import { TrustedPeers } from './trusted-peers.ts'

/** Tenants of a change that are looked at in one turn: a millisecond or two. */
const READ_AT_ONCE = 256

interface Listener {
  readonly config: ListenerConfig
  readonly starter: ConnectionStarter
  /** Of a listener with TLS. */
  readonly tls: TlsSide | undefined
  /** Of a private listener with `bind: each`. */
  readonly addresses: AddressSockets | undefined
  /** Of any other. */
  socket: ListeningSocket | undefined
}

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
  #given: GivenTls
  readonly #listeners: Listener[] = []

  constructor(context: WorkerContext, given: GivenTls = {}) {
    this.#context = context
    this.#given = given
  }

  /** Reads certificates; binds nothing yet. Returns whole sentences about what is wrong. */
  prepare(): string[] {
    const { listeners, trustedProxies } = this.#context.config
    const trusted = new TrustedPeers(trustedProxies)
    const problems: string[] = []
    for (const [index, config] of listeners.entries()) {
      const secured = this.#prepareTls(config)
      if ('problems' in secured) {
        problems.push(...secured.problems)
        continue
      }
      const { name, mode, protocol, proxyProtocol } = config
      const { handshakes, tls } = secured
      const starter = new ConnectionStarter(
        this.#context,
        { scope: { index, name, mode }, protocol, proxyProtocol, handshakes, trusted },
        this.connections,
      )
      const accept = (socket: Socket): void => starter.accept(socket)
      const addresses =
        config.mode === 'private' && config.bind === 'each'
          ? new AddressSockets(this.#context, {
              name,
              port: config.port,
              accept,
              openFiles: () => this.#openFiles,
            })
          : undefined
      this.#listeners.push({ config, starter, tls, addresses, socket: undefined })
    }
    return problems
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
    const problems: string[] = []
    for (const listener of this.#listeners) {
      if (listener.addresses === undefined) problems.push(...(await this.#listen(listener)))
      else {
        const hosts = [...this.#context.directory.addresses()].map(([host]) => host)
        problems.push(...(await listener.addresses.follow(hosts)))
      }
    }
    return problems
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
    const problems: string[] = []
    for (const { addresses } of this.#listeners)
      if (addresses !== undefined) problems.push(...(await addresses.follow([...hosts])))
    return problems
  }

  /** A connection has another one to a deployment. */
  get #openFiles(): number {
    const sockets = this.#listeners.map(({ addresses }) => addresses?.size ?? 1)
    return sockets.reduce((sum, count) => sum + count, 2 * this.connections.size)
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
    return this.#listeners.flatMap(({ config, addresses, socket }) => {
      if (addresses !== undefined) return addresses.bound
      return socket === undefined ? [] : [{ listener: config.name, address: socket.address }]
    })
  }

  /** That are listened at; with `bind: each` also while no address is. */
  get ports(): ReadonlySet<number> {
    const ports = new Set<number>()
    for (const { config, socket } of this.#listeners) {
      if (config.mode === 'private' && config.port > 0) ports.add(config.port)
      else if (socket !== undefined) ports.add(portOf(socket.address))
    }
    return ports
  }

  async #listen(listener: Listener): Promise<string[]> {
    const { config, starter } = listener
    const { host, port } = placeOf(config)
    const result = await listenOn({
      listener: config.name,
      host,
      port,
      sockets: this.#context.sockets,
      probe: this.#context.config.timeouts.probe,
      accept: socket => starter.accept(socket),
      failed: error =>
        this.#context.logger.error({ err: error, listener: config.name }, LISTENER_FAILED),
    })
    if ('error' in result) {
      const what = `listener "${config.name}": ${formatAddress(host ?? '::', port)}`
      return [describeListenError(result.error, what)]
    }
    listener.socket = result
    return []
  }

  /** Stops accepting, and asks every connection to end. */
  drain(): void {
    for (const listener of this.#listeners) {
      listener.addresses?.close()
      listener.socket?.close()
      listener.socket = undefined
    }
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

/** Where a listener with one socket listens. */
function placeOf(config: ListenerConfig): { host: string | undefined; port: number } {
  if (config.mode === 'private') return { host: undefined, port: config.port }
  const colon = config.address.lastIndexOf(':')
  const host = config.address.slice(0, colon).replace(/^\[|\]$/g, '')
  return { host, port: Number(config.address.slice(colon + 1)) }
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1))
}

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

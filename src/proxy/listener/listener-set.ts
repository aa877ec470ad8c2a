/** The listening sockets of a worker: one a shared listener, one a tenant address or one for all of a private one. */
import { type AddressInfo, createServer, type Server } from 'node:net'
import type { ListenerConfig } from '../../config/schema.ts'
import { describeListenError } from '../../runtime/node-errors.ts'
import type { BoundAddress } from '../ipc.ts'
import type { DirectorySwap } from '../tenant/directory.ts'
import { normalizeAddress } from '../tenant/ip-address.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Drainable } from './arrival.ts'
import { ConnectionStarter, type StartOptions } from './connection-starter.ts'
import { TlsSide } from './tls.ts'
import { furtherAuthorities, readTlsMaterial, type TlsMaterial } from './tls-material.ts'
import { newTicketSecret, type TicketSecrets } from './tls-tickets.ts'
import { TrustedPeers } from './trusted-peers.ts'

/** What the kernel may hold for us while a turn of the event loop is long. */
const BACKLOG = 1_024

/** Where to listen, and for whom. */
interface Place {
  readonly host: string
  readonly port: number
  readonly tenant: string | undefined
}

interface Listener {
  readonly config: ListenerConfig
  readonly starter: ConnectionStarter
  /** Of a listener with TLS. */
  readonly tls: TlsSide | undefined
  /** By host. */
  readonly servers: Map<string, { server: Server; bound: BoundAddress }>
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
      this.#listeners.push({ config, starter, tls, servers: new Map() })
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
      // Not all at once: ten thousand addresses are ten thousand messages to the primary.
      for (const place of this.#places(listener.config)) await this.#open(listener, place, problems)
    }
    return problems
  }

  /** After a change of the tenants: binds the addresses that are new, and lets go of those that are nobody's now. */
  async rebind({ left, entered }: Pick<DirectorySwap, 'left' | 'entered'>): Promise<string[]> {
    const problems: string[] = []
    const each = this.#listeners.filter(({ config }) => bindsEach(config))
    if (each.length === 0) return problems
    const hosts = new Set([...left, ...entered].map(addressOf).filter(host => host !== undefined))
    for (const host of hosts) {
      const tenant = this.#context.directory.byAddress(host)?.id
      for (const listener of each) {
        const { config } = listener
        if (tenant === undefined) this.#close(listener, host)
        else if (bindsEach(config))
          await this.#open(listener, { host, port: config.port, tenant }, problems)
      }
    }
    return problems
  }

  #close(listener: Listener, host: string): void {
    listener.servers.get(host)?.server.close()
    listener.servers.delete(host)
  }

  async #open(listener: Listener, place: Place, problems: string[]): Promise<void> {
    if (listener.servers.has(place.host)) return
    const problem = await this.#listen(listener, place)
    if (problem !== undefined) problems.push(problem)
  }

  get bound(): BoundAddress[] {
    return this.#listeners.flatMap(listener =>
      [...listener.servers.values()].map(({ bound }) => bound),
    )
  }

  #places(config: ListenerConfig): Place[] {
    if (config.mode === 'shared') {
      const colon = config.address.lastIndexOf(':')
      const host = config.address.slice(0, colon).replace(/^\[|\]$/g, '')
      return [{ host, port: Number(config.address.slice(colon + 1)), tenant: undefined }]
    }
    if (config.bind === 'wildcard') return [{ host: '::', port: config.port, tenant: undefined }]
    const { port } = config
    const addresses = [...this.#context.directory.addresses()]
    return addresses.map(([host, tenant]) => ({ host, port, tenant: tenant.id }))
  }

  #listen(listener: Listener, { host, port, tenant }: Place): Promise<string | undefined> {
    const { name } = listener.config
    const server = createServer({ allowHalfOpen: true, noDelay: true }, socket =>
      listener.starter.accept(socket),
    )
    return new Promise(resolve => {
      server.once('error', error => {
        resolve(describeListenError(error, `listener "${name}": ${formatAddress(host, port)}`))
      })
      server.listen({ host, port, backlog: BACKLOG }, () => {
        const { port: boundPort } = server.address() as AddressInfo
        const bound = {
          listener: name,
          address: formatAddress(host, boundPort),
          ...(tenant === undefined ? {} : { tenant }),
        }
        listener.servers.set(host, { server, bound })
        server.on('error', error =>
          this.#context.logger.error({ err: error, listener: name }, 'a listener failed'),
        )
        resolve(undefined)
      })
    })
  }

  /** Stops accepting, and asks every connection to end. */
  drain(): void {
    for (const { servers } of this.#listeners) {
      for (const { server } of servers.values()) server.close()
      servers.clear()
    }
    for (const connection of this.connections) connection.drain()
  }

  /** Cuts what is still open. */
  destroy(): void {
    for (const connection of this.connections) connection.destroy()
  }
}

function bindsEach(config: ListenerConfig): config is ListenerConfig & { mode: 'private' } {
  return config.mode === 'private' && config.bind === 'each'
}

function addressOf({ config }: Tenant): string | undefined {
  return config.address === undefined ? undefined : normalizeAddress(config.address)
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

function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

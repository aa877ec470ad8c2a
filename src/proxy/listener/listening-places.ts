/**
 * Where the listeners of a worker listen: one socket a shared listener, and for private ones one for all addresses or one an
 * address of a tenant. A place stays open when its listener becomes another one: no connection that waits there is lost.
 */
import type { ListenerConfig } from '../../config/schema.ts'
import { describeListenError, nodeErrorCode } from '../../runtime/node-errors.ts'
import type { BoundAddress } from '../ipc.ts'
import type { WorkerContext } from '../worker/context.ts'
import { AddressSockets, LISTENER_FAILED } from './address-sockets.ts'
import type { Listener } from './listener.ts'
import { formatAddress, type ListeningSocket, listenOn } from './listening-socket.ts'

interface Place {
  /** Who gets what is accepted. */
  listener: Listener
  /** Of a private listener with `bind: each`. */
  readonly addresses: AddressSockets | undefined
  /** Of any other. */
  readonly socket: ListeningSocket | undefined
}

type Opened = { readonly place: Place } | { readonly problems: readonly string[] }

export class ListeningPlaces {
  readonly #context: WorkerContext
  /** By `keyOf` the configuration. */
  readonly #places = new Map<string, Place>()
  /** Connections that are open in the worker. */
  readonly #connections: () => number
  #ports: ReadonlySet<number> | undefined

  constructor(context: WorkerContext, connections: () => number) {
    this.#context = context
    this.#connections = connections
  }

  /** Opens what these need and is not open yet. Returns what failed; then all is as it was. */
  async open(listeners: readonly Listener[]): Promise<string[]> {
    const opened: string[] = []
    const problems: string[] = []
    for (const listener of listeners) {
      const key = keyOf(listener.config)
      if (this.#places.has(key)) continue
      const result = await this.#open(listener, listeners)
      if ('problems' in result) problems.push(...result.problems)
      else {
        this.#places.set(key, result.place)
        opened.push(key)
      }
    }
    if (problems.length > 0) for (const key of opened) this.#close(key)
    this.#ports = undefined
    return problems
  }

  /** What is accepted at the places of these is theirs from now on. */
  assign(listeners: readonly Listener[]): void {
    for (const listener of listeners) {
      const place = this.#places.get(keyOf(listener.config))
      if (place !== undefined) place.listener = listener
    }
  }

  /** Closes what none of these needs. */
  keep(listeners: readonly Listener[]): void {
    const needed = new Set(listeners.map(({ config }) => keyOf(config)))
    for (const key of this.#places.keys()) if (!needed.has(key)) this.#close(key)
    this.#ports = undefined
  }

  /** Other tenants may have these addresses now. Returns what failed. */
  async follow(hosts: readonly string[]): Promise<string[]> {
    const problems: string[] = []
    for (const { addresses } of this.#places.values())
      if (addresses !== undefined) problems.push(...(await addresses.follow(hosts)))
    return problems
  }

  boundBy({ config }: Listener): readonly BoundAddress[] {
    const place = this.#places.get(keyOf(config))
    if (place?.addresses !== undefined) return place.addresses.bound
    const address = place?.socket?.address
    return address === undefined ? [] : [{ listener: config.name, address }]
  }

  /** That are listened at; with `bind: each` also while no address is. */
  get ports(): ReadonlySet<number> {
    this.#ports ??= new Set([...this.#places.values()].map(portOf).filter(port => port > 0))
    return this.#ports
  }

  async #open(listener: Listener, wanted: readonly Listener[]): Promise<Opened> {
    const { config } = listener
    return config.mode === 'private' && config.bind === 'each'
      ? this.#openAddresses(listener, config.port)
      : this.#openSocket(listener, wanted)
  }

  async #openAddresses(listener: Listener, port: number): Promise<Opened> {
    const openFiles = (): number => this.#openFiles
    const addresses = new AddressSockets(this.#context, {
      get name() {
        return place.listener.config.name
      },
      port,
      door: () => place.listener.starter,
      openFiles,
    })
    const place: Place = { listener, addresses, socket: undefined }
    const hosts = [...this.#context.directory.addresses()].map(([host]) => host)
    const problems = await addresses.follow(hosts)
    if (problems.length === 0) return { place }
    addresses.close()
    return { problems }
  }

  async #openSocket(listener: Listener, wanted: readonly Listener[]): Promise<Opened> {
    const { host, port } = hostAndPort(listener.config)
    const { logger, config, sockets } = this.#context
    let place: Place | undefined
    const owner = (): Listener => place?.listener ?? listener
    const result = await listenOn({
      listener: listener.config.name,
      host,
      port,
      sockets,
      probe: config.timeouts.probe,
      door: () => owner().starter,
      failed: error => logger.error({ err: error, listener: owner().config.name }, LISTENER_FAILED),
    })
    if ('error' in result) {
      const what = `listener "${listener.config.name}": ${formatAddress(host ?? '::', port)}`
      return { problems: [this.#describe(result.error, what, { port, wanted })] }
    }
    place = { listener, addresses: undefined, socket: result }
    return { place }
  }

  /** It may be a listener of ours that is in the way: it is only closed when all of the change is in force. */
  #describe(
    error: Error,
    what: string,
    { port, wanted }: { readonly port: number; readonly wanted: readonly Listener[] },
  ): string {
    const needed = new Set(wanted.map(({ config }) => keyOf(config)))
    const former = [...this.#places].find(([key, place]) => {
      return !needed.has(key) && portOf(place) === port
    })?.[1]
    if (nodeErrorCode(error) !== 'EADDRINUSE' || former === undefined)
      return describeListenError(error, what)
    const { name } = former.listener.config
    return `${what}: the listener "${name}" still has this port, at another address: take it out with one reload, and put the new one in with the next`
  }

  /** A connection has another one to a deployment. */
  get #openFiles(): number {
    const sockets = [...this.#places.values()].map(({ addresses }) => addresses?.size ?? 1)
    return sockets.reduce((sum, count) => sum + count, 2 * this.#connections())
  }

  #close(key: string): void {
    const place = this.#places.get(key)
    this.#places.delete(key)
    place?.addresses?.close()
    place?.socket?.close()
  }
}

/** Equal for two that listen at the same place. */
function keyOf(config: ListenerConfig): string {
  if (config.mode === 'private') {
    const own = config.port === 0 ? config.name : ''
    return `${config.bind} ${config.port} ${own}`
  }
  // The system chooses a port for each.
  const own = config.address.endsWith(':0') ? config.name : ''
  return `shared ${config.address} ${own}`
}

/** Of a listener with one socket. */
function hostAndPort(config: ListenerConfig): { host: string | undefined; port: number } {
  if (config.mode === 'private') return { host: undefined, port: config.port }
  const colon = config.address.lastIndexOf(':')
  const host = config.address.slice(0, colon).replace(/^\[|\]$/g, '')
  return { host, port: Number(config.address.slice(colon + 1)) }
}

/** 0 where each address has another one. */
function portOf({ listener: { config }, socket }: Place): number {
  if (socket === undefined) return config.mode === 'private' ? config.port : 0
  return Number(socket.address.slice(socket.address.lastIndexOf(':') + 1))
}

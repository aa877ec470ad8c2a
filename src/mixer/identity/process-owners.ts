/** From a look at the machine's processes to the tenants whose deployment holds a connection. Pure. */
import { isLoopbackText } from '../../codec/ip-block.ts'
import type { Deployments } from '../registry/registry.ts'
import type { ProcessTree } from './process-tree.ts'
import type { ListeningSocket } from './tcp-table.ts'

/** What was seen of the machine in one look. */
export interface MachineView {
  /** Processes that hold a socket, by its inode. */
  readonly holders: ReadonlyMap<string, readonly number[]>
  readonly tree: ProcessTree
}

type Places = Pick<Deployments, 'byEndpoint' | 'loopbackAddresses'>

const ANY_IPV4 = '0.0.0.0'
const ANY_IPV6 = '::'

/**
 * Which sockets are some tenant's endpoint, with the ids of those tenants: what listens at exactly that address, else
 * what listens at all IPv4 addresses, else at all. `own`: the addresses of the machine, without loopback.
 */
export function endpointSockets(
  listening: readonly ListeningSocket[],
  places: Places,
  own: readonly string[],
): ReadonlyMap<ListeningSocket, readonly string[]> {
  const byPlace = Map.groupBy(listening, ({ address, port }) => `${address} ${port}`)
  const tenantsOf = new Map<ListeningSocket, Set<string>>()
  for (const port of new Set(listening.map(socket => socket.port))) {
    for (const address of [...places.loopbackAddresses(port), ...own]) {
      const owners = places.byEndpoint(address, port)
      if (owners.length === 0) continue
      for (const socket of socketsAt(byPlace, address, port)) {
        const tenants = tenantsOf.get(socket) ?? new Set()
        for (const { id } of owners) tenants.add(id)
        tenantsOf.set(socket, tenants)
      }
    }
  }
  return new Map([...tenantsOf].map(([socket, tenants]) => [socket, [...tenants]]))
}

function socketsAt(
  byPlace: ReadonlyMap<string, readonly ListeningSocket[]>,
  address: string,
  port: number,
): readonly ListeningSocket[] {
  const places = address.includes(':') ? [address, ANY_IPV6] : [address, ANY_IPV4, ANY_IPV6]
  for (const place of places) {
    const sockets = byPlace.get(`${place} ${port}`)
    if (sockets !== undefined) return sockets
  }
  return []
}

/** Which tenants each process stands for. */
export class ProcessOwners {
  readonly #view: MachineView
  /** By what the process itself listens at. */
  readonly #listening = new Map<number, Set<string>>()
  /** By what processes of its own group listen at that come from it. */
  readonly #below = new Map<number, Set<string>>()

  /** `sockets`: as `endpointSockets` gives them. */
  constructor(view: MachineView, sockets: ReadonlyMap<ListeningSocket, readonly string[]>) {
    this.#view = view
    for (const [{ inode }, tenants] of sockets) {
      for (const listener of view.holders.get(inode) ?? []) {
        addAll(this.#listening, listener, tenants)
        for (const pid of this.#startersOf(listener)) addAll(this.#below, pid, tenants)
      }
    }
  }

  /**
   * The tenants of the connection with that inode: those at whose endpoints its process listens, or a process that it
   * comes from, or one of its group that comes from it. Where several processes hold the connection, each must lead to
   * the same.
   */
  ofConnection(inode: string): 'not_found' | 'ambiguous' | readonly string[] {
    const [first, ...others] = this.#view.holders.get(inode) ?? []
    if (first === undefined) return 'not_found'
    const tenants = this.#ofProcess(first)
    const agree = others.every(pid => isSame(tenants, this.#ofProcess(pid)))
    return agree ? [...tenants] : 'ambiguous'
  }

  /** A start script is of the deployment that it starts; a supervisor, which starts each in a group of its own, is of none. */
  #startersOf(listener: number): number[] {
    const { tree } = this.#view
    const group = tree.groupOf(listener)
    return tree.lineOf(listener).filter(pid => tree.groupOf(pid) === group)
  }

  #ofProcess(pid: number): Set<string> {
    const tenants = new Set(this.#below.get(pid))
    for (const ancestor of this.#view.tree.lineOf(pid))
      for (const tenant of this.#listening.get(ancestor) ?? []) tenants.add(tenant)
    return tenants
  }
}

function isSame(first: ReadonlySet<string>, second: ReadonlySet<string>): boolean {
  return first.size === second.size && [...first].every(tenant => second.has(tenant))
}

function addAll(map: Map<number, Set<string>>, pid: number, tenants: readonly string[]): void {
  const known = map.get(pid) ?? new Set()
  map.set(pid, known)
  for (const tenant of tenants) known.add(tenant)
}

/** Whether connections from this address come from this machine itself. */
export function isOwnAddress(address: string, own: readonly string[]): boolean {
  return isLoopbackText(address) || own.includes(address)
}

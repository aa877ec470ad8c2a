/** Opens a listening socket; in a worker process it is the primary that binds, and all workers share what it has bound. */
import {
  type AddressInfo,
  BlockList,
  createServer,
  type Socket,
  type SocketAddress,
} from 'node:net'
import type { BoundHandle } from '../../runtime/bound-handle.ts'

/** What the kernel may hold for us while a turn of the event loop is long. */
export const BACKLOG = 1_024

/** Where somebody listens. */
export interface Place {
  /** Name of the listener. */
  readonly listener: string
  /** All addresses of the machine where it is undefined: of both families, or of IPv4 where there is no other. */
  readonly host?: string | undefined
  readonly port: number
}

/** Who binds sockets and keeps them. */
export interface SocketSource {
  /** Rejects where that cannot be bound. */
  take(place: Place): Promise<BoundHandle>
  /** What was taken is not listened at any more. */
  giveBack(place: Place): void
}

/** Who decides about connections. */
export interface Door {
  /**
   * Whether one from this address is closed at once, before there is a socket of it. It is asked for each one, and where it
   * answers true nobody hears more of it.
   */
  refuses(address: string): boolean
  accept(socket: Socket): void
}

export interface ListeningSocket {
  /** `127.0.0.1:8443`; with the real port where 0 was asked for. */
  readonly address: string
  /** Accepts no more; connections stay. */
  close(): void
}

export interface ListenOptions extends Place {
  /** Undefined where the process binds by itself: a worker that has no primary, as in a test. */
  readonly sockets: SocketSource | undefined
  /** ms of silence after which a client is asked by TCP whether it is there; 0 is never. */
  readonly probe: number
  /** The one of the moment. */
  readonly door: () => Door
  /** What goes wrong later. */
  readonly failed: (error: Error) => void
}

/** Never rejects. */
export async function listenOn(
  options: ListenOptions,
): Promise<ListeningSocket | { readonly error: Error }> {
  const { listener, host, port, sockets } = options
  if (sockets === undefined) return listen(options, undefined)
  const place = { listener, host, port }
  let handle: BoundHandle
  try {
    handle = await sockets.take(place)
  } catch (error) {
    return { error: error as Error }
  }
  const result = await listen(options, handle)
  if ('error' in result) {
    sockets.giveBack(place)
    return result
  }
  const close = (): void => {
    result.close()
    sockets.giveBack(place)
  }
  return { address: result.address, close }
}

function listen(
  { host, port, probe, door, failed }: ListenOptions,
  handle: BoundHandle | undefined,
): Promise<ListeningSocket | { readonly error: Error }> {
  const server = createServer(
    {
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: probe > 0,
      // In whole seconds below; 0 of them would be those of the system.
      keepAliveInitialDelay: Math.max(1_000, probe),
      blockList: new Gate(door),
    },
    socket => door().accept(socket),
  )
  return new Promise(resolve => {
    const refuse = (error: Error): void => resolve({ error })
    const close = (): void => {
      server.close()
    }
    const listening = (): void => {
      server.off('error', refuse)
      server.on('error', failed)
      const bound = server.address() as AddressInfo
      resolve({ address: formatAddress(host ?? bound.address, bound.port), close })
    }
    server.once('error', refuse)
    if (handle !== undefined) server.listen(handle, BACKLOG, listening)
    else
      server.listen({ port, backlog: BACKLOG, ...(host === undefined ? {} : { host }) }, listening)
  })
}

/**
 * Node asks a list of blocked addresses between `accept` and its socket, of which a flood of connections that are refused has no
 * use, and which takes most of the time.
 */
class Gate extends BlockList {
  readonly #door: () => Door

  constructor(door: () => Door) {
    super()
    this.#door = door
  }

  override check(address: string | SocketAddress): boolean {
    return this.#door().refuses(typeof address === 'string' ? address : address.address)
  }
}

export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

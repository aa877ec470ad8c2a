/** Opens a listening socket; in a worker process it is the primary that binds, and all workers share what it has bound. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/** What the kernel may hold for us while a turn of the event loop is long. */
export const BACKLOG = 1_024

export interface ListeningSocket {
  readonly server: Server
  /** `127.0.0.1:8443`; with the real port where 0 was asked for. */
  readonly address: string
}

export interface ListenOptions {
  /** All addresses of the machine where it is undefined: of both families, or of IPv4 where there is no other. */
  readonly host: string | undefined
  readonly port: number
  /** ms of silence after which a client is asked by TCP whether it is there; 0 is never. */
  readonly probe: number
  readonly accept: (socket: Socket) => void
  /** What goes wrong later. */
  readonly failed: (error: Error) => void
}

/** Never rejects. */
export function listenOn(
  options: ListenOptions,
): Promise<ListeningSocket | { readonly error: Error }> {
  const { host, port, probe, accept, failed } = options
  const server = createServer(
    {
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: probe > 0,
      // In whole seconds below; 0 of them would be those of the system.
      keepAliveInitialDelay: Math.max(1_000, probe),
    },
    accept,
  )
  return new Promise(resolve => {
    const refuse = (error: Error): void => resolve({ error })
    server.once('error', refuse)
    server.listen({ port, backlog: BACKLOG, ...(host === undefined ? {} : { host }) }, () => {
      server.off('error', refuse)
      server.on('error', failed)
      const bound = server.address() as AddressInfo
      resolve({ server, address: formatAddress(host ?? bound.address, bound.port) })
    })
  })
}

export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** A relay that keeps what each connection begins with, so many bytes, and passes on the rest. */
import { once } from 'node:events'
import net from 'node:net'
import type { Test } from 'tap'

export interface HeaderRelay {
  readonly port: number
  /** One a connection, in the order in which they came whole. */
  readonly headers: readonly Buffer[]
}

/** `lengthOf` says how long the header is that the bytes begin with, as soon as it is there. */
export async function headerRelay(
  t: Test,
  to: number,
  lengthOf: (bytes: Buffer) => number | undefined,
): Promise<HeaderRelay> {
  const headers: Buffer[] = []
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let bytes = Buffer.alloc(0)
    const look = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk])
      const length = lengthOf(bytes)
      if (length === undefined) return
      socket.off('data', look)
      headers.push(bytes.subarray(0, length))
      const target = net.connect(to, '127.0.0.1')
      target.on('error', () => socket.destroy())
      socket.on('close', () => target.destroy())
      target.write(bytes.subarray(length))
      socket.pipe(target)
      target.pipe(socket)
    }
    socket.on('data', look)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as net.AddressInfo).port, headers }
}

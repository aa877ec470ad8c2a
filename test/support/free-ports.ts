import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * That many different ports that are free on 127.0.0.1 at the moment, for what cannot be told to take any port: a test that
 * starts a program with its ports in a file. Everything else listens on port 0.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports: number[] = []
  for (const server of servers) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (typeof address === 'object' && address) ports.push(address.port)
  }
  await Promise.all(servers.map(server => once(server.close(), 'close')))
  return ports
}

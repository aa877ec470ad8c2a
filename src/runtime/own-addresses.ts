/** Which addresses this machine has at the moment. */
import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { nodeErrorCode } from './node-errors.ts'

/** Those of its interfaces; a route may give it others, see `isOwnAddress`. */
export function interfaceAddresses(): Set<string> {
  const addresses = new Set<string>()
  for (const each of Object.values(networkInterfaces()))
    for (const { address } of each ?? []) addresses.add(address)
  return addresses
}

/** Whether a socket can be bound there, as to an address of a local route; asks the kernel. */
export async function isOwnAddress(address: string): Promise<boolean> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.bind({ address, port: 0, exclusive: true }, resolve)
    })
    return true
  } catch (error) {
    return nodeErrorCode(error) !== 'EADDRNOTAVAIL'
  } finally {
    socket.close()
  }
}

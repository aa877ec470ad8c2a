/**
 * A TCP relay that counts. Between a program and the proxy it counts what that program itself sent and received, which is
 * what the ledger must hold; between the proxy and a deployment, what passed there.
 */
import { once } from 'node:events'
import net from 'node:net'
import type { Test } from 'tap'
import { cut } from '../../src/proxy/wire/cut.ts'

export interface CountingRelay {
  /** On 127.0.0.1. */
  readonly port: number
  /** Bytes from the side that connected. */
  readonly sent: number
  /** Bytes to the side that connected. */
  readonly received: number
  /** Connections so far. */
  readonly connections: number
}

/** Starts a relay to `target`, closed with the test. It hands on half-closes and ends, and a reset as a reset. */
export async function countingRelay(t: Test, target: net.NetConnectOpts): Promise<CountingRelay> {
  const counts = { port: 0, sent: 0, received: 0, connections: 0 }
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, near => {
    const far = net.connect({ ...target, allowHalfOpen: true, noDelay: true })
    counts.connections += 1
    near.on('data', chunk => {
      counts.sent += chunk.length
    })
    far.on('data', chunk => {
      counts.received += chunk.length
    })
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => cut(other))
      one.on('close', () => sockets.delete(one))
      one.pipe(other)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  counts.port = (server.address() as net.AddressInfo).port
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  return counts
}

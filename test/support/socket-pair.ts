/** Two connected sockets of this process; they and their server are closed at the end of the test. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

export interface SocketPair {
  /** The accepted one. */
  readonly near: Socket
  readonly far: Socket
}

export async function socketPair(t: Test): Promise<SocketPair> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const far = connect({ port: address.port, host: '127.0.0.1', allowHalfOpen: true })
  const [near] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => {
    near.destroy()
    far.destroy()
    server.close()
  })
  return { near, far }
}

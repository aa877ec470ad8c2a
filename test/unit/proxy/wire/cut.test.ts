/**
 * A connection that is cut must look cut, at once, and must be gone. Node's `resetAndDestroy` ends a socket first, and
 * leaves a handle behind that can never be closed where that end is still under way: the process then spins for ever.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test } from 'tap'
import { cut } from '../../../../src/proxy/wire/cut.ts'

interface Row {
  readonly name: string
  readonly before: (socket: Socket) => void
  readonly peerSees: 'ECONNRESET' | 'end'
}

const ROWS: readonly Row[] = [
  { name: 'nothing was sent', before: () => {}, peerSees: 'ECONNRESET' },
  { name: 'a little was sent', before: socket => socket.write('a little'), peerSees: 'ECONNRESET' },
  {
    name: 'more was sent than the peer reads',
    before: socket => socket.write(Buffer.alloc(16 * 1024 * 1024)),
    peerSees: 'ECONNRESET',
  },
  {
    name: 'an end waits behind more than the peer reads',
    before: socket => socket.end(Buffer.alloc(16 * 1024 * 1024)),
    peerSees: 'ECONNRESET',
  },
  { name: 'all was sent and ended', before: socket => socket.end('all'), peerSees: 'end' },
]

for (const { name, before, peerSees } of ROWS) {
  await test(`a connection is cut: ${name}`, async t => {
    const server = createServer(socket => {
      socket.on('error', () => {})
      socket.once('data', () => {
        before(socket)
        cut(socket)
        t.ok(socket.destroyed, 'at once')
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const peer = connect((server.address() as AddressInfo).port, '127.0.0.1')
    let seen = 'nothing'
    peer.on('end', () => {
      seen = 'end'
    })
    peer.on('error', (error: NodeJS.ErrnoException) => {
      seen = String(error.code)
    })
    peer.resume()
    peer.write('begin')
    // Not `once`, which takes the reset for a failure of the test.
    await new Promise(resolve => {
      peer.once('close', resolve)
    })
    t.equal(seen, peerSees)
    server.close()
    await once(server, 'close')
    const sockets = process.getActiveResourcesInfo().filter(kind => kind === 'TCPSocketWrap')
    t.same(sockets, [], 'no handle is left behind')
  })
}

/** The socket behind which a bad deployment stands, in either version of HTTP. */
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { SETTINGS } from '../../../src/codec/http2/frame.ts'
import { CLIENT_PREFACE } from '../../../src/codec/http2/frame-writer.ts'
import { AttackPeer } from '../http2/attack-peer.ts'
import { frame } from '../http2/frames.ts'
import { type BadDeployment, Http1Connection } from './bad-deployments.ts'
import type { Version } from './quiet-tenant.ts'

/** A deployment that is bad in a way that may change. */
export class BadServer {
  readonly url: string
  serve: BadDeployment | undefined
  connections = 0
  readonly #sockets: Set<Socket>

  private constructor(url: string, sockets: Set<Socket>) {
    this.url = url
    this.#sockets = sockets
  }

  static async start(version: Version): Promise<BadServer> {
    const sockets = new Set<Socket>()
    const server = net.createServer({ noDelay: true, allowHalfOpen: false })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const bad = new BadServer(`${version === 1 ? 'http' : 'h2c'}://127.0.0.1:${port}`, sockets)
    server.on('connection', socket => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      bad.connections += 1
      if (version === 1) bad.serve?.http1(new Http1Connection(socket))
      else bad.#greet(socket)
    })
    return bad
  }

  get open(): number {
    return this.#sockets.size
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.connections = 0
  }

  #greet(socket: Socket): void {
    const peer = new AttackPeer(socket, { skip: CLIENT_PREFACE.length, grants: true })
    peer.send(frame(SETTINGS, 0))
    this.serve?.http2(peer)
  }
}

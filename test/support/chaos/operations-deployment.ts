/** A deployment whose endpoints come and go, each at a port of its own; it counts what it begins to serve. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Test } from 'tap'
import type { SeededRandom } from '../seeded-random.ts'

const MOST_DELAY_MS = 20
const DOWNLOAD = Buffer.alloc(200_000, 'd')

/** Answers each call some time later with its path, or with much. */
export class ComingAndGoing {
  readonly port: number
  served = 0
  readonly #random: SeededRandom
  #server: Server
  readonly #sockets = new Set<Duplex>()

  private constructor(server: Server, random: SeededRandom) {
    this.#server = server
    this.#random = random
    this.port = (server.address() as AddressInfo).port
    this.#serve(server)
  }

  static async start(t: Test, random: SeededRandom): Promise<ComingAndGoing> {
    const server = createServer()
    await listen(server, 0)
    const deployment = new ComingAndGoing(server, random)
    t.teardown(() => deployment.go())
    return deployment
  }

  /** It is gone at once, with all that it was about to answer. */
  go(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  async comeBack(): Promise<void> {
    const server = createServer()
    this.#serve(server)
    await listen(server, this.port)
    this.#server = server
  }

  #serve(server: Server): void {
    // A proxy keeps its connections for longer than a server of Node does.
    server.keepAliveTimeout = 0
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
    })
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.served += 1
      request.resume()
      request.on('error', () => {})
      const body = request.url === '/download' ? DOWNLOAD : (request.url ?? '')
      setTimeout(() => response.end(body), this.#random.below(MOST_DELAY_MS))
    })
    server.on('upgrade', (_, socket: Duplex) => {
      this.served += 1
      socket.on('error', () => {})
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n',
      )
      socket.pipe(socket)
    })
  }
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1')
  await new Promise((resolve, reject) => {
    server.once('listening', resolve)
    server.once('error', reject)
  })
}

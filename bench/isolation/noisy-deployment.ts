/**
 * The noisy tenant's deployment: it answers, answers with very much, takes uploads, or never answers, as the path says. On raw
 * sockets, so that it leaves the CPU that it shares with the load to the load. Calls are not pipelined.
 */
import { createServer, type Socket } from 'node:net'
import { answerTo } from '../deployments/deployment.ts'
import { LARGE_BYTES, PATHS } from './scene.ts'

const PIECE = Buffer.alloc(256 * 1024, 'large.')

class Connection {
  readonly #socket: Socket
  #head = ''
  /** Bytes of a body that are still to come. */
  #missing = 0
  #tenant = ''

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => socket.destroy())
    socket.on('data', (piece: Buffer) => this.#push(piece))
  }

  #push(piece: Buffer): void {
    if (this.#missing > 0) return this.#take(piece.length)
    this.#head += piece.toString('latin1')
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = this.#head.slice(0, end)
    const rest = this.#head.length - end - 4
    this.#head = ''
    this.#tenant = /\r\nx-amt-tenant: *([\w-]+)/i.exec(head)?.[1] ?? ''
    const path = head.split(' ', 2)[1]
    if (path === PATHS.hung) return
    if (path === PATHS.large) return this.#large()
    this.#missing = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
    this.#take(rest)
  }

  #take(bytes: number): void {
    this.#missing -= bytes
    if (this.#missing > 0) return
    this.#missing = 0
    const body = answerTo(this.#tenant, '')
    this.#socket.write(
      `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
  }

  #large(): void {
    let left = LARGE_BYTES
    this.#socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${LARGE_BYTES}\r\n\r\n`)
    const more = (): void => {
      while (left > 0 && !this.#socket.destroyed) {
        const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE
        left -= piece.length
        if (!this.#socket.write(piece) && left > 0) {
          this.#socket.once('drain', more)
          return
        }
      }
    }
    more()
  }
}

createServer({ noDelay: true }, socket => new Connection(socket)).listen(
  Number(process.argv[2]),
  '127.0.0.1',
  4_096,
)

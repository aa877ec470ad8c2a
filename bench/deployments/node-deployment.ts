/**
 * Takes uploads, echoes WebSocket messages, and answers small calls as the other deployment does. On raw sockets, so that
 * it leaves the CPU that it shares with the load to the load. It takes for granted that calls are not pipelined.
 */
import { createHash } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { patternFault } from '../harness/pattern.ts'
import { echoFrames } from '../harness/websocket-frame.ts'
import { answerTo } from './deployment.ts'

/** RFC 6455 §1.3. */
const ACCEPT_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

class DeploymentConnection {
  readonly #socket: Socket
  /** What came of a head or a frame that is not complete. */
  #head: Buffer = Buffer.alloc(0)
  #tenant = ''
  /** Bytes of an upload that are still to come, and that came. */
  #missing = 0
  #received = 0
  #fault = ''
  #upgraded = false

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => socket.destroy())
    socket.on('data', (piece: Buffer) => this.#push(piece))
  }

  #push(piece: Buffer): void {
    if (this.#upgraded) this.#echo(piece)
    else if (this.#missing > 0) this.#take(piece)
    else this.#readHead(piece)
  }

  #readHead(piece: Buffer): void {
    const bytes = this.#head.length === 0 ? piece : Buffer.concat([this.#head, piece])
    const end = bytes.indexOf('\r\n\r\n')
    if (end < 0) {
      this.#head = bytes
      return
    }
    this.#head = Buffer.alloc(0)
    const head = bytes.toString('latin1', 0, end)
    const rest = bytes.subarray(end + 4)
    this.#tenant = valueOf(head, 'x-amt-tenant')
    const key = valueOf(head, 'sec-websocket-key')
    if (key !== '') this.#upgrade(key, rest)
    else if (head.startsWith('POST '))
      this.#beginUpload(Number(valueOf(head, 'content-length')), rest)
    else
      this.#answer(
        answerTo(this.#tenant, valueOf(head, 'x-api-key') + valueOf(head, 'authorization')),
      )
  }

  #beginUpload(length: number, rest: Buffer): void {
    this.#missing = length
    this.#received = 0
    this.#fault = ''
    this.#take(rest)
  }

  #take(piece: Buffer): void {
    this.#fault ||= patternFault(piece, this.#received) ?? ''
    this.#received += piece.length
    this.#missing -= piece.length
    if (this.#missing > 0) return
    const [tenant, bytes, fault] = [this.#tenant, this.#received, this.#fault]
    this.#answer(JSON.stringify({ tenant, bytes, fault }))
  }

  #upgrade(key: string, rest: Buffer): void {
    this.#upgraded = true
    const accept = createHash('sha1').update(`${key}${ACCEPT_SUFFIX}`).digest('base64')
    this.#socket.setNoDelay(true)
    this.#socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Tenant: ${this.#tenant}\r\n\r\n`,
    )
    if (rest.length > 0) this.#echo(rest)
  }

  #echo(piece: Buffer): void {
    const bytes = this.#head.length === 0 ? piece : Buffer.concat([this.#head, piece])
    const { echo, taken } = echoFrames(bytes)
    this.#head = bytes.subarray(taken)
    if (echo.length > 0) this.#socket.write(echo)
  }

  #answer(body: string): void {
    this.#socket.write(
      `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
  }
}

function valueOf(head: string, name: string): string {
  return new RegExp(`\r\n${name}: *([^\r]*)`, 'i').exec(head)?.[1] ?? ''
}

createServer({ noDelay: true }, socket => new DeploymentConnection(socket)).listen(
  Number(process.argv[2]),
  '127.0.0.1',
  4_096,
)

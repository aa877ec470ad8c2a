/** Messages over upgraded connections: one at a time on each of them, echoed by the deployment and compared. */
import type { Socket } from 'node:net'
import { WrongAnswer } from '../harness/answer.ts'
import { headOf, openSocket } from '../harness/caller.ts'
import { percentile } from '../harness/statistics.ts'
import { maskedFrame, plainFrame } from '../harness/websocket-frame.ts'
import type { WorkTenant } from '../harness/work.ts'
import type { Load, LoadTarget } from './load.ts'

const PAYLOAD_BYTES = 64
const STALLED_MS = 10_000
/** The example of RFC 6455 §1.3, and what must be answered to it. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
const UPGRADE = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n`

/** A figure counts a message there and its echo back as one. */
export function websocket(connections: number): Load {
  return async target => {
    const { work, seconds } = target
    const talks: Talk[] = []
    try {
      for (let at = 0; at < connections; at += 1)
        talks.push(await Talk.open(target, work.tenants[at % work.tenants.length] as WorkTenant))
      const started = performance.now()
      await Promise.all(talks.map(async talk => talk.until(started + seconds * 1_000)))
      const taken = performance.now() - started
      const times = Float64Array.from(talks.flatMap(({ times }) => times)).toSorted()
      return {
        units: times.length,
        seconds: taken / 1_000,
        calls: connections,
        open: 0,
        bytes: times.length * PAYLOAD_BYTES * 2,
        p50Ms: percentile(times, 0.5),
        p99Ms: percentile(times, 0.99),
      }
    } finally {
      for (const talk of talks) talk.close()
    }
  }
}

class Talk {
  /** Milliseconds from each message to its echo. */
  readonly times: number[] = []
  readonly #socket: Socket
  readonly #payload: Buffer
  readonly #done = Promise.withResolvers<void>()
  #received: Buffer = Buffer.alloc(0)
  #expected: Buffer = Buffer.alloc(0)
  #sentAt = 0
  #end = 0
  #message = 0

  private constructor(socket: Socket, tenant: string) {
    this.#socket = socket
    this.#payload = Buffer.alloc(PAYLOAD_BYTES, `${tenant} `)
    socket.on('data', (piece: Buffer) => this.#push(piece))
    socket.on('error', () => {})
    socket.on('close', () => this.#fail('the connection was closed'))
    socket.setTimeout(STALLED_MS, () => this.#fail('no echo for ten seconds'))
  }

  /** Upgraded. Rejected where that was refused, or answered by the deployment of another tenant. */
  static async open({ work, port }: LoadTarget, { id, credential }: WorkTenant): Promise<Talk> {
    const socket = await openSocket(work, port)
    socket.write(headOf(work, credential, `GET ${work.path}`, UPGRADE), 'latin1')
    const head = await firstBytes(socket)
    const good =
      head.startsWith('HTTP/1.1 101 ') &&
      head.includes(ACCEPT) &&
      new RegExp(`\r\nx-tenant: *${id}\r\n`, 'i').test(head) &&
      head.endsWith('\r\n\r\n')
    if (good) return new Talk(socket, id)
    socket.destroy()
    throw new WrongAnswer(`an upgrade as ${id} got ${head.slice(0, 300)}`)
  }

  /** Sends one message after the other, as long as that time has not come; fulfilled with the last echo. */
  async until(end: number): Promise<void> {
    this.#end = end
    this.#send()
    return this.#done.promise
  }

  close(): void {
    this.#done.promise.catch(() => {})
    this.#socket.destroy()
  }

  #send(): void {
    this.#message += 1
    this.#payload.writeUInt32BE(this.#message, PAYLOAD_BYTES - 4)
    this.#expected = plainFrame(this.#payload)
    const mask = this.#expected.subarray(-4) // any mask will do, and this one changes
    this.#sentAt = performance.now()
    this.#socket.write(maskedFrame(this.#payload, mask))
  }

  #push(piece: Buffer): void {
    this.#received = this.#received.length === 0 ? piece : Buffer.concat([this.#received, piece])
    if (this.#received.length < this.#expected.length) return
    if (!this.#received.equals(this.#expected)) {
      this.#fail(`message ${this.#message} came back as ${this.#received.toString('hex')}`)
      return
    }
    const now = performance.now()
    this.times.push(now - this.#sentAt)
    this.#received = Buffer.alloc(0)
    if (now < this.#end) this.#send()
    else this.#done.resolve()
  }

  #fail(reason: string): void {
    this.#done.reject(new WrongAnswer(reason))
  }
}

async function firstBytes(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(new WrongAnswer('an upgrade got no answer'))
    socket.once('close', onClose)
    socket.once('data', (piece: Buffer) => {
      socket.off('close', onClose)
      resolve(piece.toString('latin1'))
    })
  })
}

/** A client that sends exact bytes and keeps all that comes back; and the patience to let things take their course. */
import { once } from 'node:events'
import net from 'node:net'

/** On an idle machine a case takes a few milliseconds. */
const DEADLINE_MS = 10_000

/** Lets so many turns of the event loop pass: peers that are in this process get on with what they have to do. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(resolve => setImmediate(resolve))
}

export class RawClient {
  #chunks: Buffer[] = []
  readonly #socket: net.Socket
  #look: (() => void) | undefined
  #reset = false

  private constructor(socket: net.Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#look?.()
    })
    socket.on('error', () => {
      this.#reset = true
    })
    socket.on('end', () => socket.end())
    socket.on('close', () => this.#look?.())
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  get received(): Buffer {
    const whole = Buffer.concat(this.#chunks)
    this.#chunks = [whole]
    return whole
  }

  get closed(): boolean {
    return this.#socket.closed
  }

  /** Whether it was closed as one closes behind a whole answer. */
  get ended(): boolean {
    return this.closed && !this.#reset
  }

  send(text: string): void {
    this.#socket.write(Buffer.from(text, 'latin1'))
  }

  /** Waits until `holds`, or the connection is gone; false where that takes too long. */
  until(holds: () => boolean): Promise<boolean> {
    return new Promise(resolve => {
      const leave = (held: boolean): void => {
        clearTimeout(timer)
        this.#look = undefined
        resolve(held)
      }
      const timer = setTimeout(leave, DEADLINE_MS, false)
      this.#look = () => {
        if (this.closed || holds()) leave(true)
      }
      this.#look()
    })
  }

  /** Says that no more will be sent. */
  end(): void {
    this.#socket.end()
  }

  close(): void {
    this.#socket.destroy()
  }
}

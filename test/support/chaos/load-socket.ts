/** A client's socket under load: what comes is handed on and not kept, and any end is an end. */
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectSecurely } from 'node:tls'

const PATIENCE_MS = 5_000

export class LoadSocket {
  /** For whoever reads it by other means. */
  readonly socket: Socket
  #take: (chunk: Buffer) => void = () => {}
  #look: () => void = () => {}
  /** No more will come. */
  over = false

  private constructor(socket: Socket) {
    this.socket = socket
    const end = (): void => {
      this.over = true
      this.#look()
    }
    socket.on('data', (chunk: Buffer) => {
      this.#take(chunk)
      this.#look()
    })
    socket.on('end', end)
    socket.on('close', end)
    // A reset is an end as well.
    socket.on('error', () => {})
  }

  /** Undefined where nobody listens, or the connection ends before it is there. */
  static async open(options: NetConnectOpts & ConnectionOptions): Promise<LoadSocket | undefined> {
    const all = { noDelay: true, allowHalfOpen: true, ...options }
    const socket = 'ca' in options ? connectSecurely(all) : connect(all)
    const opened = new LoadSocket(socket)
    const there = await new Promise<boolean>(resolve => {
      socket.once('ca' in options ? 'secureConnect' : 'connect', () => resolve(true))
      socket.once('close', () => resolve(false))
      socket.setTimeout(PATIENCE_MS, () => resolve(false))
    })
    socket.setTimeout(0)
    if (there) return opened
    socket.destroy()
    return undefined
  }

  /** What comes goes there from now on. */
  onData(take: (chunk: Buffer) => void): void {
    this.#take = take
  }

  write(bytes: Buffer): void {
    if (!this.socket.destroyed) this.socket.write(bytes)
  }

  /** False when the connection ends before `holds`, which is looked at with each arrival. */
  async until(holds: () => boolean): Promise<boolean> {
    while (!holds()) {
      if (this.over) return false
      await new Promise<void>(resolve => {
        this.#look = resolve
      })
    }
    return true
  }

  /** Ends this side, and waits for the end of the other. */
  async end(): Promise<void> {
    this.socket.end()
    await this.until(() => this.over)
    this.socket.destroy()
  }
}

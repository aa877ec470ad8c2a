/**
 * One end of a connection in the hands of a test: it sends exact bytes, and what it waits for comes as a promise that
 * gives up after a while. Neither end closes by itself: half-closed connections stay as the test left them.
 */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'

/** Nothing that a test waits for takes a tenth of it on an idle machine. */
const PATIENCE_MS = 8_000
/**
 * Patience is spent in such steps, as timers come: timers come first in a turn of the loop, and a test that did not run for
 * seconds, on a machine that stood still or has much else to do, would find all of it spent before it read what has come.
 */
const STEP_MS = 100

export class Peer {
  readonly socket: net.Socket
  /** What `socket` stands on, where it is TLS. */
  readonly #raw: net.Socket
  /** Whether the other side has said that it will send no more. */
  ended = false
  closed = false
  /** Code of the error that ended the connection; `ECONNRESET` where the other side reset it. */
  error: string | undefined
  /** Bytes that arrived, also those that `take` has given out. */
  total = 0
  #chunks: Buffer[] = []
  readonly #waiting = new Set<() => void>()

  constructor(socket: net.Socket, raw = socket) {
    this.socket = socket
    this.#raw = raw
    const changed = (): void => {
      for (const look of this.#waiting) look()
    }
    socket.on('data', (chunk: Buffer) => {
      this.total += chunk.length
      this.#chunks.push(chunk)
      changed()
    })
    socket.on('end', () => {
      this.ended = true
      changed()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message
    })
    socket.on('close', () => {
      this.closed = true
      changed()
    })
    socket.on('drain', changed)
  }

  /** Everything that arrived since the last `take`. */
  get bytes(): Buffer {
    const whole = Buffer.concat(this.#chunks)
    this.#chunks = [whole]
    return whole
  }

  /** The same as text, one character a byte. */
  get text(): string {
    return this.bytes.toString('latin1')
  }

  /** Forgets what arrived, and returns it. */
  take(): string {
    const { text } = this
    this.#chunks = []
    return text
  }

  /** Sends text or bytes; resolves when the kernel has them. */
  async send(data: string | Buffer): Promise<void> {
    await new Promise<void>(resolve => {
      this.socket.write(typeof data === 'string' ? Buffer.from(data, 'latin1') : data, () =>
        resolve(),
      )
    })
  }

  /** Sends without waiting, as fast as the other side reads, until it no longer does; stops with the connection. */
  flood(piece: Buffer, total = Number.POSITIVE_INFINITY): void {
    let sent = 0
    const fill = (): void => {
      while (sent < total && !this.socket.destroyed && !this.socket.writableNeedDrain) {
        sent += piece.length
        this.socket.write(piece)
      }
    }
    this.socket.on('drain', fill)
    fill()
  }

  /** Says that no more will be sent. */
  end(): void {
    this.socket.end()
  }

  /** Vanishes. */
  reset(): void {
    const raw = this.#raw
    // libuv refuses to reset behind a FIN that is on its way, and Node then never closes the socket.
    const ending = raw.writableEnded && !raw.writableFinished
    if (ending || raw instanceof tls.TLSSocket) raw.destroy()
    else raw.resetAndDestroy()
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** Resolves as soon as `holds`; rejects, naming `what`, where that takes longer than `patienceMs` or the connection closes first. */
  async until(holds: () => boolean, what: string, patienceMs: number = PATIENCE_MS): Promise<void> {
    if (holds()) return
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        clearInterval(timer)
        this.#waiting.delete(look)
      }
      const fail = (why: string): void => {
        leave()
        reject(new Error(`${what}: ${why}; there is ${JSON.stringify(this.text.slice(-500))}`))
      }
      const step = Math.min(STEP_MS, patienceMs)
      let left = patienceMs
      const wait = (): void => {
        left -= step
        if (left <= 0) fail('not in time')
      }
      const timer = Number.isFinite(patienceMs) ? setInterval(wait, step) : undefined
      const look = (): void => {
        if (holds()) {
          leave()
          resolve()
        } else if (this.closed) fail(`closed (${this.error ?? 'cleanly'})`)
      }
      this.#waiting.add(look)
    })
  }

  /** Waits until `text` has arrived; returns all up to its end, and keeps what came behind it. */
  async read(text: string): Promise<string> {
    await this.until(() => this.text.includes(text), `waiting for ${JSON.stringify(text)}`)
    const all = this.text
    const end = all.indexOf(text) + text.length
    this.#chunks = [Buffer.from(all.slice(end), 'latin1')]
    return all.slice(0, end)
  }

  /** A message head, with the empty line behind it. */
  readHead(): Promise<string> {
    return this.read('\r\n\r\n')
  }

  /** Waits for `count` bytes and takes them. */
  async readBytes(count: number): Promise<string> {
    await this.until(() => this.bytes.length >= count, `waiting for ${count} bytes`)
    const all = this.text
    this.#chunks = [Buffer.from(all.slice(count), 'latin1')]
    return all.slice(0, count)
  }

  /** Waits for the other side to end; returns all that arrived and was not taken. */
  async readToEnd(): Promise<string> {
    await this.until(() => this.ended || this.closed, 'waiting for the end')
    return this.text
  }

  /** Waits until the connection is gone, both ways or by a reset. */
  async gone(): Promise<void> {
    await this.until(() => this.closed, 'waiting for the close')
  }
}

/** A new connection to a port of this machine. */
/** `from`: an address of this machine, where it is not to be any. */
export async function connectPeer(port: number, host = '127.0.0.1', from?: string): Promise<Peer> {
  const socket = net.connect({ port, host, localAddress: from, noDelay: true, allowHalfOpen: true })
  const peer = new Peer(socket)
  await once(socket, 'connect')
  return peer
}

/** The same with TLS; rejects where the handshake fails. With TLS 1.3 a refusal of the client's certificate comes later. */
export async function connectTlsPeer(port: number, options: tls.ConnectionOptions): Promise<Peer> {
  const raw = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  raw.on('error', () => {})
  const socket = tls.connect({ ...options, socket: raw })
  socket.allowHalfOpen = true
  const peer = new Peer(socket, raw)
  await once(socket, 'secureConnect')
  return peer
}

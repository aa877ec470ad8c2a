/** What a connection speaks, on a listener with `protocol: auto`: its first bytes tell, or that there are none. */
import type { Socket } from 'node:net'
import { detectProtocol } from '../../codec/first-bytes.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Drainable } from './arrival.ts'
import { FirstRead, type FirstReader } from './first-read.ts'

/** `tunnel`: anything that is carried as it is. */
export type Detected = 'http1' | 'http2' | 'tunnel'

export class Detection implements FirstReader {
  readonly #context: WorkerContext
  readonly #socket: Socket
  readonly #connections: Set<Drainable>
  readonly #done: (found: Detected, first: Buffer) => void
  #first: Buffer = Buffer.alloc(0)
  #found: Detected = 'tunnel'
  #http = false

  /** Calls `done` once, with what was read; not where the socket closes first, or ends without a word. */
  constructor(
    context: WorkerContext,
    socket: Socket,
    connections: Set<Drainable>,
    done: (found: Detected, first: Buffer) => void,
  ) {
    this.#context = context
    this.#socket = socket
    this.#connections = connections
    this.#done = done
  }

  /** On a listener for HTTP alone, a client that says nothing is idle; else its deployment may be who speaks first. */
  start(protocol: 'auto' | 'http' | 'tcp'): void {
    const { detect, idle } = this.#context.config.timeouts
    this.#http = protocol === 'http'
    const time = this.#http ? idle : detect
    new FirstRead(this.#context, this.#socket, this.#connections, this).start(time)
  }

  look(chunk: Buffer): boolean {
    this.#first = this.#first.length === 0 ? chunk : Buffer.concat([this.#first, chunk])
    const found = detectProtocol(this.#first)
    if (found === 'more') return false
    if (found === 'http1' || found === 'http2') this.#found = found
    return true
  }

  seen(): void {
    this.#done(this.#found, this.#first)
  }

  /** No more will come to tell by: too little for any protocol that we know, and so carried as it is. */
  ended(): void {
    if (this.#first.length === 0) this.#socket.destroy()
    else this.seen()
  }

  /** The deployment speaks first, or the client is slow. */
  late(): void {
    if (this.#http && this.#first.length === 0) this.#socket.destroy()
    else this.seen()
  }
}

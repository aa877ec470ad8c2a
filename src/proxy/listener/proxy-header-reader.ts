/** Takes the PROXY protocol header off an accepted socket, before anything else reads it. */
import type { Socket } from 'node:net'
import { type ProxyHeader, parseProxyHeader } from '../../codec/proxy-protocol.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Drainable } from './arrival.ts'
import { FirstRead, type FirstReader } from './first-read.ts'

export class ProxyHeaderReader implements FirstReader {
  readonly #context: WorkerContext
  readonly #socket: Socket
  readonly #connections: Set<Drainable>
  readonly #done: (header: ProxyHeader | undefined) => void
  #bytes: Buffer = Buffer.alloc(0)
  #header: ProxyHeader | undefined

  /**
   * Calls `done` once: with the header, the rest of the bytes put back into the socket; or with nothing where there is no
   * valid one, also where it did not come within the header timeout. Not where the socket closes first.
   */
  constructor(
    context: WorkerContext,
    socket: Socket,
    connections: Set<Drainable>,
    done: (header: ProxyHeader | undefined) => void,
  ) {
    this.#context = context
    this.#socket = socket
    this.#connections = connections
    this.#done = done
  }

  start(): void {
    const { header } = this.#context.config.timeouts
    new FirstRead(this.#context, this.#socket, this.#connections, this).start(header)
  }

  /** The header is bounded, and so is what waits for its end. */
  look(chunk: Buffer): boolean {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    const result = parseProxyHeader(this.#bytes)
    if (result.kind === 'incomplete') return false
    if (result.kind === 'header') {
      this.#header = result.header
      this.#bytes = this.#bytes.subarray(result.length)
    }
    return true
  }

  seen(): void {
    if (this.#header !== undefined && this.#bytes.length > 0) this.#socket.unshift(this.#bytes)
    this.#done(this.#header)
  }

  ended(): void {
    this.#done(undefined)
  }

  late(): void {
    this.#done(undefined)
  }
}

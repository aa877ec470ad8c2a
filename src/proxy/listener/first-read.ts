/** Reads the first bytes of a connection until somebody has seen enough of them, and guards its socket meanwhile. */
import type { Socket } from 'node:net'
import { Timer } from '../../core/timer-wheel.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Drainable } from './arrival.ts'

/** Who looks at the bytes. `seen`, `ended` or `late` is the last call; where the socket closes before, there is none. */
export interface FirstReader {
  /** `chunk` has come, and is the reader's to keep. True: that is enough. */
  look(chunk: Buffer): boolean
  /** It was enough. */
  seen(): void
  /** No more will come. */
  ended(): void
  /** The time is over. */
  late(): void
}

export class FirstRead implements Drainable {
  readonly kind = 'opening'
  readonly #context: WorkerContext
  readonly #socket: Socket
  readonly #connections: Set<Drainable>
  readonly #reader: FirstReader
  readonly #timer = new Timer(this)

  /** `connections` holds everything that is open, for the drain. */
  constructor(
    context: WorkerContext,
    socket: Socket,
    connections: Set<Drainable>,
    reader: FirstReader,
  ) {
    this.#context = context
    this.#socket = socket
    this.#connections = connections
    this.#reader = reader
  }

  /**
   * `ms` is the time for all of it; undefined where somebody else sees to that, and ends the socket with the worker. With the
   * last call of the reader the socket is paused, and nobody listens to it.
   */
  start(ms: number | undefined): void {
    const socket = this.#socket
    socket.on('data', this.#look)
    socket.on('end', this.#ended)
    socket.on('close', this.destroy)
    if (ms !== undefined) {
      this.#connections.add(this)
      this.allow(ms)
    }
    // Whoever has read before has left it paused.
    socket.resume()
  }

  /** Gives it another `ms`, from now. */
  allow(ms: number): void {
    this.#context.wheel.arm(this.#timer, ms, this.#context.clock.monotonic())
  }

  readonly #look = (chunk: Buffer): void => {
    this.#context.clock.refresh()
    if (!this.#reader.look(chunk)) return
    this.#leave()
    this.#reader.seen()
  }

  readonly #ended = (): void => {
    this.#leave()
    this.#reader.ended()
  }

  timerExpired(): void {
    this.#leave()
    this.#reader.late()
  }

  #leave(): void {
    const socket = this.#socket
    this.#context.wheel.cancel(this.#timer)
    socket.off('data', this.#look)
    socket.off('end', this.#ended)
    socket.off('close', this.destroy)
    this.#connections.delete(this)
    socket.pause()
  }

  /** A client that has just come gets its first call, or its tunnel: nobody else takes them. Its time is short anyway. */
  drain(): void {}

  readonly destroy = (): void => {
    this.#leave()
    this.#socket.destroy()
  }
}

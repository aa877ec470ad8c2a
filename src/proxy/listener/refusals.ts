/** Connections that a listener does not want: counted, and closed so that the client can still read why. */
import type { Duplex } from 'node:stream'
import type { ErrorCode } from '../../core/errors.ts'
import { Timer } from '../../core/timer-wheel.ts'
import type { ListenerScope } from '../forward/downstream.ts'
import type { HandshakeFailure } from '../ipc.ts'
import type { WorkerContext } from '../worker/context.ts'
import { type Drainable, ignore, type Origin } from './arrival.ts'

/** How long a client may take to read why it is refused, and close. */
const REFUSAL_MS = 1_000

export class Refusals {
  readonly #context: WorkerContext
  readonly #listener: ListenerScope
  readonly #connections: Set<Drainable>

  /** `connections` holds everything that is open, for the drain. */
  constructor(context: WorkerContext, listener: ListenerScope, connections: Set<Drainable>) {
    this.#context = context
    this.#listener = listener
    this.#connections = connections
  }

  refuse(socket: Duplex, origin: Origin, code: ErrorCode, parting?: Buffer): void {
    this.count(origin, code)
    this.close(socket, parting)
  }

  /** Of a connection that is closed elsewhere. */
  count(origin: Origin, code: ErrorCode): void {
    this.#context.stats.rejected(code, this.#listener.index)
    this.log(origin, code)
  }

  /** `reason`: of a TLS handshake that failed. */
  log({ peer, acceptedAt }: Origin, code: ErrorCode, reason?: HandshakeFailure): void {
    const { accessLog, clock } = this.#context
    const durationMs = clock.monotonic() - acceptedAt
    accessLog?.refused({ listener: this.#listener.name, peer, code, reason, durationMs })
  }

  /** For what is counted elsewhere; `parting` is what the client may still read. */
  close(socket: Duplex, parting: Buffer | undefined): void {
    if (parting === undefined) {
      socket.destroy()
      return
    }
    const { wheel, clock } = this.#context
    const destroy = (): void => {
      socket.destroy()
    }
    const guard = { kind: 'opening', drain: ignore, destroy } as const
    const timer = new Timer({ timerExpired: destroy })
    this.#connections.add(guard)
    socket.end(parting)
    // What the client says meanwhile is thrown away: unread bytes would reset the connection before it has the answer.
    socket.resume()
    wheel.arm(timer, REFUSAL_MS, clock.monotonic())
    socket.on('close', () => {
      wheel.cancel(timer)
      this.#connections.delete(guard)
    })
  }
}

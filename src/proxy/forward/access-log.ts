/** One JSON line a call or tunnel, written in the background. A disk that is too slow loses lines, which are counted. */
import { pino } from 'pino'
import type { Clock } from '../../core/clock.ts'
import type { Routability } from '../../core/routability.ts'

export interface AccessEntry {
  readonly tenant: string
  readonly listener: string
  readonly routability: Routability
  readonly operation: string
  /** 0 for tunnels. */
  readonly status: number
  /** Of gRPC calls alone. */
  readonly grpcStatus?: number | undefined
  /** Response flag, '-' where all went well. */
  readonly flag: string
  readonly method: string
  /** Without its query, which may hold secrets, and without credentials that stand in it. */
  readonly path: string
  readonly requestId: string
  readonly peer: string
  readonly upstream: string
  readonly ingress: number
  readonly egress: number
  readonly durationMs: number
}

const BUFFER_BYTES = 8 * 1024
/** What may wait for a slow disk. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024

export class AccessLog {
  readonly #destination: ReturnType<typeof pino.destination>
  readonly #clock: Clock
  dropped = 0

  /** `where` is `stdout` or a path. */
  constructor(where: string, clock: Clock) {
    this.#clock = clock
    const dest = where === 'stdout' ? 1 : where
    this.#destination = pino.destination({
      dest,
      sync: false,
      minLength: BUFFER_BYTES,
      maxLength: MAX_WAITING_BYTES,
      mkdir: true,
    })
    this.#destination.on('drop', () => {
      this.dropped++
    })
    // A log that cannot be written never stops traffic; the lines are lost and counted.
    this.#destination.on('error', () => {
      this.dropped++
    })
  }

  write(entry: AccessEntry): void {
    const time = new Date(this.#clock.now()).toISOString()
    this.#destination.write(`${JSON.stringify({ time, kind: 'access', ...entry })}\n`)
  }

  /** Writes what waits; called a few times a second, so that a quiet service shows its lines. */
  flush(): void {
    this.#destination.flush()
  }

  end(): void {
    this.#destination.flushSync()
  }
}

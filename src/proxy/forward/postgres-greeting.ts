/**
 * Asks a PostgreSQL deployment for TLS on behalf of a client that has asked us: we have granted it to read the name in
 * the client's ClientHello, and the deployment is to do the handshake. It stands between a new connection and the tunnel
 * that is to have it.
 */
import { SSL_REQUEST } from '../../codec/postgres-request.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { Timer } from '../../core/timer-wheel.ts'
import type { UpstreamConnection, UpstreamUser } from '../pool/upstream-connection.ts'
import { OWN_MEMORY } from '../wire/outbox.ts'
import type { WorkerContext } from '../worker/context.ts'

/** The answer to the request, one byte: "go on with TLS". */
const GRANTED = 0x53

/** What client and proxy have said to each other before the ClientHello: it belongs to the client's tunnel. */
export interface PostgresPreamble {
  /** Bytes from the client. */
  readonly received: number
  /** Bytes to the client. */
  readonly sent: number
}

interface GreetingOptions {
  /** The user of the connection once TLS is granted; it also hears where the connection is lost before. */
  readonly tunnel: UpstreamUser
  readonly granted: () => void
}

export class PostgresGreeting implements UpstreamUser {
  readonly #context: WorkerContext
  readonly #upstream: UpstreamConnection
  readonly #tunnel: UpstreamUser
  readonly #granted: () => void
  readonly #timer = new Timer(this)

  constructor(context: WorkerContext, upstream: UpstreamConnection, options: GreetingOptions) {
    this.#context = context
    this.#upstream = upstream
    this.#tunnel = options.tunnel
    this.#granted = options.granted
  }

  start(): void {
    const { wheel, clock, config } = this.#context
    this.#upstream.user = this
    this.#upstream.outbox.bytes(SSL_REQUEST, 0, SSL_REQUEST.length, OWN_MEMORY)
    this.#upstream.flush()
    wheel.arm(this.#timer, config.timeouts.connect, clock.monotonic())
  }

  /** One byte and no more: what came with it would be taken for the begin of TLS. */
  upstreamData(bytes: Buffer, length: number): boolean {
    if (length !== 1 || bytes[0] !== GRANTED) {
      this.#fail('upstream_tls')
      return false
    }
    this.#leave()
    this.#upstream.user = this.#tunnel
    this.#granted()
    return true
  }

  upstreamEnded(): void {
    this.#fail('upstream_reset')
  }

  upstreamClosed(error: ErrorCode): void {
    this.#leave()
    this.#tunnel.upstreamClosed(error)
  }

  timerExpired(): void {
    if (this.#upstream.user === this) this.#fail('upstream_connect_timeout')
  }

  #fail(code: ErrorCode): void {
    this.#leave()
    this.#upstream.user = undefined
    this.#upstream.destroy()
    this.#tunnel.upstreamClosed(code)
  }

  #leave(): void {
    this.#context.wheel.cancel(this.#timer)
  }

  upstreamConnected(): void {}

  upstreamHeldUp(): void {}

  upstreamDrained(): void {}
}

/**
 * One connection to a deployment. It knows bytes, not HTTP: whoever uses it is told what arrives and how it ends. It
 * belongs to one tenant's pool for all its life.
 */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { ConnectionEnds } from '../../codec/proxy-header-writer.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { Timer } from '../../core/timer-wheel.ts'
import { upstreamConnectError } from '../../runtime/node-errors.ts'
import { SocketHandle } from '../../runtime/socket-handle.ts'
import { Inbox, type Receiver } from '../wire/inbox.ts'
import { Outbox, type Sender } from '../wire/outbox.ts'
import type { WorkerContext } from '../worker/context.ts'
import { dial, readyEvent } from './dial.ts'
import type { Endpoint } from './endpoint.ts'

/** Who uses a connection at the moment. Calls come from socket events, one at a time. */
export interface UpstreamUser {
  upstreamConnected(): void
  /** `bytes[0, length)` arrived; they are only valid during the call. False stops reading until `resume`. */
  upstreamData(bytes: Buffer, length: number): boolean
  /** What was sent is enough for now, which only shows at the end of the turn. */
  upstreamHeldUp(): void
  /** All that was sent has left. */
  upstreamDrained(): void
  /** The deployment will send no more. */
  upstreamEnded(): void
  /** The connection is gone; it is the last call. */
  upstreamClosed(error: ErrorCode): void
}

/** Whose pool it is of. */
export interface ConnectionOwner {
  /** It is closed; said once. */
  connectionGone(connection: UpstreamConnection): void
}

/** What a deployment that has a call can be blamed for. */
const FAULTS = new Set<ErrorCode>(['upstream_timeout', 'upstream_malformed', 'upstream_reset'])

export class UpstreamConnection implements Receiver, Sender {
  readonly endpoint: Endpoint
  readonly socket: Socket
  readonly inbox: Inbox
  readonly outbox: Outbox
  user: UpstreamUser | undefined
  connected = false
  /** Whether both directions are open. A field: the getters of a stream look at a dozen. */
  open = true
  /** Whether it has carried a call before: then it may have been closed by the deployment at any moment. */
  reused = false
  /** Whether it has a place in its pool; kept by that. */
  pooled = true
  /** Whether the deployment was told for which client it is: it must never serve another one. */
  readonly named: boolean
  readonly #context: WorkerContext
  readonly #timer: Timer
  #error: ErrorCode = 'upstream_reset'
  readonly #owner: ConnectionOwner

  /** Connects at once; see `DialOptions` for `client`. */
  constructor(
    context: WorkerContext,
    endpoint: Endpoint,
    client: ConnectionEnds | undefined,
    owner: ConnectionOwner,
  ) {
    this.#context = context
    this.endpoint = endpoint
    this.#owner = owner
    this.#timer = new Timer(this)
    this.named = client !== undefined
    this.socket = dial(endpoint, { allowHalfOpen: true, client })
    this.inbox = new Inbox(context.readBuffers, this)
    this.outbox = new Outbox(context.turnWrites, this.socket, this)
    this.#listen(readyEvent(endpoint))
    context.wheel.arm(this.#timer, context.config.timeouts.connect, context.clock.monotonic())
  }

  #listen(ready: string): void {
    const { socket } = this
    socket.once(ready, () => {
      this.#context.clock.refresh()
      this.connected = true
      this.#context.wheel.cancel(this.#timer)
      this.endpoint.connectionMade()
      this.outbox.attach(SocketHandle.of(socket))
      this.user?.upstreamConnected()
      this.inbox.attach(socket, this.outbox.handle)
    })
    socket.on('end', () => {
      this.open = false
      if (this.user === undefined) this.destroy()
      else this.user.upstreamEnded()
    })
    socket.on('error', error => {
      this.open = false
      this.#error = this.connected ? 'upstream_reset' : upstreamConnectError(error)
    })
    socket.on('close', () => this.#closed())
  }

  heldUp(): void {
    this.user?.upstreamHeldUp()
  }

  drained(): void {
    this.user?.upstreamDrained()
  }

  received(bytes: Buffer, length: number): boolean {
    const { clock, turnWrites } = this.#context
    clock.arrived(turnWrites)
    // Bytes that belong to no call: the deployment broke the rules, and nobody may ever see them.
    if (this.user === undefined) {
      this.destroy()
      return false
    }
    return this.user.upstreamData(bytes, length)
  }

  /** Sends what is in the outbox; false where the deployment reads slower than we send. */
  flush(): boolean {
    return this.outbox.flush()
  }

  resume(): void {
    this.inbox.resume()
  }

  pause(): void {
    this.inbox.pause()
  }

  /** No more will be sent. */
  end(): void {
    this.open = false
    // In the middle of an arrival, Node 26.10 loses the records behind the one that it tells of when a TLS socket is ended.
    if (this.socket instanceof TLSSocket) setImmediate(() => this.outbox.end())
    else this.outbox.end()
  }

  /** Whether the next call may have it, which rests: its time may be over in a turn in which its end is not seen yet. */
  restsAt(now: number): boolean {
    return this.open && now < this.#timer.deadline
  }

  /** Waits for the next call, for `ms` at most. */
  rest(ms: number, now: number): void {
    this.user = undefined
    this.reused = true
    this.inbox.sate()
    // The end of an answer may come out of TLS although its client had it rest for what came before.
    if (this.inbox.paused) this.inbox.resume()
    this.#context.wheel.arm(this.#timer, ms, now)
  }

  /** Is used again. */
  wake(user: UpstreamUser): void {
    this.user = user
    this.#context.wheel.suspend(this.#timer)
  }

  timerExpired(): void {
    if (!this.connected) this.#error = 'upstream_connect_timeout'
    this.destroy()
  }

  /** A call failed with `code`, with or without the begin of an answer: the endpoint gets to know where it is its fault. */
  blame(code: ErrorCode, answered: boolean): void {
    if (!this.connected || !FAULTS.has(code)) return
    // A connection that had rested may have been closed at any moment, which says nothing.
    if (code === 'upstream_reset' && (this.reused || answered)) return
    this.endpoint.health.callFailed(this.#context.clock.monotonic())
  }

  /** Ends it now; its user hears of it by `upstreamClosed` unless it has let go before. */
  destroy(): void {
    this.open = false
    this.socket.destroy()
  }

  /** The same, and the deployment cannot take what it has got for the whole. */
  reset(): void {
    this.open = false
    if (this.connected) this.outbox.cut()
    else this.destroy()
  }

  #closed(): void {
    this.#context.clock.refresh()
    this.#context.wheel.cancel(this.#timer)
    this.open = false
    this.inbox.close()
    const { user } = this
    this.user = undefined
    // Where nobody wanted it any more, nobody knows whether it would have been made.
    if (!this.connected && user !== undefined)
      this.endpoint.connectionFailed(this.#context.clock.monotonic())
    this.#owner.connectionGone(this)
    user?.upstreamClosed(this.#error)
  }
}

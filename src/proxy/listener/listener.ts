/**
 * One listener of a worker: how what it accepts begins, and what of that is open. Where it listens is apart from it
 * (`listening-places.ts`), so that it can move, and so that another one can take its place.
 */
import type { ListenerConfig } from '../../config/schema.ts'
import { sameConfig } from '../../core/same-config.ts'
import { Timer, type TimerOwner } from '../../core/timer-wheel.ts'
import type { ListenerScope } from '../forward/downstream.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Drainable } from './arrival.ts'
import { ConnectionStarter, type StartOptions } from './connection-starter.ts'
import { type DrainTime, drainTimes } from './drain-times.ts'
import type { TlsSide } from './tls.ts'
import type { TrustedPeers } from './trusted-peers.ts'

export interface ListenerOptions {
  readonly config: ListenerConfig
  readonly tls: TlsSide | undefined
  readonly handshakes: StartOptions['handshakes']
  readonly trusted: TrustedPeers
  /** All that is open in the worker, for its drain. */
  readonly all: Set<Drainable>
}

export class Listener implements TimerOwner {
  /** As it is configured now: of the same kind as that with which it was made, see `isSameKind`. */
  config: ListenerConfig
  readonly starter: ConnectionStarter
  readonly tls: TlsSide | undefined
  readonly #context: WorkerContext
  readonly #connections: ListenerConnections
  readonly #scope: ListenerScope
  readonly #deadline = new Timer(this)
  /** When connections are cut that are still there, after it is gone. */
  #ends: DrainTime[] = []
  #retiredAt = 0

  constructor(context: WorkerContext, { config, tls, handshakes, trusted, all }: ListenerOptions) {
    const { name, mode, protocol, proxyProtocol } = config
    this.#context = context
    this.config = config
    this.tls = tls
    this.#connections = new ListenerConnections(all)
    const index = context.listenerNames.indexOf(name)
    this.#scope = { index, name, mode, leaving: false }
    this.starter = new ConnectionStarter(
      context,
      { scope: this.#scope, protocol, proxyProtocol, handshakes, trusted },
      this.#connections,
    )
  }

  /**
   * It is not configured any more and accepts nothing: what is open ends as in a drain of the worker, politely, and what is
   * still there after its time is cut.
   */
  retire(): void {
    this.#scope.leaving = true
    for (const connection of this.#connections) connection.drain()
    const { clock, config } = this.#context
    this.#retiredAt = clock.monotonic()
    this.#ends = [...drainTimes(config)]
    this.#waitForEnd()
  }

  timerExpired(): void {
    this.#ends.shift()
    const inTime = new Set(this.#ends.map(({ kind }) => kind))
    // Of what is over by now there may be more again: a call that had more time has become a tunnel.
    const late = [...this.#connections].filter(({ kind }) => !inTime.has(kind))
    if (late.length > 0) {
      const { name } = this.config
      this.#context.logger.info({ listener: name, connections: late.length }, CUT)
    }
    for (const connection of late) connection.destroy()
    this.#waitForEnd()
  }

  #waitForEnd(): void {
    const next = this.#ends[0]
    if (next === undefined || this.#connections.size === 0) return
    const { wheel, clock } = this.#context
    const now = clock.monotonic()
    wheel.arm(this.#deadline, Math.max(0, this.#retiredAt + next.ms - now), now)
  }
}

const CUT = 'connections of a listener that is gone did not end in time, and are cut'

/** Whether connections begin in the same way. Files and settings of TLS change while a listener runs, and so does its place. */
export function isSameKind(one: ListenerConfig, other: ListenerConfig): boolean {
  return sameConfig(kindOf(one), kindOf(other))
}

function kindOf({ name, mode, protocol, proxyProtocol, tls }: ListenerConfig): unknown[] {
  return [name, mode, protocol, proxyProtocol, tls !== undefined]
}

/** What is open of one listener; among all that is open as well. */
class ListenerConnections extends Set<Drainable> {
  readonly #all: Set<Drainable>

  constructor(all: Set<Drainable>) {
    super()
    this.#all = all
  }

  override add(connection: Drainable): this {
    this.#all.add(connection)
    return super.add(connection)
  }

  override delete(connection: Drainable): boolean {
    this.#all.delete(connection)
    return super.delete(connection)
  }
}

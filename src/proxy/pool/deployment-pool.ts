/**
 * The upstream connections of one deployment, and so of one tenant: a connection made here is never given to anybody
 * else (invariant 1). How many are in use is bounded by the tenant's `concurrency` and `connections`.
 */
import type { ConnectionOptions as TlsOptions } from 'node:tls'
import type { DeploymentConfig } from '../../config/schema.ts'
import type { WorkerContext } from '../worker/context.ts'
import { Endpoint } from './endpoint.ts'
import { UpstreamConnection, type UpstreamUser } from './upstream-connection.ts'

/** Idle connections an endpoint; what comes back beyond that is closed. */
const MAX_IDLE = 256

export class DeploymentPool {
  readonly endpoints: readonly Endpoint[]
  readonly #context: WorkerContext
  readonly #tls: TlsOptions | undefined
  readonly #all = new Set<UpstreamConnection>()
  #turn = 0
  #closed = false

  /** `tls` for the endpoints that want it; certificates are loaded by the caller. */
  constructor(context: WorkerContext, deployment: DeploymentConfig, tls: TlsOptions | undefined) {
    this.#context = context
    this.#tls = tls
    this.endpoints = deployment.endpoints.map(url => new Endpoint(url))
  }

  /** Connections that exist, idle ones too. */
  get size(): number {
    return this.#all.size
  }

  /** A connection for a call: one that rests, else a new one, which the user hears of when it is there. */
  acquire(user: UpstreamUser, now: number): UpstreamConnection {
    const endpoint = this.#choose(now)
    let connection = endpoint.idle.pop()
    while (connection !== undefined) {
      if (!connection.socket.destroyed && connection.socket.writable) {
        connection.wake(user)
        return connection
      }
      connection = endpoint.idle.pop()
    }
    return this.connect(user, endpoint)
  }

  /** A new connection: for a tunnel, or where a resting one turned out to be stale. */
  connect(
    user: UpstreamUser,
    endpoint: Endpoint = this.#choose(this.#context.clock.monotonic()),
  ): UpstreamConnection {
    const connection = new UpstreamConnection(
      this.#context,
      endpoint,
      endpoint.tls ? this.#tls : undefined,
      this.#gone,
    )
    connection.user = user
    this.#all.add(connection)
    return connection
  }

  /** Takes back a connection at the end of an answer, clean and ready for the next call. */
  release(connection: UpstreamConnection, now: number): void {
    const { idle } = connection.endpoint
    if (this.#closed || idle.length >= MAX_IDLE) {
      connection.user = undefined
      connection.destroy()
      return
    }
    connection.rest(this.#context.config.timeouts.idle, now)
    idle.push(connection)
  }

  /** Closes what rests; what is in use goes when it is given back. */
  close(): void {
    this.#closed = true
    for (const endpoint of this.endpoints)
      for (const connection of endpoint.idle.splice(0)) connection.destroy()
  }

  /** In turn over the endpoints that are well; over all of them where none is. */
  #choose(now: number): Endpoint {
    const { endpoints } = this
    const first = endpoints[0] as Endpoint
    if (endpoints.length === 1) return first
    for (let tried = 0; tried < endpoints.length; tried++) {
      const endpoint = endpoints[this.#turn++ % endpoints.length] as Endpoint
      if (!endpoint.ejected(now)) return endpoint
    }
    return endpoints[this.#turn++ % endpoints.length] as Endpoint
  }

  readonly #gone = (connection: UpstreamConnection): void => {
    this.#all.delete(connection)
    const { idle } = connection.endpoint
    const index = idle.indexOf(connection)
    if (index >= 0) idle.splice(index, 1)
  }
}

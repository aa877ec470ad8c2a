/**
 * The upstream connections of one deployment, and so of one tenant: a connection made here is never given to anybody
 * else (invariant 1). There are `maxConnections` of them at most; who finds none waits, first come, first served.
 */
import type { ConnectionOptions as TlsOptions } from 'node:tls'
import { HeaderField, INDEXED } from '../../codec/http2/header-field.ts'
import type { ConnectionEnds } from '../../codec/proxy-header-writer.ts'
import type { DeploymentPolicy } from '../../config/deployment-schema.ts'
import type { DeploymentConfig } from '../../config/schema.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { Timer, type TimerOwner } from '../../core/timer-wheel.ts'
import type { WorkerContext } from '../worker/context.ts'
import { Balancer, type BalancerOwner } from './balancer.ts'
import { Endpoint, type EndpointOwner } from './endpoint.ts'
import { EndpointSet, type EndpointSetOwner } from './endpoint-set.ts'
import { Http2Upstream, type Http2UpstreamObserver } from './http2-upstream.ts'
import { type PoolLimits, policyOf } from './policy.ts'
import { RetryBudget } from './retry-budget.ts'
import {
  type ConnectionOwner,
  UpstreamConnection,
  type UpstreamUser,
} from './upstream-connection.ts'
import { type Place, WaitQueue } from './wait-queue.ts'

/** Idle connections an endpoint; what comes back beyond that is closed. */
const MAX_IDLE = 256

/** Endpoints that are tried before a call or tunnel is refused. */
const MAX_ATTEMPTS = 3

/** Why a pool does not even let somebody wait. */
export type PoolRefusal = Extract<ErrorCode, 'upstream_queue_full' | 'upstream_unresolved'>

/** What a call goes over: a connection of its own, or a place on one that it shares. */
export type Upstream = UpstreamConnection | Http2Upstream

/** What somebody asks for: a tunnel needs a connection that nobody spoke on, and some calls want one for themselves. */
type Need = 'call' | 'own' | 'tunnel'

/**
 * Who asks for a connection. One that has to wait hears `upstreamGranted` in a later event; or, where it gets none and
 * waits no more, `upstreamClosed` with the reason.
 */
export interface PoolUser extends UpstreamUser {
  /** Its connection or place, in use by it from now on. Where it is not connected yet, `upstreamConnected` follows. */
  upstreamGranted(upstream: Upstream): void
  /** Both ends of the client's connection; asked for where a new connection is for this user alone. */
  clientEnds(): ConnectionEnds | undefined
}

/** What the configuration says of a pool. */
export interface PoolSettings {
  readonly deployment: DeploymentConfig
  /** For the endpoints that want it; certificates are loaded by the caller. */
  readonly tls: TlsOptions | undefined
  /** Number of workers that share the caps. */
  readonly workers: number
  readonly limits?: PoolLimits | undefined
}

export interface PoolOptions extends PoolSettings {
  readonly tenant: string
  /** There are other endpoints, or one is in another state. */
  readonly moved?: () => void
}

type Owner = BalancerOwner & EndpointSetOwner & EndpointOwner & ConnectionOwner

/**
 * What few tenants need is made when it is needed, and what a part has to say it says to the pool by a method: a tenant's first
 * call pays for all of this, and the memory of a tenant is in no cache when it comes.
 */
export class DeploymentPool implements TimerOwner, Owner, Http2UpstreamObserver {
  readonly tenant: string
  readonly #context: WorkerContext
  #settings: PoolSettings
  #policy: DeploymentPolicy
  #proxyProtocol: 1 | 2 | undefined
  readonly #endpoints: EndpointSet
  readonly #balancer: Balancer
  #queue: WaitQueue<PoolUser, Need> | undefined
  #retries: RetryBudget<UpstreamConnection | PoolUser> | undefined
  /** Connections that exist, idle ones too. */
  #size = 0
  /** Ends the wait of the first in the queue: the others wait for as long, and came later. */
  #timer: Timer | undefined
  #tenantField: HeaderField | undefined
  readonly #moved: (() => void) | undefined
  #servesSoon = false
  #closed = false

  constructor(context: WorkerContext, options: PoolOptions) {
    const { tenant, deployment, tls, workers, limits, moved } = options
    const policy = policyOf(deployment, workers, limits)
    this.#context = context
    this.#settings = { deployment, tls, workers, limits }
    this.tenant = tenant
    this.#policy = policy
    this.#moved = moved
    this.#proxyProtocol = versionOf(deployment.proxyProtocol)
    this.#balancer = new Balancer(policy.panic, context.random, this)
    this.#endpoints = new EndpointSet(deployment.endpoints, context, this)
    this.#balancer.use(this.#endpoints.all)
  }

  /** So many workers share the caps from now on; what is open and what waits stays. */
  share(workers: number): void {
    this.#adopt({ ...this.#settings, workers })
    this.room()
  }

  /**
   * The deployment is this one from now on. Endpoints that are in both stay, with their connections and health, where
   * connections to them are made as before: `tls` is the same object then. What is under way elsewhere ends there.
   */
  change(settings: PoolSettings): void {
    const { deployment, tls } = settings
    const former = this.#settings
    const proxyProtocol = versionOf(deployment.proxyProtocol)
    const anew = tls !== former.tls || proxyProtocol !== this.#proxyProtocol
    this.#proxyProtocol = proxyProtocol
    this.#adopt(settings)
    this.#balancer.panic = this.#policy.panic
    if (this.#retries !== undefined) this.#retries.options = this.#policy.retries
    this.#endpoints.follow(deployment.endpoints, anew)
    for (const { health } of this.#endpoints.all) health.policy = this.#policy
  }

  #adopt(settings: PoolSettings): void {
    const { deployment, workers, limits } = settings
    this.#settings = settings
    this.#policy = policyOf(deployment, workers, limits)
    if (this.#queue !== undefined) this.#queue.most = this.#policy.queue.calls
  }

  /** How calls by HTTP/2 say whose they are. */
  get tenantField(): HeaderField {
    this.#tenantField ??= new HeaderField('x-amt-tenant', this.tenant, INDEXED)
    return this.#tenantField
  }

  /** Whether connections begin with a PROXY header, so that one that may become a tunnel has to be its client's own. */
  get announces(): boolean {
    return this.#proxyProtocol !== undefined
  }

  /** Those of the moment: names may lead elsewhere the next time. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints.all
  }

  /** How often a call or tunnel may try to connect. */
  get maxAttempts(): number {
    return Math.min(this.#endpoints.all.length, MAX_ATTEMPTS)
  }

  /** Connections that exist, idle ones too. */
  get size(): number {
    return this.#size
  }

  /** Calls and tunnels that wait. */
  get waiting(): number {
    return this.#queue?.size ?? 0
  }

  /** Whether it has nothing that a new pool would not have. */
  idle(now: number): boolean {
    if (this.#size > 0 || this.waiting > 0) return false
    return this.#endpoints.all.every(endpoint => !endpoint.ejected(now))
  }

  /**
   * A connection for a call: one that rests, or has room, else a new one, which the user hears of when it is there.
   * Undefined where the user has to wait, until it is served, refused, or abandons. `own`: what follows may be a tunnel,
   * so where the deployment is told whose a connection is, it should be the user's alone.
   */
  acquire(user: PoolUser, now: number, own = false): Upstream | PoolRefusal | undefined {
    const need = own && this.announces ? 'own' : 'call'
    // Nobody overtakes those who wait.
    const upstream = this.waiting === 0 ? this.#take(user, need, now) : undefined
    return upstream ?? this.#wait(user, need, now)
  }

  /** The same for a tunnel, which needs a connection that carried nothing before. */
  connect(user: PoolUser, now: number): UpstreamConnection | PoolRefusal | undefined {
    const connection = this.waiting === 0 ? this.#take(user, 'tunnel', now) : undefined
    return (connection as UpstreamConnection | undefined) ?? this.#wait(user, 'tunnel', now)
  }

  /**
   * A connection or place instead of `former`, which is gone. It does not wait: undefined where there is no room, or the
   * budget for retries is used up. What could not be made at all is replaced at another endpoint if there is one, and not
   * from the budget: no call came to the deployment, and a call has few attempts (as with HAProxy's `redispatch`).
   */
  retry(user: PoolUser, former: Upstream, now: number): Upstream | undefined {
    const { connected } = former
    if (connected && !this.#mayRetry()) return undefined
    const endpoint = this.#balancer.choose(now, connected ? undefined : former.endpoint)
    if (endpoint === undefined) return undefined
    if (endpoint.http2) {
      const upstream = this.#share(user, endpoint)
      if (connected && upstream !== undefined) this.#budget.begin(user)
      return upstream
    }
    const connection = this.#reopen(user, endpoint, former.named)
    if (connected && connection !== undefined) this.#budget.begin(connection)
    return connection
  }

  /**
   * A place instead of one on a connection that was closed in good order before it came to the call. That is no retry: the
   * deployment gets no call twice, and all calls of a connection may be in that position at once.
   */
  move(user: PoolUser, former: Upstream, now: number): Upstream | undefined {
    const endpoint = this.#balancer.choose(now)
    return endpoint?.http2 === true ? this.#share(user, endpoint) : this.retry(user, former, now)
  }

  /** The same for a tunnel, whose connection could not be made. */
  reconnect(
    user: PoolUser,
    former: UpstreamConnection,
    now: number,
  ): UpstreamConnection | undefined {
    const endpoint = this.#balancer.choose(now, former.endpoint)
    return endpoint && this.#reopen(user, endpoint, former.named)
  }

  #mayRetry(): boolean {
    if (this.#budget.admits(this.#underWay())) return true
    this.#context.stats.limited(this.tenant, 'upstream_retries')
    return false
  }

  get #budget(): RetryBudget<UpstreamConnection | PoolUser> {
    this.#retries ??= new RetryBudget(this.#policy.retries)
    return this.#retries
  }

  #reopen(user: PoolUser, endpoint: Endpoint, own: boolean): UpstreamConnection | undefined {
    return this.#hasRoom() ? this.#open(user, endpoint, own) : undefined
  }

  /** A call has left its place on a shared connection. */
  left(user: PoolUser): void {
    this.#retries?.end(user)
  }

  /** The user does not want to wait any longer; nothing happens where it does not wait. */
  abandon(user: PoolUser): void {
    this.#queue?.leave(user)
  }

  /**
   * Takes back a connection at the end of an answer, clean and ready for the next call. `keepAlive`: what the answer said of
   * how long it may rest, or ''.
   */
  release(connection: UpstreamConnection, now: number, keepAlive: string): void {
    const { endpoint } = connection
    this.#retries?.end(connection)
    if (this.#closed || connection.named || endpoint.retired || endpoint.idle.length >= MAX_IDLE) {
      connection.user = undefined
      connection.destroy()
      return
    }
    const { idle } = this.#context.config.timeouts
    connection.rest(Math.min(idle, endpoint.restMs(keepAlive)), now)
    endpoint.idle.push(connection)
    this.room()
  }

  /** Closes what rests; what is in use goes when it is given back, and who waits is still served. */
  close(): void {
    this.#closed = true
    this.#endpoints.close()
    if (this.#endpoints.all.length === 0) this.#refuseAll('upstream_unresolved')
  }

  timerExpired(): void {
    const now = this.#context.clock.monotonic()
    for (let first = this.#first; first !== undefined; first = this.#first) {
      if (first.deadline > now) {
        this.#endWait(first.deadline - now, now)
        return
      }
      this.#queue?.leave(first.who)
      this.#context.stats.limited(this.tenant, 'upstream_queue_timeout')
      first.who.upstreamClosed('upstream_queue_timeout')
    }
  }

  // === giving out connections

  #take(user: PoolUser, need: Need, now: number): Upstream | undefined {
    const endpoint = this.#balancer.choose(now)
    if (endpoint === undefined) return undefined
    if (endpoint.http2 && need !== 'tunnel') return this.#share(user, endpoint)
    const fresh = need !== 'call'
    const resting = fresh
      ? undefined
      : (this.#resting(endpoint, now) ?? this.#restingElsewhere(now))
    if (resting !== undefined) {
      resting.wake(user)
      return resting
    }
    return this.#hasRoom() ? this.#open(user, endpoint, fresh) : undefined
  }

  /** A place on a connection of HTTP/2: one is filled before the next is made, so that many frames leave in one write. */
  #share(user: PoolUser, endpoint: Endpoint): Http2Upstream | undefined {
    let upstream = endpoint.shared.find(({ open }) => open)
    if (upstream === undefined) {
      if (!this.#hasRoom()) return undefined
      const connection = this.#open(undefined, endpoint, false)
      upstream = new Http2Upstream(this.#context, connection, this)
      endpoint.shared.push(upstream)
    }
    upstream.join(user)
    return upstream
  }

  /** There may be room for somebody who waits. */
  room(): void {
    if (this.waiting > 0) this.#serveSoon()
  }

  vanished(): void {
    this.#context.stats.limited(this.tenant, 'upstream_ping_timeout')
  }

  #resting(endpoint: Endpoint, now: number): UpstreamConnection | undefined {
    let connection = endpoint.idle.pop()
    while (connection !== undefined) {
      if (connection.restsAt(now)) return connection
      this.#forget(connection)
      connection.destroy()
      connection = endpoint.idle.pop()
    }
    return undefined
  }

  /** With no room for a new connection, one that is there is better than a balanced one. */
  #restingElsewhere(now: number): UpstreamConnection | undefined {
    if (this.#size < this.#policy.maxConnections) return undefined
    for (const endpoint of this.#balancer.usable(now)) {
      const connection = this.#resting(endpoint, now)
      if (connection !== undefined) return connection
    }
    return undefined
  }

  /** Whether there may be one more; the oldest idle one of some endpoint makes room for it. */
  #hasRoom(): boolean {
    if (this.#size < this.#policy.maxConnections) return true
    for (const { idle, shared } of this.#endpoints.all) {
      const unused = shared.find(({ users }) => users === 0)
      const oldest = idle.shift() ?? unused?.connection
      if (oldest === undefined) continue
      this.#forget(oldest)
      oldest.destroy()
      return true
    }
    return false
  }

  /** `own`: for this user alone. */
  #open(user: PoolUser | undefined, endpoint: Endpoint, own: boolean): UpstreamConnection {
    const connection = new UpstreamConnection(
      this.#context,
      endpoint,
      own && this.announces ? user?.clientEnds() : undefined,
      this,
    )
    connection.user = user
    endpoint.open++
    this.#size++
    return connection
  }

  connectionGone(connection: UpstreamConnection): void {
    this.#forget(connection)
    const { idle } = connection.endpoint
    const index = idle.indexOf(connection)
    if (index >= 0) idle.splice(index, 1)
    this.room()
  }

  #forget(connection: UpstreamConnection): void {
    this.#retries?.end(connection)
    if (!connection.pooled) return
    connection.pooled = false
    this.#size--
    const { shared } = connection.endpoint
    connection.endpoint.open--
    const index = shared.findIndex(upstream => upstream.connection === connection)
    if (index >= 0) shared.splice(index, 1)
  }

  /** Calls and tunnels that have a connection or wait for one. */
  #underWay(): number {
    return this.endpoints.reduce((sum, { load }) => sum + load, this.waiting)
  }

  // === waiting

  #wait(user: PoolUser, need: Need, now: number): PoolRefusal | undefined {
    const { stats } = this.#context
    const { timeout } = this.#policy.queue
    if (this.#unresolved) return 'upstream_unresolved'
    if (this.#endpoints.all.length > 0) stats.limited(this.tenant, 'upstream_connections')
    this.#queue ??= new WaitQueue(this.#policy.queue.calls)
    if (!this.#queue.join({ who: user, need, deadline: now + timeout })) {
      stats.limited(this.tenant, 'upstream_queue')
      return 'upstream_queue_full'
    }
    if (this.#queue.size === 1) this.#endWait(timeout, now)
    return undefined
  }

  /** That of the first, in `ms`. */
  #endWait(ms: number, now: number): void {
    this.#timer ??= new Timer(this)
    this.#context.wheel.arm(this.#timer, ms, now)
  }

  /** Who waits longest. */
  get #first(): Place<PoolUser, Need> | undefined {
    return this.#queue?.first
  }

  #nobodyWaits(): void {
    if (this.#timer !== undefined) this.#context.wheel.cancel(this.#timer)
  }

  /** Whether all names have been looked for, and lead nowhere. */
  get #unresolved(): boolean {
    return this.#endpoints.all.length === 0 && !this.#endpoints.pending
  }

  /**
   * At the end of the present event: a call that lost its connection may take its place again first, and nobody is served
   * in the middle of what another one does.
   */
  #serveSoon(): void {
    if (this.#servesSoon) return
    this.#servesSoon = true
    queueMicrotask(() => {
      this.#servesSoon = false
      this.#serve()
    })
  }

  #serve(): void {
    for (let first = this.#first; first !== undefined; first = this.#first) {
      const upstream = this.#take(first.who, first.need, this.#context.clock.monotonic())
      if (upstream === undefined) break
      this.#queue?.leave(first.who)
      first.who.upstreamGranted(upstream)
    }
    if (this.waiting === 0) this.#nobodyWaits()
  }

  #refuseAll(code: ErrorCode): void {
    for (let first = this.#first; first !== undefined; first = this.#first) {
      this.#queue?.leave(first.who)
      first.who.upstreamClosed(code)
    }
    this.#nobodyWaits()
  }

  // === endpoints

  makeEndpoint(url: string, address: string): Endpoint {
    return new Endpoint(url, {
      address,
      tls: this.#settings.tls,
      policy: this.#policy,
      proxyProtocol: this.#proxyProtocol,
      owner: this,
    })
  }

  endpointChanged(): void {
    this.#balancer.review()
    this.#moved?.()
  }

  endpointEjected({ authority, host }: Endpoint, ms: number): void {
    const fields = { endpoint: authority, address: host, ms }
    this.#context.tenantLog.warn(this.tenant, fields, 'endpoint ejected')
  }

  panicChanged(panicking: boolean): void {
    const { tenantLog } = this.#context
    tenantLog.warn(this.tenant, { panicking }, 'panic threshold of a deployment passed')
  }

  endpointsChanged(): void {
    this.#context.clock.refresh()
    this.#balancer.use(this.#endpoints.all)
    this.#moved?.()
    if (this.#unresolved) this.#refuseAll('upstream_unresolved')
    else this.room()
  }
}

function versionOf(setting: DeploymentConfig['proxyProtocol']): 1 | 2 | undefined {
  if (setting === undefined || setting === 'off') return undefined
  return setting === 'v1' ? 1 : 2
}

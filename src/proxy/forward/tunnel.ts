/**
 * A connection that is carried as it is (TCP, or whatever stands inside TLS): bytes both ways, half-close both ways,
 * backpressure both ways, counted as they go and before they are handed on. It owns both sockets.
 */
import type { Duplex } from 'node:stream'
import type { ConnectionEnds } from '../../codec/proxy-header-writer.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { Timer } from '../../core/timer-wheel.ts'
import { SocketHandle } from '../../runtime/socket-handle.ts'
import type { Refusal } from '../limits/refusal.ts'
import type { PoolUser, Upstream } from '../pool/deployment-pool.ts'
import type { UpstreamConnection } from '../pool/upstream-connection.ts'
import type { RoutedVerdict } from '../tenant/tenant.ts'
import { Inbox, type Receiver } from '../wire/inbox.ts'
import { type Lender, Outbox, OWN_MEMORY, type Sender } from '../wire/outbox.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { TenantRuntime } from '../worker/tenant-runtimes.ts'
import { ConnectionAccount, type Downstream, endsOf } from './downstream.ts'
import { PostgresGreeting, type PostgresPreamble } from './postgres-greeting.ts'

/** What may be kept of a client that speaks before its deployment is reached. */
const MAX_EARLY_BYTES = 64 * 1024

const NO_PREAMBLE: PostgresPreamble = { received: 0, sent: 0 }

export class Tunnel implements PoolUser, Receiver, Sender {
  readonly #context: WorkerContext
  readonly #downstream: Downstream
  readonly #verdict: RoutedVerdict
  readonly #runtime: TenantRuntime
  readonly #account: ConnectionAccount
  readonly #inbox: Inbox
  readonly #outbox: Outbox
  readonly #idle = new Timer(this)
  /** Ends a rest that the tenant's bandwidth asks for. */
  readonly #pace = new Timer({ timerExpired: () => this.#paced() })
  /** While it waits to begin, since its tenant has had more than its bandwidth: what goes back where it waits no longer. */
  #claimedMs: number | undefined
  #upstream: UpstreamConnection | undefined
  #early: Buffer[] = []
  #earlyBytes = 0
  #attempts = 0
  #connected = false
  /** Address of the deployment's end. */
  #reached = ''
  #preamble: PostgresPreamble | undefined
  #ingress = 0
  #egress = 0
  #upstreamBlocked = false
  #downstreamBlocked = false
  #resting = false
  #failure: ErrorCode | undefined
  #closed = false
  #onClosed: (() => void) | undefined

  /** Takes over `downstream.socket`, with nobody listening to it; `onClosed` is called once. */
  constructor(
    context: WorkerContext,
    downstream: Downstream,
    verdict: RoutedVerdict,
    onClosed: () => void,
  ) {
    this.#context = context
    this.#downstream = downstream
    this.#verdict = verdict
    this.#runtime = context.runtimes.of(verdict.tenant)
    this.#account = new ConnectionAccount(context, downstream, context.meter.tunnel)
    this.#inbox = new Inbox(context.readBuffers, this)
    this.#outbox = new Outbox(context.turnWrites, downstream.socket, this)
    this.#outbox.attach(SocketHandle.of(downstream.socket))
    this.#onClosed = onClosed
    const { socket } = downstream
    socket.on('end', () => this.#downstreamEnded())
    socket.on('error', () => {})
    socket.on('close', () => this.#close())
  }

  /**
   * Connects, and begins to read; `first` is what has been read already, and `preamble` what was said before it that the
   * deployment has yet to be told.
   */
  start(first: Buffer | undefined, preamble?: PostgresPreamble): void {
    this.#preamble = preamble
    const { tenant, routability } = this.#verdict
    if (this.#context.journal.refusing) {
      this.#fail('journal_unavailable')
      return
    }
    if (this.#refuse(this.#account.open(tenant, routability))) return
    if (this.#refuseByBuffers() || this.#refuseByQuota()) return
    if (first !== undefined && first.length > 0) this.#keepEarly(first)
    const now = this.#context.clock.monotonic()
    const wait = this.#runtime.limiter.bandwidth?.waitMs(now) ?? 0
    if (wait > 0) this.#awaitBandwidth(wait, now)
    else this.#connect(now)
  }

  /**
   * What the first reads of a tunnel bring could not be held back: who opens one after the other would have no limit. So it
   * begins as a call does, once what its tenant has had is paid.
   */
  #awaitBandwidth(ms: number, now: number): void {
    const { bandwidth } = this.#runtime.limiter
    if (bandwidth === undefined) return
    if (ms > this.#context.config.timeouts.response) {
      this.#refuse(bandwidth.refusal(ms, now))
      return
    }
    this.#claimedMs = bandwidth.claim()
    this.#context.wheel.arm(this.#pace, ms, now)
  }

  /** It waits no longer; false where it did not. */
  #unclaim(): boolean {
    if (this.#claimedMs === undefined) return false
    this.#runtime.limiter.bandwidth?.unclaim(this.#claimedMs)
    this.#claimedMs = undefined
    return true
  }

  #connect(now: number): void {
    this.#touch()
    const upstream = this.#runtime.pool.connect(this, now)
    if (typeof upstream === 'string') {
      this.#fail(upstream)
      return
    }
    this.#upstream = upstream
    this.#inbox.attach(this.#downstream.socket, this.#outbox.handle)
  }

  received(bytes: Buffer, length: number): boolean {
    this.#context.clock.refresh()
    if (!this.#connected) return this.#keepEarly(Buffer.from(bytes.subarray(0, length)))
    this.#send(bytes, length, this.#inbox)
    return !this.#upstreamBlocked && !this.#resting
  }

  #keepEarly(chunk: Buffer): boolean {
    this.#early.push(chunk)
    this.#earlyBytes += chunk.length
    this.#countWaiting()
    return this.#earlyBytes < MAX_EARLY_BYTES
  }

  /** The client will send no more; what it sent before the deployment was there goes first. */
  #downstreamEnded(): void {
    if (this.#connected) this.#upstream?.end()
  }

  /** Asked for by `connect`, so it is a connection. */
  upstreamGranted(upstream: Upstream): void {
    this.#upstream = upstream as UpstreamConnection
  }

  clientEnds(): ConnectionEnds | undefined {
    return endsOf(this.#downstream)
  }

  upstreamConnected(): void {
    const preamble = this.#preamble
    if (preamble === undefined || this.#upstream === undefined) this.#begin()
    else {
      const granted = (): void => this.#begin(preamble)
      new PostgresGreeting(this.#context, this.#upstream, { tunnel: this, granted }).start()
    }
  }

  #begin({ received, sent }: PostgresPreamble = NO_PREAMBLE): void {
    this.#connected = true
    this.#reached = this.#upstream?.endpoint.authority ?? ''
    if (received > 0) this.#countIngress(received)
    if (sent > 0) this.#countEgress(sent)
    const early = this.#early
    this.#early = []
    this.#earlyBytes = 0
    for (const chunk of early) this.#send(chunk, chunk.length, OWN_MEMORY)
    this.#countWaiting()
    if (!this.#upstreamBlocked && !this.#resting) this.#inbox.resume()
    if (this.#downstream.socket.readableEnded) this.#upstream?.end()
  }

  #send(bytes: Buffer, length: number, lender: Lender): void {
    const upstream = this.#upstream
    if (upstream === undefined || this.#account.row === undefined) return
    this.#touch()
    const wait = this.#countIngress(length)
    upstream.outbox.bytes(bytes, 0, length, lender)
    this.#upstreamBlocked = !upstream.flush()
    if (wait >= 1) this.#rest(wait)
    if (this.#upstreamBlocked) {
      this.#inbox.pause()
      this.#countWaiting()
    }
    this.#endByQuota()
  }

  /** What a side that is slow, or not there yet, makes us keep. */
  #countWaiting(): void {
    const up = this.#upstreamBlocked ? (this.#upstream?.outbox.unsent ?? 0) : 0
    const down = this.#downstreamBlocked ? this.#outbox.unsent : 0
    this.#account.holds(this.#earlyBytes + up + down)
  }

  upstreamHeldUp(): void {
    this.#upstreamBlocked = true
    this.#countWaiting()
    this.#inbox.pause()
  }

  upstreamDrained(): void {
    this.#upstreamBlocked = false
    this.#countWaiting()
    if (!this.#resting) this.#inbox.resume()
  }

  upstreamData(bytes: Buffer, length: number): boolean {
    this.#touch()
    this.#outbox.bytes(bytes, 0, length, this.#upstream?.inbox)
    const wait = this.#countEgress(length)
    this.#downstreamBlocked = !this.#outbox.flush()
    if (this.#downstreamBlocked) this.#countWaiting()
    if (wait >= 1) this.#rest(wait)
    return !this.#endByQuota() && !this.#downstreamBlocked && !this.#resting
  }

  /** From downstream, like `drained`. */
  heldUp(): void {
    this.#downstreamBlocked = true
    this.#countWaiting()
    this.#upstream?.pause()
  }

  drained(): void {
    this.#downstreamBlocked = false
    this.#countWaiting()
    if (!this.#resting) this.#upstream?.resume()
  }

  #countIngress(bytes: number): number {
    const { row } = this.#account
    if (row === undefined) return 0
    const { meter, clock } = this.#context
    this.#ingress += bytes
    meter.ingress(row, bytes)
    this.#runtime.quotas?.received(bytes, clock.monotonic())
    return this.#runtime.limiter.bandwidth?.received(bytes, clock.monotonic()) ?? 0
  }

  /** Before they go to the socket: what the kernel will take of them cannot be known before. */
  #countEgress(bytes: number): number {
    const { row } = this.#account
    if (row === undefined) return 0
    const { meter, clock } = this.#context
    this.#egress += bytes
    meter.egress(row, bytes)
    this.#runtime.quotas?.sent(bytes, clock.monotonic())
    return this.#runtime.limiter.bandwidth?.sent(bytes, clock.monotonic()) ?? 0
  }

  upstreamEnded(): void {
    this.#outbox.end()
  }

  upstreamClosed(error: ErrorCode): void {
    const former = this.#upstream
    this.#upstream = undefined
    const { socket } = this.#downstream
    if (this.#connected) {
      // The deployment has reset the connection, and the client gets to know.
      if (!socket.writableEnded) this.#outbox.cut()
      // It has said all, and does not listen any more: the client still gets what was said.
      else if (!socket.readableEnded) destroyOnceSent(socket)
      return
    }
    if (former !== undefined) this.#upstream = this.#retry(former)
    if (this.#upstream === undefined) this.#fail(error)
  }

  #refuseByQuota(): boolean {
    return this.#refuse(this.#runtime.quotas?.refuseTunnel(this.#context.clock.monotonic()))
  }

  #refuseByBuffers(): boolean {
    return this.#refuse(this.#runtime.limiter.refuseTunnel())
  }

  #refuse(refusal: Refusal | undefined): boolean {
    if (refusal === undefined) return false
    this.#context.stats.limited(this.#verdict.tenant.id, refusal.limit)
    this.#fail(refusal.code)
    return true
  }

  /** A tunnel that lives for months has no other moment to be refused at. */
  #endByQuota(): boolean {
    if (this.#runtime.quotas?.bytesExhausted !== true || this.#failure !== undefined) return false
    this.#context.stats.limited(this.#verdict.tenant.id, 'quota')
    this.#failure = 'quota_exhausted'
    // What has been counted still leaves, as far as the kernel takes it.
    this.destroy()
    return true
  }

  #retry(former: UpstreamConnection): UpstreamConnection | undefined {
    const { pool } = this.#runtime
    if (++this.#attempts >= pool.maxAttempts) return undefined
    return pool.reconnect(this, former, this.#context.clock.monotonic())
  }

  #fail(code: ErrorCode): void {
    this.#failure = code
    this.#context.stats.rejected(code, this.#downstream.listener.index)
    this.#downstream.socket.destroy()
  }

  #touch(): void {
    this.#context.wheel.arm(
      this.#idle,
      this.#context.config.timeouts.idle,
      this.#context.clock.monotonic(),
    )
  }

  timerExpired(): void {
    this.#failure = 'idle_timeout'
    this.destroy()
  }

  #rest(ms: number): void {
    this.#resting = true
    this.#inbox.staySmall()
    this.#upstream?.inbox.staySmall()
    this.#inbox.pause()
    this.#upstream?.pause()
    this.#context.wheel.arm(this.#pace, ms, this.#context.clock.monotonic())
  }

  #paced(): void {
    if (this.#unclaim()) {
      this.#connect(this.#context.clock.monotonic())
      return
    }
    this.#resting = false
    if (!this.#upstreamBlocked) this.#inbox.resume()
    if (!this.#downstreamBlocked) this.#upstream?.resume()
  }

  readonly kind = 'tunnel'

  /** Tunnels have no polite end: they go on until their deadline of the drain. */
  drain(): void {}

  readonly protocol = 'tunnel'

  get downstream(): Downstream {
    return this.#downstream
  }

  get account(): ConnectionAccount {
    return this.#account
  }

  /** Is one by itself. */
  get calls(): Tunnel[] {
    return [this]
  }

  fail(code: ErrorCode, tenant: string): void {
    if (tenant !== this.#verdict.tenant.id) return
    this.#failure = code
    this.destroy()
  }

  destroy(): void {
    this.#outbox.cut()
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#context.clock.refresh()
    const { wheel } = this.#context
    wheel.cancel(this.#idle)
    wheel.cancel(this.#pace)
    this.#inbox.close()
    this.#unclaim()
    if (this.#connected) this.#runtime.limiter.bandwidth?.callEnded(this.#ingress, this.#egress)
    const upstream = this.#upstream
    this.#upstream = undefined
    if (upstream !== undefined) this.#endUpstream(upstream)
    else this.#runtime.pool.abandon(this)
    if (this.#failure !== undefined) this.#account.blame(this.#failure)
    this.#account.close({
      protocol: 'tunnel',
      traffic: { receivedBytes: this.#ingress, sentBytes: this.#egress },
      calls: 0,
      upstream: this.#reached,
    })
    this.#onClosed?.()
    this.#onClosed = undefined
  }

  /** Where both sides have said all, the last bytes still leave; else the deployment must not take half for the whole. */
  #endUpstream(upstream: UpstreamConnection): void {
    const { config, clock } = this.#context
    const complete = this.#downstream.socket.readableEnded && upstream.socket.readableEnded
    upstream.user = undefined
    if (complete) upstream.rest(config.timeouts.idle, clock.monotonic())
    else upstream.reset()
  }
}

function destroyOnceSent(socket: Duplex): void {
  if (socket.writableFinished) socket.destroy()
  else socket.once('finish', () => socket.destroy())
}

/**
 * The books of one call: usage, durations, limits and the access log line all come from the same numbers. Bytes are
 * counted as they go, and before they are handed on; a call that never reached its deployment leaves no usage.
 */

import { traceIdOf } from '../../codec/trace-context.ts'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import { codeClassOf, type Routability } from '../../core/routability.ts'
import type { AccessLog, CallProtocol, LoggedCall } from '../access-log/access-log.ts'
import type { RateFields } from '../limits/rate-fields.ts'
import { limitOf, type Refusal } from '../limits/refusal.ts'
import type { TenantQuotas } from '../limits/tenant-quotas.ts'
import type { UsageRow } from '../metering/usage-meter.ts'
import type { RoutedVerdict } from '../tenant/tenant.ts'
import type { CallTrace } from '../tracing/call-trace.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { TenantRuntime } from '../worker/tenant-runtimes.ts'
import { withoutCredentials } from './credential-text.ts'
import type { ConnectionAccount, Downstream } from './downstream.ts'
import { GrpcAccount } from './grpc-account.ts'
import { type MessageFields, NO_FIELDS } from './message-fields.ts'

/**
 * What a call has received from its client and sent to it, in bytes. The books look at differences alone, so a count may
 * begin anywhere.
 */
export interface CallTraffic {
  /** What was read and belongs to the call, its head included. */
  readonly receivedBytes: number
  /** What was put in for the client. */
  readonly sentBytes: number
  /** What of it the kernel may not have yet, and never gets where the connection is gone. */
  readonly unsentBytes: number
}

/** What the books need to know of a request. */
export interface CallSubject {
  readonly method: string
  readonly target: string
  readonly requestId: string
  /** 0 or 1 of HTTP/1.x, 2 of HTTP/2. */
  readonly version: number
  /** The host that is asked for, or ''. */
  readonly host: string
  /** `traceparent` as it came, or ''. */
  readonly traceparent: string
  /** Of one that gets a span. */
  readonly trace: CallTrace | undefined
  /** Credentials as they came, '' where there is none. */
  readonly authorization: string
  readonly apiKey: string
  /** Whether it is a call of gRPC: its code is a `grpc-status`, and messages are counted. */
  readonly grpc: boolean
  /** Within what time its client wants it to be over, in ms; 0 where it does not say. */
  readonly timeoutMs: number
}

/**
 * A client ends a call by its own clock, which began before its head was here and is more exact than our timers: its reset is
 * here first, as a rule, and looks like any other one. So much before the deadline, in parts of it and in ms, it is for that.
 */
const EARLY_PART = 0.1
const MOST_EARLY_MS = 50

const TOO_MANY_STREAMS: Refusal = limitOf('tenant_overloaded', 'streams')

const NO_SUBJECT: CallSubject = {
  method: '',
  target: '',
  requestId: '',
  version: 1,
  host: '',
  traceparent: '',
  trace: undefined,
  authorization: '',
  apiKey: '',
  grpc: false,
  timeoutMs: 0,
}

/** By the version of a request. */
const PROTOCOLS: readonly CallProtocol[] = ['HTTP/1.0', 'HTTP/1.1', 'HTTP/2']

export class CallAccount {
  /** Set from the verdict to the end of the call; holds one place of the tenant's concurrency. */
  runtime: TenantRuntime | undefined
  /** Of the request, by the limit at the call's begin. */
  maxBodyBytes = Number.POSITIVE_INFINITY
  /** Whether the deployment has seen the call: then it is usage, however it ends. */
  wasSent = false
  /** Of the present call where it is one of gRPC; whoever passes its messages on shows them to it. */
  grpc: GrpcAccount | undefined
  /** How long downstream should not be read, by the tenant's bandwidth. */
  ingressDebtMs = 0
  /** For how long the call waits before it begins, by the tenant's bandwidth. */
  bandwidthWaitMs = 0
  readonly #context: WorkerContext
  /** Of the connection that is served; set by `serve`, before anything else. */
  #downstream!: Downstream
  #traffic!: CallTraffic
  #subject = NO_SUBJECT
  #tenantId = ''
  #open = false
  #routability: Routability = 'unroutable'
  #operation = 0
  /** Where the call has one of the places that its tenant has on a connection. */
  #streams: ConnectionAccount | undefined
  /** Of what its tenant keeps for slow peers. */
  #held = 0
  /** Of what calls of its tenant that wait for bandwidth are expected to take. */
  #claimedMs = 0
  /** Of which the call has been taken. */
  #quotas: TenantQuotas | undefined
  #row: UsageRow | undefined
  #status = 0
  /** Made for the first call of gRPC. */
  #ownGrpc: GrpcAccount | undefined
  /** Of `received`, spent from the bandwidth so far. */
  #spentIngress = 0
  #countedIngress = 0
  #countedEgress = 0
  /** The traffic of the connection when the call began. */
  #receivedMark = 0
  #sentMark = 0
  #startedAt = 0
  /** Up to when its time is counted. */
  #timedUntil = 0
  /** Whether it is counted as a call already. */
  #inUsage = false
  #sentAt = 0
  #answeredAt = 0
  /** The failure that the client was told of instead of an answer; '' without. */
  #failure: ErrorCode | '' = ''
  #upstream = ''

  constructor(context: WorkerContext) {
    this.#context = context
  }

  /** The calls that follow are those of this connection. */
  serve(downstream: Downstream, traffic: CallTraffic): void {
    this.#downstream = downstream
    this.#traffic = traffic
  }

  #ingress(): number {
    return this.#traffic.receivedBytes - this.#receivedMark
  }

  #egress(): number {
    return this.#traffic.sentBytes - this.#sentMark
  }

  get tenantId(): string {
    return this.#tenantId
  }

  /** A call begins; its head took `consumed` bytes, which are among those received. */
  begin(subject: CallSubject, consumed: number): void {
    this.#subject = subject
    this.#open = true
    this.#tenantId = ''
    this.runtime = undefined
    this.maxBodyBytes = Number.POSITIVE_INFINITY
    this.wasSent = false
    this.ingressDebtMs = 0
    this.bandwidthWaitMs = 0
    this.#row = undefined
    this.#status = 0
    this.grpc = subject.grpc ? (this.#ownGrpc ??= new GrpcAccount()).begin() : undefined
    this.#routability = 'unroutable'
    this.#receivedMark = this.#traffic.receivedBytes - consumed
    this.#spentIngress = 0
    this.#countedIngress = 0
    this.#countedEgress = 0
    this.#sentMark = this.#traffic.sentBytes
    this.#startedAt = this.#context.clock.monotonic()
    this.#timedUntil = this.#startedAt
    this.#inUsage = false
    this.#answeredAt = 0
    this.#failure = ''
    this.#upstream = ''
  }

  /** Whose it is, before it has a place in the limits of that tenant. */
  belongsTo({ tenant, routability }: RoutedVerdict): void {
    this.#tenantId = tenant.id
    this.#routability = routability
  }

  /** It has a place in the concurrency of its tenant, and gives it back at its end. */
  route(runtime: TenantRuntime): void {
    this.runtime = runtime
    this.maxBodyBytes = runtime.limiter.maxBodyBytes
  }

  /** Takes one of the places that the tenant of the routed call has on `connection`; it goes back at the end. */
  takeStream(connection: ConnectionAccount): Refusal | undefined {
    const limiter = this.runtime?.limiter
    if (limiter === undefined) return undefined
    if (!connection.beginStream(limiter)) return TOO_MANY_STREAMS
    this.#streams = connection
    return undefined
  }

  /**
   * The tenant of the routed call may have had more than its bandwidth: then it waits for `bandwidthWaitMs`, or is refused where
   * that is more than `mostMs`. `bandwidthPaid` ends the wait; else it ends with the call.
   */
  awaitBandwidth(now: number, mostMs: number): Refusal | undefined {
    const bandwidth = this.runtime?.limiter.bandwidth
    const ms = bandwidth?.waitMs(now) ?? 0
    if (bandwidth === undefined || ms === 0) return undefined
    if (ms > mostMs) return bandwidth.refusal(ms, now)
    this.bandwidthWaitMs = ms
    this.#claimedMs = bandwidth.claim()
    return undefined
  }

  bandwidthPaid(): void {
    this.runtime?.limiter.bandwidth?.unclaim(this.#claimedMs)
    this.#claimedMs = 0
  }

  /** So many bytes of the call wait for slow peers; they are its tenant's for as long as it runs. */
  holds(bytes: number): void {
    if (this.runtime === undefined) return
    this.runtime.limiter.buffered += bytes - this.#held
    this.#held = bytes
  }

  /** Takes the routed call from the quotas of its tenant; it goes back where the call never reaches a deployment. */
  takeQuota(quotas: TenantQuotas): Refusal | undefined {
    const { operations, clock } = this.#context
    const { method, target } = this.#subject
    if (quotas.byOperation) this.#operation = operations.match(method, target)
    const refusal = quotas.takeCall(this.#operation, clock.monotonic())
    if (refusal === undefined) this.#quotas = quotas
    return refusal
  }

  /** What is left of the rate of the tenant's calls; undefined where it has none. */
  get rateFields(): RateFields | undefined {
    return this.runtime?.limiter.rateFields(this.#context.clock.monotonic())
  }

  /** Whether the tenant may have no more bytes, by a quota. */
  get bytesExhausted(): boolean {
    return this.#quotas?.bytesExhausted === true
  }

  /** The deployment gets to see the call now. */
  sent(upstream: string): void {
    if (!this.wasSent) {
      this.#operation = this.#context.operations.match(this.#subject.method, this.#subject.target)
      this.#sentAt = this.#context.clock.monotonic()
      this.received()
    }
    this.wasSent = true
    this.#upstream = upstream
  }

  /** More has come. Bandwidth is spent as bytes come; what code they count under is known only with the answer. */
  received(): void {
    const { runtime } = this
    if (runtime === undefined) return
    const ingress = this.#ingress()
    const bytes = ingress - this.#spentIngress
    this.#spentIngress = ingress
    const { bandwidth } = runtime.limiter
    if (bandwidth !== undefined)
      this.ingressDebtMs = bandwidth.received(bytes, this.#context.clock.monotonic())
  }

  /**
   * The status that the client gets: the call is counted under its class. One of gRPC counts under its own status, as OK
   * until it is known: by the `fields` of the head, or where the answer ends.
   */
  answer(status: number, fields: MessageFields = NO_FIELDS): void {
    if (this.runtime === undefined) return
    this.#status = status
    this.#answeredAt = this.#context.clock.monotonic()
    this.grpc?.answerBegins(fields)
    this.#chooseRow()
  }

  /** The answer is whole. */
  answerEnds(trailers: MessageFields): void {
    if (this.grpc === undefined) return
    this.grpc.answerEnds(trailers)
    this.#chooseRow()
  }

  #chooseRow(): void {
    if (this.runtime === undefined) return
    this.#row = this.#context.meter.row(
      this.runtime.tenant,
      this.#downstream.listener.index,
      this.#routability,
      {
        operation: this.#operation,
        codeClass: codeClassOf(this.#status, this.grpc?.status),
      },
    )
  }

  /**
   * Counts what has come, and all that was put in for the client: it goes to the socket next, and what the kernel will take of
   * it cannot be known before. Returns how long the deployment should not be read, by the tenant's bandwidth.
   */
  count(): number {
    const debtMs = this.#countUpTo(this.#egress())
    this.#countTime()
    return debtMs
  }

  /** The call has become a tunnel: it is a call from here on, however long it will last and whatever ends it. */
  switched(): void {
    if (this.#row === undefined || this.#inUsage) return
    this.#inUsage = true
    const now = this.#context.clock.monotonic()
    this.#context.meter.call(this.#row, now - this.#timedUntil)
    this.#timedUntil = now
  }

  /** The time of a long answer is counted as it goes, like its bytes. */
  #countTime(): void {
    const { meter, clock } = this.#context
    const now = clock.monotonic()
    if (this.#row === undefined || now === this.#timedUntil) return
    meter.callTime(this.#row, now - this.#timedUntil)
    this.#timedUntil = now
  }

  #countUpTo(egress: number): number {
    const { runtime } = this
    if (this.#row === undefined || runtime === undefined) return 0
    const { meter, clock } = this.#context
    this.grpc?.count(meter, this.#row)
    const ingress = this.#ingress()
    const received = ingress - this.#countedIngress
    const sent = egress - this.#countedEgress
    if (received > 0) {
      meter.ingress(this.#row, received)
      this.#quotas?.received(received, clock.monotonic())
      this.#countedIngress = ingress
    }
    if (sent <= 0) return 0
    meter.egress(this.#row, sent)
    this.#quotas?.sent(sent, clock.monotonic())
    this.#countedEgress = egress
    return runtime.limiter.bandwidth?.sent(sent, clock.monotonic()) ?? 0
  }

  /** The answer is whole, or as whole as it will get; what was put in is on its way. */
  settle(code: ErrorCode | '' = ''): void {
    this.#end(this.#failure === '' ? code : this.#failure, this.#egress())
  }

  /** The call was refused before a deployment saw it. */
  refuse(code: ErrorCode): void {
    if (!this.#open) return
    this.#status = ERRORS[code].http
    this.grpc?.endsWith(ERRORS[code].grpc)
    this.#close(code)
  }

  /** The proxy itself was asked, and answered with `status`: no usage either. */
  answerHere(status: number): void {
    if (!this.#open) return
    this.#status = status
    this.#close('')
  }

  /** The proxy answered for the deployment. Where that had seen the call, `settle` has to follow. */
  fail(code: ErrorCode): void {
    if (!this.wasSent) {
      this.refuse(code)
      return
    }
    this.grpc?.endsWith(ERRORS[code].grpc)
    this.answer(ERRORS[code].http)
    this.#failure = code
  }

  /** The answer had begun, and does not come to its end: the status of a gRPC call says so, that of HTTP is out already. */
  interrupt(code: ErrorCode): void {
    this.grpc?.endsWith(ERRORS[code].grpc)
    this.#chooseRow()
    this.settle(code)
  }

  /** Whether the deadline that the client has set is over, or so near that it has gone for that. */
  get #deadlinePassed(): boolean {
    const { timeoutMs } = this.#subject
    if (timeoutMs === 0) return false
    const early = Math.min(MOST_EARLY_MS, timeoutMs * EARLY_PART)
    return this.#context.clock.monotonic() - this.#startedAt >= timeoutMs - early
  }

  /** The client is gone, or its stream: what the kernel never got was not sent. */
  abort(reason: ErrorCode): void {
    if (!this.#open) return
    const code = reason === 'client_closed' && this.#deadlinePassed ? 'call_timeout' : reason
    if (!this.wasSent) {
      this.#context.stats.rejected(code, this.#downstream.listener.index)
      this.refuse(code)
      return
    }
    this.grpc?.endsWith(ERRORS[code].grpc)
    if (this.#row === undefined) this.answer(ERRORS[code].http)
    else this.#chooseRow()
    this.cut(code)
  }

  /** Ends the books with what the kernel has taken. */
  cut(code: ErrorCode | '' = ''): void {
    this.#context.turnWrites.commitInTurn()
    this.#end(code, Math.max(this.#countedEgress, this.#egress() - this.#traffic.unsentBytes))
  }

  #end(code: ErrorCode | '', egress: number): void {
    if (!this.#open) return
    this.#countUpTo(egress)
    const { meter, stats, clock, overload } = this.#context
    if (overload.level > 0 && this.runtime !== undefined)
      overload.charge(this.runtime, this.#ingress() + egress)
    if (this.wasSent) this.runtime?.limiter.bandwidth?.callEnded(this.#ingress(), egress)
    const now = clock.monotonic()
    const codeClass = codeClassOf(this.#status, this.grpc?.status)
    if (this.#row !== undefined) {
      if (this.#inUsage) meter.callTime(this.#row, now - this.#timedUntil)
      else meter.call(this.#row, now - this.#timedUntil)
    }
    stats.callDurations.record(codeClass, now - this.#startedAt)
    if (this.#answeredAt > 0)
      stats.upstreamDurations.record(codeClass, this.#answeredAt - this.#sentAt)
    this.#close(code)
  }

  /** Gives back the place in the tenant's concurrency, and writes the line. */
  #close(code: ErrorCode | ''): void {
    this.#open = false
    this.#row = undefined
    if (this.#streams !== undefined) this.#endStream()
    if (this.#held > 0) this.holds(0)
    if (this.#claimedMs > 0) this.bandwidthPaid()
    // What is read of it by now holds up nobody.
    this.ingressDebtMs = 0
    this.runtime?.limiter.endCall()
    this.runtime = undefined
    if (!this.wasSent) this.#quotas?.giveCallBack(this.#operation)
    this.#quotas = undefined
    const { accessLog } = this.#context
    if (accessLog?.wantsCall(code) === true) this.#log(accessLog, code)
    if (this.#subject.trace !== undefined) this.#traceOut(this.#subject.trace, code)
  }

  #traceOut(trace: CallTrace, code: ErrorCode | ''): void {
    const { tracing, clock } = this.#context
    tracing?.record({
      call: this.#described(code, ''),
      trace,
      // Of anybody else it may say anything, such as a secret.
      host: this.#tenantId === '' ? '' : withoutCredentials(this.#subject.host),
      secure: this.#downstream.secure,
      endedAt: clock.now(),
    })
  }

  #endStream(): void {
    if (this.runtime !== undefined) this.#streams?.endStream(this.runtime.limiter)
    this.#streams = undefined
  }

  #log(accessLog: AccessLog, code: ErrorCode | ''): void {
    // Before its verdict the evidence is that of the call before it.
    const credential =
      this.#tenantId === ''
        ? ''
        : accessLog.credentials.of(this.#downstream.evidence, this.#subject)
    accessLog.call(this.#described(code, credential))
  }

  #described(code: ErrorCode | '', credential: string): LoggedCall {
    const { meter, clock } = this.#context
    const { listener, peerAddress, evidence, connection } = this.#downstream
    const subject = this.#subject
    const { target, method, host, requestId } = subject
    const query = target.indexOf('?')
    const routed = this.#tenantId !== ''
    return {
      code,
      flag: code === '' ? '-' : ERRORS[code].flag,
      status: this.#status,
      grpcStatus: this.grpc?.status,
      operation: this.wasSent ? (meter.operations[this.#operation] as string) : '',
      method,
      host: routed && evidence.hostTenant !== undefined ? host : '',
      path: withoutCredentials(query < 0 ? target : target.slice(0, query)),
      protocol: PROTOCOLS[subject.version] ?? '',
      requestId,
      trace: subject.trace?.traceId ?? traceIdOf(subject.traceparent),
      connection,
      tenant: this.tenantId,
      listener: listener.name,
      routability: this.#routability,
      peer: peerAddress,
      credential,
      upstream: this.#upstream,
      ingress: this.#ingress(),
      egress: this.#egress(),
      durationMs: clock.monotonic() - this.#startedAt,
      waitMs: this.wasSent ? this.#sentAt - this.#startedAt : 0,
      upstreamMs: this.#answeredAt > 0 && this.wasSent ? this.#answeredAt - this.#sentAt : 0,
    }
  }
}

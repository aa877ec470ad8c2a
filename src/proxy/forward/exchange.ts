/**
 * One call: from its request over its verdict and its deployment to the end of the answer, in whatever versions of HTTP
 * its client and its deployment speak. The object serves other calls after that; `#serial` tells late events of a former
 * call apart.
 *
 * A call goes through these phases: checking (credential) → connecting → forwarding → idle, or discarding where it was
 * refused and the rest of its body is still to come; an upgrade ends in tunnelling. In a busy worker it may be queued before
 * it is connecting, and where its tenant has had more than its bandwidth. Bytes are the business of the two
 * sides, numbers of the account; this is where they are put together.
 */
import type { ConnectionEnds } from '../../codec/proxy-header-writer.ts'
import type { ErrorCode } from '../../core/errors.ts'
import type { PoolUser, Upstream } from '../pool/deployment-pool.ts'
import type { RoutedVerdict } from '../tenant/tenant.ts'
import { BORROWED_MEMORY, type Lender } from '../wire/outbox.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { AnswerWriter } from './answer-writer.ts'
import { AwaitedTurn, type TurnTaker } from './awaited-turn.ts'
import { penalizeFor } from './bad-credentials.ts'
import { CallAccount } from './call-account.ts'
import type { CallAnswer } from './call-answer.ts'
import { CallRequest } from './call-request.ts'
import type { Caller } from './caller.ts'
import { endsOf, isDraining } from './downstream.ts'
import type { LimitedBy } from './error-response.ts'
import { LAST_HOP_STATUS } from './http1/http1-answer.ts'
import {
  ANSWER_DONE,
  ANSWER_MALFORMED,
  ANSWER_SWITCHED,
  type Http1UpstreamCall,
} from './http1/http1-upstream-call.ts'
import { isAgreed } from './http1/protocol-switch.ts'
import type { StreamedCall } from './http2/http2-upstream-call.ts'
import type { MessageFields } from './message-fields.ts'
import { RequestRelay } from './request-relay.ts'
import { admitCall, type CallRefusal, routeCall } from './route-call.ts'
import type { UpstreamCall } from './upstream-call.ts'
import { UpstreamCalls } from './upstream-calls.ts'

type Phase =
  | 'idle'
  | 'checking'
  | 'queued'
  | 'connecting'
  | 'forwarding'
  | 'discarding'
  | 'tunnelling'

/** The rest of a refused call's body is read up to here, so that the connection can go on. */
const MAX_DISCARD_BYTES = 64 * 1024
/** How often a call is sent that deployments refuse to look at. */
const MAX_REFUSED_ATTEMPTS = 3

export class Exchange implements PoolUser, TurnTaker, StreamedCall {
  readonly request: CallRequest
  /** Who is served; set by `serve`, and used by nothing that an exchange without a call is asked. */
  #caller!: Caller
  readonly #account: CallAccount
  readonly #body: RequestRelay
  readonly #calls: UpstreamCalls
  readonly #http1: Http1UpstreamCall
  readonly #turn: AwaitedTurn
  #phase: Phase = 'idle'
  #serial = 0
  #upstream: UpstreamCall | undefined
  /** What it goes over. */
  #connection: Upstream | undefined
  #attempts = 0
  /** Whether the client has got a final answer, or its beginning. */
  #answered = false
  #keepAlive = true
  /** Whether the client has asked for 100, has not got it, and has sent nothing of its body. */
  #awaitsContinue = false
  /** Whether the answer has come to its end, some of which waits for the client. */
  #answerWhole = false
  /** Whether the deployment is not read because the client does not read. */
  #upstreamPaused = false

  constructor(context: WorkerContext) {
    this.request = new CallRequest(context)
    this.#account = new CallAccount(context)
    this.#body = new RequestRelay(context)
    this.#calls = new UpstreamCalls(context, this)
    this.#http1 = this.#calls.http1
    this.#turn = new AwaitedTurn(context.overload, this)
  }

  /** The calls that follow are those of `caller`, until one of another is served. */
  serve(caller: Caller): void {
    const { downstream, origin, traffic } = caller
    this.#caller = caller
    this.request.serve(downstream, origin)
    this.#account.serve(downstream, traffic)
  }

  get active(): boolean {
    return this.#phase !== 'idle'
  }

  get tunnelling(): boolean {
    return this.#phase === 'tunnelling'
  }

  /** Whether body bytes can be taken now. */
  get wantsBody(): boolean {
    return (this.#phase === 'forwarding' || this.#phase === 'discarding') && !this.#body.done
  }

  /** Bytes of the present call's body that have come. */
  get bodyBytes(): number {
    return this.#body.bytes
  }

  /** Whether all that comes now are calls that wait behind this one. */
  get holdsBackCalls(): boolean {
    return this.active && this.#body.done && !this.request.mayTunnel
  }

  // === from the head to a deployment

  /** Begins the call of `request`, whose head took `consumed` bytes. `keepAlive`: its client wants to make another one. */
  begin(consumed: number, keepAlive: boolean): void {
    const { context, downstream, watch } = this.#caller
    this.#serial++
    this.#phase = 'checking'
    this.#attempts = 0
    this.#answered = false
    this.#answerWhole = false
    this.#upstreamPaused = false
    this.#account.begin(this.request, consumed)
    this.#caller.answer.countMessages(this.#account.grpc?.answers)
    this.#body.begin(this.request)
    this.#awaitsContinue = this.request.expectsContinue
    // What follows it is meant for the tunnel: where that does not come about, it is nobody's, and never a call.
    this.#keepAlive = keepAlive && !this.request.isConnect
    watch.beginDeadline(this.request.timeoutMs)
    const { refusal } = this.request
    if (refusal !== undefined) {
      this.#refuse(refusal)
      return
    }
    const { authorization, apiKey } = this.request
    const { evidence } = downstream
    const wait = context.authenticator.check(evidence, authorization, apiKey, context.clock.now())
    if (wait === undefined) this.#route()
    else this.#routeLater(wait)
  }

  #routeLater(checked: Promise<void>): void {
    // The head was in time, however long its check takes.
    this.#caller.watch.wait('response', this.#caller.context.config.timeouts.response)
    const serial = this.#serial
    void checked.then(() => {
      if (serial !== this.#serial || this.#phase !== 'checking') return
      this.#route()
      this.#caller.pump()
    })
  }

  /** The verdict, then in a busy worker its turn, the limits, and a connection to the deployment. */
  #route(): void {
    const { overload } = this.#caller.context
    const verdict = routeCall(this.#caller, this.request)
    if (verdict.kind !== 'refused') this.#account.belongsTo(verdict)
    if (verdict.kind === 'refused') this.#refuseRouted(verdict)
    else if (overload.level > 0) this.#awaitTurn(verdict)
    else this.#admit(verdict)
  }

  /**
   * The worker is busy: its tenants take turns. What waits holds no place in any limit, and what its limits refuse waits as
   * well: whoever asks again at once would fill the turns with refusals.
   */
  #awaitTurn(verdict: RoutedVerdict): void {
    const { config, runtimes } = this.#caller.context
    const entry = this.#turn.enter(verdict, runtimes.of(verdict.tenant))
    if (entry === 'admitted') this.#admit(verdict)
    else if (entry === 'shed') this.#refuse('overloaded', this.#caller.context.overload.comeAgain)
    else {
      this.#phase = 'queued'
      this.#caller.watch.wait('response', config.timeouts.response)
    }
  }

  turnCame(verdict: RoutedVerdict): void {
    this.#admit(verdict)
    this.#caller.pump()
  }

  turnLost(): void {
    this.#refuse('overloaded', this.#caller.context.overload.comeAgain)
    this.#caller.pump()
  }

  #admit(verdict: RoutedVerdict): void {
    const { account: connection } = this.#caller
    const call = this.#account
    const bodyBytes = this.#body.remaining
    const refusal = admitCall(this.#caller, verdict, { bodyBytes, call, connection })
    if (refusal !== undefined) this.#refuseRouted(refusal)
    else if (this.request.hopsLeft === 0) this.#answerAsLastHop()
    else if (call.bandwidthWaitMs === 0) this.#connect()
    else {
      // It has its place in all limits: how many wait is bounded by them.
      this.#phase = 'queued'
      this.#caller.watch.wait('bandwidth', call.bandwidthWaitMs)
    }
  }

  /** What the tenant has had beyond its bandwidth is paid. */
  bandwidthPaid(): void {
    this.#account.bandwidthPaid()
    this.#connect()
    this.#caller.pump()
  }

  #refuseRouted(refusal: CallRefusal): void {
    if (refusal.endsConnection) {
      this.#keepAlive = false
      this.#caller.endConnection()
    }
    this.#refuse(refusal.code, refusal)
  }

  #connect(): void {
    const { runtime } = this.#account
    const { context } = this.#caller
    if (runtime === undefined) return
    const now = context.clock.monotonic()
    // What may become a tunnel needs a connection of its own where the deployment is told whose it is.
    const upstream = runtime.pool.acquire(this, now, this.request.mayTunnel)
    if (typeof upstream === 'string') {
      this.#refuse(upstream)
      return
    }
    this.#phase = 'connecting'
    if (upstream === undefined) {
      this.#caller.watch.wait('response', context.config.timeouts.response)
      return
    }
    this.#adopt(upstream)
  }

  clientEnds(): ConnectionEnds | undefined {
    return endsOf(this.#caller.downstream)
  }

  upstreamGranted(upstream: Upstream): void {
    this.#adopt(upstream)
    if (upstream.connected) this.#caller.pump()
  }

  #adopt(connection: Upstream): void {
    const { runtime } = this.#account
    if (runtime === undefined) return
    this.#connection = connection
    this.#upstream = this.#calls.over(connection, runtime.pool, this.request)
    if (connection.connected) this.#sendHead(this.#upstream)
    else this.#caller.watch.wait('response', this.#caller.context.config.timeouts.response)
  }

  upstreamConnected(): void {
    if (this.#phase !== 'connecting' || this.#upstream === undefined) return
    this.#sendHead(this.#upstream)
    this.#caller.pump()
  }

  #sendHead(upstream: UpstreamCall): void {
    const { timeouts } = this.#caller.context.config
    if (!upstream.accepts(this.request)) {
      this.#letUpstreamGo(true)
      this.#refuse('upgrade_unsupported')
      return
    }
    this.#phase = 'forwarding'
    upstream.begin(this.request, this.#account.tenantId)
    this.#body.repeat(upstream)
    this.#account.sent(upstream.endpoint.authority)
    if (this.#body.done || this.#awaitsContinue)
      this.#caller.watch.wait('response', timeouts.response)
    else this.#awaitBody()
  }

  #awaitBody(): void {
    const { watch, context } = this.#caller
    const { body, idle } = context.config.timeouts
    // The stream of a call of gRPC is a conversation: who is silent between two messages is not slow.
    const silent = this.#account.grpc?.requests.between === true
    watch.wait('body', silent ? idle : body)
    if (silent) watch.unwatchUpload()
    else watch.watchUpload()
  }

  // === the body of the request

  /**
   * Takes what `bytes[start, end)` of HTTP/1.1 has of the body, in the memory of `lender`; returns how many bytes it used.
   * `bodyRead` has to follow.
   */
  readBody(bytes: Buffer, start: number, end: number, lender: Lender): number {
    this.#body.aim(this.#bodyTarget(), lender)
    return this.#body.read(bytes, start, end)
  }

  /** The same with data of HTTP/2, all of it; `last`: it ends the body. */
  takeBody(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (this.#phase !== 'discarding') this.#account.grpc?.requests.pass(bytes, start, end)
    this.#body.aim(this.#bodyTarget(), BORROWED_MEMORY)
    this.#body.take(bytes, start, end, last)
  }

  /** The body of HTTP/2 ends behind data that was not known to be the last. */
  endBody(trailers: MessageFields): void {
    if (this.#body.done) return
    this.#body.aim(this.#bodyTarget(), BORROWED_MEMORY)
    this.#body.finish(trailers)
  }

  #bodyTarget(): UpstreamCall | undefined {
    return this.#phase === 'discarding' ? undefined : this.#upstream
  }

  /** What was taken of the body is among what its caller has received: it is counted, and what follows is decided. */
  bodyRead(): void {
    const body = this.#body
    this.#account.received()
    this.#awaitsContinue = false
    if (body.error !== undefined) {
      this.fail(body.error)
      return
    }
    if (this.#phase === 'discarding') {
      if (body.done) this.#finish()
      else if (body.bytes > MAX_DISCARD_BYTES) this.#finishWithoutKeepAlive()
      return
    }
    if (body.bytes > this.#account.maxBodyBytes) {
      // Also where the body came to its end in this very piece.
      this.#keepAlive = false
      this.fail('body_too_large')
      return
    }
    if (body.done) this.#bodySent()
    else this.#awaitBody()
    this.#account.count()
    this.#caller.watch.holdDownstream(this.#account.ingressDebtMs)
  }

  #bodySent(): void {
    const { timeouts } = this.#caller.context.config
    this.#caller.watch.unwatchUpload()
    if (this.#answered) this.#caller.watch.wait('answer', timeouts.idle)
    else this.#caller.watch.wait('response', timeouts.response)
  }

  /** Sends what the last turn left for the deployment. */
  flushUpstream(): void {
    const upstream = this.#upstream
    if (upstream === undefined || this.#phase === 'connecting') return
    if (!upstream.flush()) this.#caller.pauseForUpstream(true)
  }

  upstreamHeldUp(): void {
    this.#caller.pauseForUpstream(true)
  }

  upstreamDrained(): void {
    this.#caller.pauseForUpstream(false)
  }

  /** There is more, or less, that a slow client or deployment does not take for now: its caller says when. */
  bytesWait(): void {
    this.#account.holds(this.#caller.waitingBytes + (this.#upstream?.waitingBytes ?? 0))
  }

  // === the answer

  upstreamData(bytes: Buffer, length: number): boolean {
    const http1 = this.#http1
    if (this.#phase === 'tunnelling') {
      this.#caller.answer.data(bytes, 0, length, http1.memory)
      return this.answerRead()
    }
    // An answer to a question that was not asked is none.
    const progress = this.#phase === 'forwarding' ? http1.read(bytes, length) : ANSWER_MALFORMED
    if (progress === ANSWER_MALFORMED) {
      this.fail('upstream_malformed')
      return false
    }
    const { input, position, inputEnd } = http1
    if (progress === ANSWER_SWITCHED) {
      if (position === inputEnd) return true
      this.#caller.answer.data(input, position, inputEnd, http1.memory)
      return this.answerRead()
    }
    if (progress === ANSWER_DONE) {
      this.answerEnds(http1.trailers, position === inputEnd)
      return true
    }
    return this.answerRead()
  }

  answerInterim(answer: CallAnswer): void {
    if (answer.status === 100 && this.#awaitsContinue) {
      this.#awaitsContinue = false
      this.#awaitBody()
    }
    this.#caller.answer.interim(answer, this.request)
  }

  answerBegins(answer: CallAnswer): void {
    const { context, watch } = this.#caller
    this.#answered = true
    this.#body.forget()
    this.#upstream?.endpoint.health.answered(answer.status, context.clock.monotonic())
    this.#account.answer(answer.status, answer.fields)
    if (answer.endsByClose(this.request.version) || isDraining(this.#caller))
      this.#keepAlive = false
    if (context.overload.stopsKeepAlive && context.overload.endsConnectionOf(this.#account.runtime))
      this.#keepAlive = false
    // A client that waited for 100 in vain may send its body or not: what comes next cannot be told.
    if (this.#awaitsContinue && !this.#body.done) this.#keepAlive = false
    if (this.#body.done) watch.wait('answer', context.config.timeouts.idle)
    answer.rate = this.#account.rateFields
    this.#caller.answer.begin(answer, this.request, this.#keepAlive)
  }

  get answer(): AnswerWriter {
    return this.#caller.answer
  }

  /**
   * All that has arrived of the answer for now was passed on: it is counted, and sent. False where the deployment has to
   * wait for the client, or for its bandwidth.
   */
  answerRead(): boolean {
    const { context } = this.#caller
    if (this.#phase === 'tunnelling')
      this.#caller.watch.wait('tunnel', context.config.timeouts.idle)
    else if (this.#answered) this.#caller.watch.wait('answer', context.config.timeouts.idle)
    const wait = this.#account.count()
    this.#upstreamPaused = !this.#caller.flush()
    if (wait > 0) this.#caller.watch.holdUpstream(wait, this.#upstream)
    if (this.#endTunnelByQuota()) return false
    return !this.#upstreamPaused && !this.#caller.watch.holdsUpstream
  }

  /** The bandwidth of the tenant lets the deployment be read again. */
  paceOver(): void {
    if (!this.#upstreamPaused) this.#upstream?.resume()
  }

  downstreamHeldUp(): void {
    if (this.#phase === 'idle') return
    this.#upstreamPaused = true
    this.#upstream?.pause()
  }

  /** Some of what waited for the client is on its way. */
  downstreamSent(): void {
    const wait = this.#account.count()
    if (wait > 0) this.#caller.watch.holdUpstream(wait, this.#upstream)
  }

  /** All of the answer is there: closes the books. False where the client does not take it for now; they are open until it has. */
  #closeBooks(): boolean {
    const { answer } = this.#caller
    this.#answerWhole = answer.heldUp
    if (answer.heldUp) {
      this.#account.count()
      this.#caller.flush()
      return false
    }
    this.#caller.lastWord(true)
    this.#account.settle()
    return true
  }

  downstreamDrained(): void {
    if (this.#phase === 'idle') return
    if (this.#answerWhole) {
      if (this.#closeBooks()) this.#finishOrDiscard()
      return
    }
    this.#upstreamPaused = false
    if (!this.#caller.watch.holdsUpstream) this.#upstream?.resume()
  }

  /** The answer is whole. `clean` says that nothing came behind it. */
  answerEnds(trailers: MessageFields, clean: boolean): void {
    this.#caller.answer.end(trailers)
    this.#account.answerEnds(trailers)
    const { runtime } = this.#account
    // Before the next call gets the connection: its writes may fill the turn, and then what is due here leaves with them.
    const closed = this.#closeBooks()
    this.#letUpstreamGo(clean && this.#body.done, runtime)
    // A body that the client is still sending has no taker once the deployment has answered.
    if (closed) this.#finishOrDiscard()
  }

  /** Gives the upstream connection back, or closes it. */
  #letUpstreamGo(whole: boolean, runtime = this.#account.runtime): void {
    const upstream = this.#upstream
    if (upstream === undefined) {
      if (!this.#turn.leave()) runtime?.pool.abandon(this)
      return
    }
    this.#upstream = undefined
    this.#caller.pauseForUpstream(false)
    upstream.letGo(whole)
  }

  upstreamEnded(): void {
    if (this.#phase === 'tunnelling') {
      this.#caller.answer.endTunnel()
      return
    }
    if (this.#phase === 'forwarding' && this.#upstream?.endByClose()) {
      this.answerEnds(this.#http1.trailers, false)
      this.#caller.pump()
      return
    }
    this.#http1.destroy()
  }

  upstreamClosed(error: ErrorCode): void {
    const upstream = this.#upstream
    this.#upstreamGone()
    if (this.#phase === 'tunnelling') {
      if (!this.#closeBooks()) return
      this.#phase = 'idle'
      this.#caller.endTunnel()
      return
    }
    if (this.#retry(upstream)) return
    upstream?.blame(error, this.#answered)
    this.fail(error)
  }

  /** It takes nothing any more: the client need not rest for it, nor may the next call of its connection. */
  #upstreamGone(): void {
    const upstream = this.#upstream
    this.#upstream = undefined
    upstream?.closed()
    this.#caller.pauseForUpstream(false)
  }

  /** The deployment has not looked at the call: it may be sent again, unless its body is too long to be kept. */
  upstreamRefused(inGoodOrder: boolean): void {
    this.#upstreamGone()
    if (this.#phase !== 'forwarding') return
    const maySend = this.#body.repeatable && ++this.#attempts < MAX_REFUSED_ATTEMPTS
    if (!maySend || !this.#tryAgain(inGoodOrder)) this.fail('upstream_reset')
  }

  /**
   * Tries again where that is safe: the connection was never made; or it had rested, was closed meanwhile, and the call
   * may be repeated (RFC 9110 §9.2.2) and has no body that is gone by now.
   */
  #retry(upstream: UpstreamCall | undefined): boolean {
    const { runtime } = this.#account
    if (runtime === undefined || upstream === undefined || this.#answered) return false
    const attempt = this.#attempts++
    if (this.#phase === 'connecting')
      return attempt + 1 < runtime.pool.maxAttempts && this.#tryAgain()
    const stale = this.#phase === 'forwarding' && upstream.stale && attempt === 0
    return stale && this.request.repeatable && this.#tryAgain()
  }

  /** False where the pool does not allow it. */
  #tryAgain(inGoodOrder = false): boolean {
    const { runtime } = this.#account
    const former = this.#connection
    if (runtime === undefined || former === undefined) return false
    const { pool } = runtime
    const now = this.#caller.context.clock.monotonic()
    const upstream = inGoodOrder ? pool.move(this, former, now) : pool.retry(this, former, now)
    if (upstream === undefined) return false
    this.#phase = 'connecting'
    this.#adopt(upstream)
    // What came of the body meanwhile has a taker now.
    if (upstream.connected) this.#caller.pump()
    else this.flushUpstream()
    return true
  }

  // === upgrades and CONNECT

  answerSwitches(answer: CallAnswer): boolean {
    if (!this.#body.done) return false
    if (answer.status === 101 && !isAgreed(answer.upgrade, this.request.upgrade)) return false
    const { context, watch } = this.#caller
    this.#answered = true
    this.#upstream?.endpoint.health.answered(answer.status, context.clock.monotonic())
    this.#account.answer(answer.status)
    this.#caller.answer.openTunnel(answer, this.request)
    this.#phase = 'tunnelling'
    watch.endDeadline()
    this.#account.count()
    this.#account.switched()
    this.#caller.flush()
    watch.wait('tunnel', context.config.timeouts.idle)
    // What the client sent ahead of the answer goes first.
    const caller = this.#caller
    queueMicrotask(() => caller.pump())
    return true
  }

  tunnelFromDownstream(bytes: Buffer, start: number, end: number, lender: Lender): void {
    const upstream = this.#upstream
    if (upstream === undefined) return
    const { watch, context } = this.#caller
    this.#account.received()
    this.#account.count()
    upstream.data(bytes, start, end, lender)
    watch.wait('tunnel', context.config.timeouts.idle)
    if (!upstream.flush()) this.#caller.pauseForUpstream(true)
    watch.holdDownstream(this.#account.ingressDebtMs)
    this.#endTunnelByQuota()
  }

  /** A call goes on to its end beyond a quota of bytes; what is a tunnel by now has no end. */
  #endTunnelByQuota(): boolean {
    if (this.#phase !== 'tunnelling' || !this.#account.bytesExhausted) return false
    const { context } = this.#caller
    context.stats.limited(this.#account.tenantId, 'quota')
    this.fail('quota_exhausted')
    return true
  }

  // === the ways in which a call ends

  /**
   * The client will send no more, and all that it sent was read: a whole request is still answered, half of one has no
   * meaning. May be said more than once.
   */
  downstreamEnded(): void {
    if (this.#phase === 'tunnelling') this.#upstream?.endTunnel()
    if (this.#phase === 'idle' || this.#body.done) return
    this.abort('client_closed')
    this.#caller.destroy()
  }

  /** Answers a call that goes nowhere. */
  #refuse(code: ErrorCode, limited?: LimitedBy): void {
    const { context, downstream } = this.#caller
    context.stats.rejected(code, downstream.listener.index)
    penalizeFor(this.#caller, code)
    this.#answerError(code, limited)
    this.#account.refuse(code)
    this.#finishOrDiscard()
  }

  /** The call may go no further (RFC 9110 §7.6.2): OPTIONS is answered for the proxy. */
  #answerAsLastHop(): void {
    this.#decideKeepAlive()
    this.#answered = true
    this.#caller.answer.answerAsLastHop(this.request, this.#keepAlive)
    this.#account.answerHere(LAST_HOP_STATUS)
    this.#finishOrDiscard()
  }

  #finishOrDiscard(): void {
    if (this.#body.done) this.#finish()
    else this.#discardRest()
  }

  /** Ends a call that cannot go on, where it is of `tenant`: with an answer where none has begun, else by cutting the connection. */
  fail(code: ErrorCode, tenant: string = this.#account.tenantId): void {
    if (this.#phase === 'idle' || tenant !== this.#account.tenantId) return
    const { context, downstream } = this.#caller
    if (this.#phase === 'discarding') {
      // It has its answer already, which may still be under way.
      this.#finishWithoutKeepAlive()
      return
    }
    // What other codes say is not that the deployment has ended where it is.
    if (code === 'upstream_timeout' && this.#upstream?.endUnsaid(code) === true) return
    this.#upstream?.blame(code, this.#answered)
    // A credential that is still being checked would find the next call of this connection.
    if (this.#phase === 'checking') this.#keepAlive = false
    this.#letUpstreamGo(false)
    if (!this.#account.wasSent) context.stats.rejected(code, downstream.listener.index)
    if (this.#answered) {
      this.#caller.lastWord(false)
      this.#account.interrupt(code)
      this.#leave()
      this.#caller.destroy()
      return
    }
    if (!this.#body.done) this.#keepAlive = false
    this.#answerError(code, undefined)
    this.#account.fail(code)
    if (this.#account.wasSent && !this.#closeBooks()) return
    this.#finish()
    this.#caller.pump()
  }

  /** The client is gone, or what it sent has ended its stream. */
  abort(code: ErrorCode): void {
    if (this.#phase === 'idle') return
    this.#letUpstreamGo(false)
    if (this.#phase === 'tunnelling') this.#account.cut()
    else this.#account.abort(code)
    this.#leave()
  }

  #answerError(code: ErrorCode, limited: LimitedBy | undefined): void {
    this.#decideKeepAlive()
    this.#answered = true
    this.#caller.answer.refuse(code, {
      requestId: this.request.requestId,
      close: !this.#keepAlive,
      head: this.request.method === 'HEAD',
      grpc: this.request.grpc,
      limited,
    })
  }

  /** Whether the connection goes on behind an answer of our own. */
  #decideKeepAlive(): void {
    if (this.#body.declaresMoreThan(MAX_DISCARD_BYTES)) this.#keepAlive = false
    // A client that waits for 100 may send its body or not (RFC 9110 §10.1.1): what comes next cannot be told.
    if (this.#awaitsContinue && !this.#body.done) this.#keepAlive = false
    if (this.request.version === 0 || isDraining(this.#caller)) this.#keepAlive = false
  }

  /** Reads the rest of a body that nobody wants, if it is short enough to keep the connection for it. */
  #discardRest(): void {
    this.#phase = 'discarding'
    if (!this.#keepAlive) {
      this.#finish()
      return
    }
    this.#awaitBody()
    this.#caller.pump()
    this.#caller.flush()
  }

  #finishWithoutKeepAlive(): void {
    this.#keepAlive = false
    this.#finish()
  }

  #finish(): void {
    this.#leave()
    this.#caller.flush()
    this.#caller.callDone(this.#keepAlive)
  }

  /** No event that belongs to this call counts any more. */
  #leave(): void {
    this.#phase = 'idle'
    this.#serial++
    this.#caller.watch.callEnds()
  }
}

/**
 * One call at a time of an HTTP/1.1 connection: from the head of the request over its verdict and its deployment to the
 * end of the answer. The object serves other connections after that; `#serial` tells late events of a former call apart.
 *
 * A call goes through these phases: checking (credential) → connecting → forwarding → idle, or discarding where it was
 * refused and the rest of its body is still to come; an upgrade ends in tunnelling. Bytes are the business of the two
 * relays, numbers of the account; this is where they are put together.
 */
import type { RequestHead } from '../../codec/http1/request-head.ts'
import type { ResponseHead } from '../../codec/http1/response-head.ts'
import type { ConnectionEnds } from '../../codec/proxy-header-writer.ts'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import { classify } from '../classify/classify.ts'
import type { PoolUser } from '../pool/deployment-pool.ts'
import type { UpstreamConnection } from '../pool/upstream-connection.ts'
import { type Lender, OWN_MEMORY } from '../wire/outbox.ts'
import type { WorkerContext } from '../worker/context.ts'
import { admit } from './admission.ts'
import {
  ANSWER_DONE,
  ANSWER_MALFORMED,
  ANSWER_SWITCHED,
  type AnsweredCall,
  AnswerRelay,
} from './answer-relay.ts'
import { CallAccount } from './call-account.ts'
import { endsOf } from './downstream.ts'
import { errorResponse } from './error-response.ts'
import type { Http1Connection } from './http1-connection.ts'
import { tunnelHeadText } from './protocol-switch.ts'
import { RequestRelay } from './request-relay.ts'
import { RequestWriter } from './request-writer.ts'
import { LAST_HOP_STATUS, lastHopAnswer } from './response-writer.ts'

type Phase = 'idle' | 'checking' | 'connecting' | 'forwarding' | 'discarding' | 'tunnelling'

/** The rest of a refused call's body is read up to here, so that the connection can go on. */
const MAX_DISCARD_BYTES = 64 * 1024
/** What a client is told to wait for a journal that cannot be written. */
const JOURNAL_RETRY_MS = 1_000

export class Exchange implements PoolUser, AnsweredCall {
  /** That is served; set by `serve`, and used by nothing that an exchange without a call is asked. */
  #connection!: Http1Connection
  readonly #request: RequestWriter
  readonly #account: CallAccount
  readonly #body: RequestRelay
  readonly #answer: AnswerRelay
  #phase: Phase = 'idle'
  #serial = 0
  #upstream: UpstreamConnection | undefined
  #attempts = 0
  /** Whether the client has got a final answer, or its beginning. */
  #answered = false
  #keepAlive = true
  /** Whether the client has asked for 100, has not got it, and has sent nothing of its body. */
  #awaitsContinue = false
  /** Whether the deployment is not read because the client does not read. */
  #upstreamPaused = false

  constructor(context: WorkerContext) {
    this.#request = new RequestWriter(context)
    this.#account = new CallAccount(context)
    this.#body = new RequestRelay(context)
    this.#answer = new AnswerRelay(context, this.#request, this)
  }

  /** The calls that follow are those of `connection`, until one of another is served. */
  serve(connection: Http1Connection): void {
    const { downstream, outbox, origin } = connection
    this.#connection = connection
    this.#request.serve(downstream, origin)
    this.#account.serve(downstream, outbox)
    this.#answer.serve(outbox)
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
    return this.active && this.#body.done && !this.#request.mayTunnel
  }

  // === from the head to a deployment

  /** Begins the call of `head`, which took `consumed` bytes. */
  begin(head: RequestHead, consumed: number): void {
    const { context, downstream } = this.#connection
    this.#serial++
    this.#phase = 'checking'
    this.#attempts = 0
    this.#answered = false
    this.#upstreamPaused = false
    this.#answer.reset()
    this.#request.take(head)
    this.#account.begin(this.#request, consumed)
    this.#body.begin(head)
    this.#awaitsContinue = this.#request.expectsContinue
    this.#keepAlive = head.minor === 1 ? !head.connection.close : head.connection.keepAlive
    // What follows it is meant for the tunnel: where that does not come about, it is nobody's, and never a call.
    if (this.#request.isConnect) this.#keepAlive = false
    this.#connection.beginDeadline()
    const { refusal } = this.#request
    if (refusal !== undefined) {
      this.#refuse(refusal, 0)
      return
    }
    const { authorization, apiKey } = this.#request
    const { evidence } = downstream
    const wait = context.authenticator.check(evidence, authorization, apiKey, context.clock.now())
    if (wait === undefined) this.#route()
    else this.#routeLater(wait)
  }

  #routeLater(checked: Promise<void>): void {
    // The head was in time, however long its check takes.
    this.#connection.wait('response', this.#connection.context.config.timeouts.response)
    const serial = this.#serial
    void checked.then(() => {
      if (serial !== this.#serial || this.#phase !== 'checking') return
      this.#route()
      this.#connection.pump()
    })
  }

  /** The verdict, the limits, and then a connection to the deployment. */
  #route(): void {
    const { context, downstream, account } = this.#connection
    const { evidence } = downstream
    // After the check: the snapshot may have changed while it waited.
    evidence.hostTenant = context.hosts.tenantOf(
      this.#request.host,
      context.authenticator.directory,
    )
    const verdict = classify(evidence)
    if (verdict.kind === 'refused') {
      // The client has to come again to be whose the address is now.
      if (evidence.stranded) this.#keepAlive = false
      this.#refuse(verdict.error, 0)
      return
    }
    if (this.#request.isConnect && !verdict.tenant.config.connect) {
      this.#refuse('unsupported_method', 0)
      return
    }
    if (context.journal.refusing) {
      this.#refuse('journal_unavailable', JOURNAL_RETRY_MS)
      return
    }
    const refusal = admit(context, verdict, {
      bodyBytes: this.#body.remaining,
      call: this.#account,
      connection: account,
    })
    if (refusal === undefined) {
      if (this.#request.hopsLeft === 0) this.#answerAsLastHop()
      else this.#connect()
      return
    }
    context.stats.limited(verdict.tenant.id, refusal.limit)
    if (refusal.code === 'too_many_connections') this.#keepAlive = false
    this.#refuse(refusal.code, refusal.retryAfterMs, refusal.resetAt)
  }

  #connect(): void {
    const { runtime } = this.#account
    const { context } = this.#connection
    if (runtime === undefined) return
    const { pool } = runtime
    const now = context.clock.monotonic()
    // What may become a tunnel needs a connection of its own where the deployment is told whose it is.
    const upstream =
      pool.announces && this.#request.mayTunnel ? pool.connect(this, now) : pool.acquire(this, now)
    if (typeof upstream === 'string') {
      this.#refuse(upstream, 0)
      return
    }
    this.#phase = 'connecting'
    this.#upstream = upstream
    if (upstream?.connected) this.#sendHead(upstream)
    else this.#connection.wait('response', context.config.timeouts.response)
  }

  clientEnds(): ConnectionEnds | undefined {
    return endsOf(this.#connection.downstream)
  }

  upstreamGranted(connection: UpstreamConnection): void {
    this.#upstream = connection
    if (connection.connected) this.upstreamConnected()
    else this.#connection.wait('response', this.#connection.context.config.timeouts.response)
  }

  upstreamConnected(): void {
    if (this.#phase !== 'connecting' || this.#upstream === undefined) return
    this.#sendHead(this.#upstream)
    this.#connection.pump()
  }

  #sendHead(upstream: UpstreamConnection): void {
    const { timeouts } = this.#connection.context.config
    this.#phase = 'forwarding'
    upstream.outbox.text(this.#request.headText(this.#account.tenantId, upstream.endpoint))
    this.#account.sent(upstream.endpoint.authority)
    if (this.#body.done || this.#awaitsContinue)
      this.#connection.wait('response', timeouts.response)
    else this.#awaitBody()
  }

  #awaitBody(): void {
    this.#connection.wait('body', this.#connection.context.config.timeouts.body)
    this.#connection.watchUpload()
  }

  // === the body of the request

  /** Takes what `bytes[start, end)` has of the body, in the memory of `lender`; returns how many bytes it used. */
  feedBody(bytes: Buffer, start: number, end: number, lender: Lender): number {
    const discard = this.#phase === 'discarding'
    const body = this.#body
    body.aim(discard ? undefined : this.#upstream?.outbox, lender)
    const used = body.read(bytes, start, end)
    this.#account.received(used)
    this.#awaitsContinue = false
    if (body.error !== undefined) {
      this.fail(body.error)
      return used
    }
    if (discard) {
      if (body.done) this.#finish()
      else if (body.bytes > MAX_DISCARD_BYTES) this.#finishWithoutKeepAlive()
      return used
    }
    if (body.bytes > this.#account.maxBodyBytes) {
      // Also where the body came to its end in this very piece.
      this.#keepAlive = false
      this.fail('body_too_large')
      return used
    }
    if (body.done) this.#bodySent()
    else this.#awaitBody()
    this.#account.count()
    this.#connection.holdDownstream(this.#account.ingressDebtMs)
    return used
  }

  #bodySent(): void {
    const { timeouts } = this.#connection.context.config
    this.#connection.unwatchUpload()
    if (this.#answered) this.#connection.wait('answer', timeouts.idle)
    else this.#connection.wait('response', timeouts.response)
  }

  /** Sends what the last turn left for the deployment. */
  flushUpstream(): void {
    const upstream = this.#upstream
    if (upstream === undefined || this.#phase === 'connecting') return
    if (!upstream.flush()) this.#connection.pauseForUpstream(true)
  }

  upstreamHeldUp(): void {
    this.#connection.pauseForUpstream(true)
  }

  upstreamDrained(): void {
    this.#connection.pauseForUpstream(false)
  }

  // === the answer

  upstreamData(bytes: Buffer, length: number): boolean {
    if (this.#phase === 'tunnelling') return this.#tunnelFromUpstream(bytes, 0, length)
    if (this.#phase !== 'forwarding') {
      // An answer to a question that was not asked.
      this.fail('upstream_malformed')
      return false
    }
    const answer = this.#answer
    const progress = answer.read(bytes, length, this.#upstream?.inbox ?? OWN_MEMORY)
    if (progress === ANSWER_MALFORMED) {
      this.fail('upstream_malformed')
      return false
    }
    const { position, end } = answer
    if (progress === ANSWER_SWITCHED)
      return position === end || this.#tunnelFromUpstream(answer.input, position, end)
    if (progress === ANSWER_DONE) {
      this.#completeAnswer(position === end)
      return true
    }
    return this.#sendDownstream()
  }

  answerInterim(status: number): void {
    if (status !== 100 || !this.#awaitsContinue) return
    this.#awaitsContinue = false
    this.#awaitBody()
  }

  answerBegins(status: number, untilClose: boolean): boolean {
    const { context } = this.#connection
    this.#answered = true
    this.#upstream?.endpoint.health.answered(status, context.clock.monotonic())
    this.#account.answer(status)
    if (untilClose || context.draining) this.#keepAlive = false
    // A client that waited for 100 in vain may send its body or not: what comes next cannot be told.
    if (this.#awaitsContinue && !this.#body.done) this.#keepAlive = false
    if (this.#body.done) this.#connection.wait('answer', context.config.timeouts.idle)
    return this.#keepAlive
  }

  /** Counts and sends what arrived; false where the deployment has to wait for the client, or for its bandwidth. */
  #sendDownstream(): boolean {
    const { context } = this.#connection
    if (this.#phase === 'tunnelling') this.#connection.wait('idle', context.config.timeouts.idle)
    else if (this.#answered) this.#connection.wait('answer', context.config.timeouts.idle)
    const wait = this.#account.count()
    this.#upstreamPaused = !this.#connection.flush()
    if (wait > 0) this.#connection.holdUpstream(wait, this.#upstream)
    if (this.#endTunnelByQuota()) return false
    return !this.#upstreamPaused && !this.#connection.holdsUpstream
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

  downstreamDrained(): void {
    if (this.#phase === 'idle') return
    this.#upstreamPaused = false
    if (!this.#connection.holdsUpstream) this.#upstream?.resume()
  }

  /** The answer is whole. `clean` says that nothing came behind it. */
  #completeAnswer(clean: boolean): void {
    this.#answer.writeEnd()
    const { runtime } = this.#account
    // Before the next call gets the connection: its writes may fill the turn, and then what is due here leaves with them.
    this.#account.settle('-')
    this.#letUpstreamGo(clean && this.#answer.reusable && this.#body.done, runtime)
    // A body that the client is still sending has no taker once the deployment has answered.
    this.#finishOrDiscard()
  }

  /** Gives the upstream connection back, or closes it. */
  #letUpstreamGo(reusable: boolean, runtime = this.#account.runtime): void {
    const upstream = this.#upstream
    if (upstream === undefined) {
      runtime?.pool.abandon(this)
      return
    }
    this.#upstream = undefined
    const { context } = this.#connection
    this.#connection.pauseForUpstream(false)
    if (reusable && runtime !== undefined) {
      runtime.pool.release(upstream, context.clock.monotonic())
      return
    }
    upstream.user = undefined
    upstream.destroy()
  }

  upstreamEnded(): void {
    if (this.#phase === 'tunnelling') {
      this.#connection.outbox.end()
      return
    }
    if (this.#phase === 'forwarding' && this.#answer.endByClose()) {
      this.#completeAnswer(false)
      this.#connection.pump()
      return
    }
    this.#upstream?.destroy()
  }

  upstreamClosed(error: ErrorCode): void {
    const upstream = this.#upstream
    this.#upstream = undefined
    if (this.#phase === 'tunnelling') {
      this.#account.settle('-')
      this.#phase = 'idle'
      this.#connection.endTunnel()
      return
    }
    if (this.#retry(upstream)) return
    upstream?.blame(error, this.#answered)
    this.fail(error)
  }

  /**
   * Tries again where that is safe: the connection was never made; or it had rested, was closed meanwhile, and the call
   * may be repeated (RFC 9110 §9.2.2) and has no body that is gone by now.
   */
  #retry(upstream: UpstreamConnection | undefined): boolean {
    const { runtime } = this.#account
    if (runtime === undefined || upstream === undefined || this.#answered) return false
    const stale = this.#phase === 'forwarding' && upstream.reused && this.#answer.untouched
    const safe =
      this.#phase === 'connecting'
        ? this.#attempts + 1 < runtime.pool.maxAttempts
        : stale && this.#request.repeatable && this.#attempts === 0
    if (!safe) return false
    this.#attempts++
    this.#upstream = runtime.pool.retry(this, upstream, this.#connection.context.clock.monotonic())
    if (this.#upstream === undefined) return false
    this.#phase = 'connecting'
    return true
  }

  // === upgrades and CONNECT

  answerSwitches(head: ResponseHead): boolean {
    const headText = this.#body.done ? tunnelHeadText(head, this.#request) : undefined
    if (headText === undefined) return false
    const { outbox, context } = this.#connection
    this.#answered = true
    this.#upstream?.endpoint.health.answered(head.status, context.clock.monotonic())
    this.#account.answer(head.status)
    outbox.text(headText)
    this.#phase = 'tunnelling'
    this.#connection.endDeadline()
    this.#account.count()
    this.#account.switched()
    this.#connection.flush()
    this.#connection.wait('idle', context.config.timeouts.idle)
    // What the client sent ahead of the answer goes first.
    const connection = this.#connection
    queueMicrotask(() => connection.pump())
    return true
  }

  #tunnelFromUpstream(bytes: Buffer, start: number, end: number): boolean {
    this.#connection.outbox.bytes(bytes, start, end, this.#upstream?.inbox)
    return this.#sendDownstream()
  }

  tunnelFromDownstream(bytes: Buffer, start: number, end: number, lender: Lender): void {
    const upstream = this.#upstream
    if (upstream === undefined) return
    this.#account.received(end - start)
    this.#account.count()
    upstream.outbox.bytes(bytes, start, end, lender)
    this.#connection.wait('idle', this.#connection.context.config.timeouts.idle)
    if (!upstream.flush()) this.#connection.pauseForUpstream(true)
    this.#connection.holdDownstream(this.#account.ingressDebtMs)
    this.#endTunnelByQuota()
  }

  /** A call goes on to its end beyond a quota of bytes; what is a tunnel by now has no end. */
  #endTunnelByQuota(): boolean {
    if (this.#phase !== 'tunnelling' || !this.#account.bytesExhausted) return false
    const { context } = this.#connection
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
    if (this.#phase === 'tunnelling') this.#upstream?.end()
    if (this.#phase === 'idle' || this.#body.done) return
    this.abort('client_closed')
    this.#connection.destroy()
  }

  /** Answers a call that goes nowhere. */
  #refuse(code: ErrorCode, retryAfterMs: number, resetAt?: number): void {
    const { context, downstream } = this.#connection
    context.stats.rejected(code, downstream.listener.index)
    this.#answerError(code, retryAfterMs, resetAt)
    this.#account.refuse(code)
    this.#finishOrDiscard()
  }

  /** The call may go no further (RFC 9110 §7.6.2): OPTIONS is answered for the proxy; what a TRACE held is told nobody. */
  #answerAsLastHop(): void {
    if (this.#request.method === 'TRACE') {
      this.#refuse('unsupported_method', 0)
      return
    }
    this.#decideKeepAlive()
    this.#answered = true
    this.#connection.outbox.text(lastHopAnswer(this.#request.requestId, this.#keepAlive))
    this.#account.answerHere(LAST_HOP_STATUS)
    this.#finishOrDiscard()
  }

  #finishOrDiscard(): void {
    if (this.#body.done) this.#finish()
    else this.#discardRest()
  }

  /** Ends a call that cannot go on: with an answer where none has begun, else by cutting the connection. */
  fail(code: ErrorCode): void {
    if (this.#phase === 'idle') return
    const { context, downstream } = this.#connection
    if (this.#phase === 'discarding') {
      // It has its answer already, which may still be under way.
      this.#finishWithoutKeepAlive()
      return
    }
    this.#upstream?.blame(code, this.#answered)
    // A credential that is still being checked would find the next call of this connection.
    if (this.#phase === 'checking') this.#keepAlive = false
    this.#letUpstreamGo(false)
    if (!this.#account.wasSent) context.stats.rejected(code, downstream.listener.index)
    if (this.#answered) {
      this.#account.settle(ERRORS[code].flag)
      this.#leave()
      this.#connection.destroy()
      return
    }
    if (!this.#body.done) this.#keepAlive = false
    this.#answerError(code, 0)
    this.#account.fail(code)
    this.#finish()
    this.#connection.pump()
  }

  /** The client is gone. */
  abort(code: ErrorCode): void {
    if (this.#phase === 'idle') return
    this.#letUpstreamGo(false)
    if (this.#phase === 'tunnelling') this.#account.cut('-')
    else this.#account.abort(code)
    this.#leave()
  }

  #answerError(code: ErrorCode, retryAfterMs: number, resetAt?: number): void {
    this.#decideKeepAlive()
    this.#answered = true
    this.#connection.outbox.text(
      errorResponse(code, {
        requestId: this.#request.requestId,
        close: !this.#keepAlive,
        head: this.#request.method === 'HEAD',
        retryAfterMs,
        resetAt,
      }),
    )
  }

  /** Whether the connection goes on behind an answer of our own. */
  #decideKeepAlive(): void {
    if (this.#body.declaresMoreThan(MAX_DISCARD_BYTES)) this.#keepAlive = false
    // A client that waits for 100 may send its body or not (RFC 9110 §10.1.1): what comes next cannot be told.
    if (this.#awaitsContinue && !this.#body.done) this.#keepAlive = false
    if (this.#request.minor === 0) this.#keepAlive = false
  }

  /** Reads the rest of a body that nobody wants, if it is short enough to keep the connection for it. */
  #discardRest(): void {
    this.#phase = 'discarding'
    if (!this.#keepAlive) {
      this.#finish()
      return
    }
    this.#awaitBody()
    this.#connection.pump()
    this.#connection.flush()
  }

  #finishWithoutKeepAlive(): void {
    this.#keepAlive = false
    this.#finish()
  }

  #finish(): void {
    this.#leave()
    this.#connection.flush()
    // An answer that came in one piece could not be held back; the next call of the connection can.
    if (this.#keepAlive) {
      const { ingressDebtMs, egressDebtMs } = this.#account
      this.#connection.holdDownstream(Math.max(ingressDebtMs, egressDebtMs))
    }
    this.#connection.callDone(this.#keepAlive)
  }

  /** No event that belongs to this call counts any more. */
  #leave(): void {
    this.#phase = 'idle'
    this.#serial++
    this.#connection.endDeadline()
    this.#connection.unwatchUpload()
  }
}

/**
 * One call at a time of an HTTP/1.1 connection: from the head of the request over its verdict and its deployment to the
 * end of the answer. The object is reused for the next call; `#serial` tells late events of a former one apart.
 *
 * A call goes through these phases: checking (credential) → connecting → forwarding → idle, or discarding where it was
 * refused and the rest of its body is still to come; an upgrade ends in tunnelling.
 */
import type { BodySink } from '../../codec/http1/body.ts'
import { BodyReader } from '../../codec/http1/body.ts'
import { chunkEnd, chunkHead } from '../../codec/http1/chunked.ts'
import { INCOMPLETE, INVALID } from '../../codec/http1/field-section.ts'
import { SLOT } from '../../codec/http1/field-table.ts'
import { BODY_CHUNKED, BODY_LENGTH, BODY_UNTIL_CLOSE } from '../../codec/http1/framing.ts'
import type { RequestHead } from '../../codec/http1/request-head.ts'
import type { ResponseHead } from '../../codec/http1/response-head.ts'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import { Timer } from '../../core/timer-wheel.ts'
import { classify } from '../classify/classify.ts'
import type { UpstreamConnection, UpstreamUser } from '../pool/upstream-connection.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import { normalizeHost } from '../tenant/host-name.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { type Lender, OWN_MEMORY } from '../wire/outbox.ts'
import { CallAccount } from './call-account.ts'
import { errorResponse } from './error-response.ts'
import type { Http1Connection } from './http1-connection.ts'
import { RequestWriter } from './request-writer.ts'
import { downstreamFraming, responseHeadText } from './response-writer.ts'

type Phase = 'idle' | 'checking' | 'connecting' | 'forwarding' | 'discarding' | 'tunnelling'

/** The rest of a refused call's body is read up to here, so that the connection can go on. */
const MAX_DISCARD_BYTES = 64 * 1024
/** Endpoints that are tried before a call is refused as `upstream_connect`. */
const MAX_CONNECT_ATTEMPTS = 3

export class Exchange implements UpstreamUser {
  readonly #connection: Http1Connection
  readonly #request: RequestWriter
  readonly #account: CallAccount
  readonly #requestBody: BodyReader
  readonly #responseBody: BodyReader
  #phase: Phase = 'idle'
  #serial = 0
  #upstream: UpstreamConnection | undefined
  #attempts = 0
  /** Bytes of an unfinished response head. */
  #partial: Buffer | undefined
  #answered = false
  #answerDone = false
  /** Whether the body goes downstream in chunks. */
  #chunkedAnswer = false
  #keepAlive = true
  /** Whether the client has asked for 100, has not got it, and has sent nothing of its body. */
  #awaitsContinue = false
  #upstreamReusable = false
  #bodyBytes = 0
  #upstreamPaused = false
  /** The host of the last call, whose it was, and by which snapshot. */
  #host = ''
  #hostTenant: Tenant | undefined
  #hostDirectory: TenantDirectory | undefined
  #pace: Timer | undefined
  #pacedUpstream = false
  /** Whose memory the bytes are in that are read at the moment. */
  #lender: Lender = OWN_MEMORY

  constructor(connection: Http1Connection) {
    this.#connection = connection
    const { fields, caps } = connection.context
    this.#request = new RequestWriter(connection.context, connection.downstream)
    this.#account = new CallAccount(connection.context, connection.downstream, connection.outbox)
    this.#requestBody = new BodyReader(fields.request, caps)
    this.#responseBody = new BodyReader(fields.response, caps)
  }

  get active(): boolean {
    return this.#phase !== 'idle'
  }

  get tunnelling(): boolean {
    return this.#phase === 'tunnelling'
  }

  /** Whether body bytes can be taken now. */
  get wantsBody(): boolean {
    return (this.#phase === 'forwarding' || this.#phase === 'discarding') && !this.#requestBody.done
  }

  /** Begins the call of `head`, which took `consumed` bytes. */
  begin(head: RequestHead, consumed: number): void {
    const { context, downstream } = this.#connection
    this.#serial++
    this.#phase = 'checking'
    this.#attempts = 0
    this.#answered = false
    this.#answerDone = false
    this.#bodyBytes = 0
    this.#upstreamReusable = false
    this.#upstreamPaused = false
    this.#pacedUpstream = false
    this.#partial = undefined
    this.#request.take(head)
    this.#account.begin(this.#request, consumed)
    this.#requestBody.begin(head.kind, head.length)
    this.#awaitsContinue = this.#request.expectsContinue
    this.#keepAlive = head.minor === 1 ? !head.connection.close : head.connection.keepAlive
    const { evidence } = downstream
    if (this.#request.ambiguousCredentials) {
      this.#refuse('credential_ambiguous', 0)
      return
    }
    const { authorization, apiKey } = this.#request
    const wait = context.authenticator.check(evidence, authorization, apiKey, context.clock.now())
    if (wait === undefined) {
      this.#route()
      return
    }
    // The head was in time, however long its check takes.
    this.#connection.wait('response', context.config.timeouts.response)
    const serial = this.#serial
    void wait.then(() => {
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
    evidence.hostTenant = this.#tenantOfHost(this.#request.host)
    const verdict = classify(evidence)
    if (verdict.kind === 'refused') {
      this.#refuse(verdict.error, 0)
      return
    }
    const { tenant, routability } = verdict
    const runtime = context.runtimes.of(tenant)
    if (this.#requestBody.remaining > runtime.limiter.maxBodyBytes) {
      context.stats.limited(tenant.id, 'body')
      this.#refuse('body_too_large', 0)
      return
    }
    if (!account.open(tenant, routability)) {
      context.stats.limited(tenant.id, 'connections')
      this.#keepAlive = false
      this.#refuse('too_many_connections', 0)
      return
    }
    if (!runtime.limiter.beginCall()) {
      context.stats.limited(tenant.id, 'concurrency')
      this.#refuse('tenant_overloaded', 0)
      return
    }
    this.#account.route(runtime, routability)
    const now = context.clock.monotonic()
    const retryAfter = runtime.limiter.takeCall(now)
    if (retryAfter > 0) {
      context.stats.limited(tenant.id, 'requests')
      this.#refuse('rate_limited', retryAfter)
      return
    }
    this.#phase = 'connecting'
    this.#upstream = runtime.pool.acquire(this, now)
    if (this.#upstream.connected) this.#sendHead(this.#upstream)
    else this.#connection.wait('response', context.config.timeouts.response)
  }

  /** Looked up once for calls in a row that ask for the same host. */
  #tenantOfHost(host: string): Tenant | undefined {
    const { directory } = this.#connection.context.authenticator
    if (host !== this.#host || directory !== this.#hostDirectory) {
      this.#host = host
      this.#hostDirectory = directory
      this.#hostTenant = directory.byHost(normalizeHost(host))
    }
    return this.#hostTenant
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
    if (this.#requestBody.done || this.#awaitsContinue)
      this.#connection.wait('response', timeouts.response)
    else this.#connection.wait('body', timeouts.body)
  }

  // === the body of the request

  /** Takes what `bytes[start, end)` has of the body, in the memory of `lender`; returns how many bytes it used. */
  feedBody(bytes: Buffer, start: number, end: number, lender: Lender): number {
    const body = this.#requestBody
    const discard = this.#phase === 'discarding'
    this.#lender = lender
    const used = body.read(bytes, start, end, discard ? DISCARD : this.#toUpstream) - start
    this.#account.received(used)
    this.#awaitsContinue = false
    if (body.error !== undefined) {
      this.fail(body.error)
      return 0
    }
    if (this.#phase === 'idle') return 0
    this.#bodyBytes += used
    if (!discard && this.#bodyBytes > this.#account.maxBodyBytes) {
      this.fail('body_too_large')
      return 0
    }
    if (discard) {
      if (body.done) this.#finish()
      else if (this.#bodyBytes > MAX_DISCARD_BYTES) this.#finishWithoutKeepAlive()
      return used
    }
    const { timeouts } = this.#connection.context.config
    if (body.done) {
      if (body.kind === BODY_CHUNKED) this.#upstream?.outbox.text(chunkEnd(body.trailers))
      this.#connection.wait(
        this.#answered ? 'idle' : 'response',
        this.#answered ? timeouts.idle : timeouts.response,
      )
    } else this.#connection.wait('body', timeouts.body)
    this.#account.count()
    this.#paceIngress()
    return used
  }

  readonly #toUpstream: BodySink = {
    bodyData: (bytes, start, end) => {
      const outbox = this.#upstream?.outbox
      if (outbox === undefined) return
      const chunked = this.#requestBody.kind === BODY_CHUNKED
      if (chunked) outbox.text(chunkHead(end - start))
      outbox.bytes(bytes, start, end, this.#lender)
      if (chunked) outbox.text('\r\n')
    },
  }

  /** Sends what the last turn left for the deployment. */
  flushUpstream(): void {
    const upstream = this.#upstream
    if (upstream === undefined || this.#phase === 'connecting') return
    if (!upstream.flush()) this.#connection.pauseForUpstream(true)
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
    let at = 0
    let input = bytes
    let end = length
    this.#lender = this.#upstream?.inbox ?? OWN_MEMORY
    if (this.#partial !== undefined) {
      this.#lender = OWN_MEMORY
      input = Buffer.concat([this.#partial, bytes.subarray(0, length)])
      end = input.length
      this.#partial = undefined
    }
    while (at < end && !this.#answerDone) {
      const next = this.#answered
        ? this.#readAnswerBody(input, at, end)
        : this.#readAnswerHead(input, at, end)
      if (next < 0) return false
      if (next === at) break
      at = next
      if (this.#phase !== 'forwarding') break
    }
    if (this.#isTunnel()) {
      return at === end || this.#tunnelFromUpstream(input, at, end)
    }
    if (this.#answerDone) {
      this.#completeAnswer(at === end)
      return true
    }
    return this.#sendDownstream()
  }

  /** A method, so that the compiler does not hold on to what it knew before the phase changed. */
  #isTunnel(): boolean {
    return this.#phase === 'tunnelling'
  }

  /** Position behind the head, the same position where more is needed, or -1 where the call has failed. */
  #readAnswerHead(input: Buffer, start: number, end: number): number {
    const { context } = this.#connection
    const head = context.responseHead
    const next = head.read(input, start, end, this.#request.method === 'HEAD')
    if (next === INCOMPLETE) {
      this.#partial = Buffer.from(input.subarray(start, end))
      return start
    }
    if (next === INVALID || !this.#acceptHead(head)) {
      this.fail('upstream_malformed')
      return -1
    }
    return next
  }

  #acceptHead(head: ResponseHead): boolean {
    const { context } = this.#connection
    if (head.status === 101) return this.#upgrade(head)
    if (head.status < 200) {
      // An interim answer: passed on as it is, unless the client is too old to know one (RFC 9110 §15.2).
      if (head.status === 100 && this.#awaitsContinue) {
        this.#awaitsContinue = false
        this.#connection.wait('body', context.config.timeouts.body)
      }
      if (this.#request.minor === 1)
        this.#connection.outbox.text(`HTTP/1.1 ${head.status} ${head.reason}\r\n${head.lines}\r\n`)
      return true
    }
    this.#answered = true
    this.#account.answer(head.status)
    this.#responseBody.begin(head.kind, head.length)
    this.#upstreamReusable = head.minor === 1 ? !head.connection.close : head.connection.keepAlive
    const framing = downstreamFraming(head, this.#request.minor)
    this.#chunkedAnswer = framing.chunked
    if (framing.untilClose || context.draining) this.#keepAlive = false
    // A client that waited for 100 in vain may send its body or not: what comes next cannot be told.
    if (this.#awaitsContinue && !this.#requestBody.done) this.#keepAlive = false
    // A body that the client is still sending has no taker once the deployment has answered: see #completeAnswer.
    this.#connection.outbox.text(
      responseHeadText(head, framing, {
        requestId: this.#request.requestId,
        keepAlive: this.#keepAlive,
        minor: this.#request.minor,
      }),
    )
    this.#answerDone = this.#responseBody.done
    if (this.#requestBody.done) this.#connection.wait('idle', context.config.timeouts.idle)
    return true
  }

  #readAnswerBody(input: Buffer, start: number, end: number): number {
    const body = this.#responseBody
    const next = body.read(input, start, end, this.#toDownstream)
    if (body.error !== undefined) {
      this.fail('upstream_malformed')
      return -1
    }
    this.#answerDone = body.done
    return next
  }

  readonly #toDownstream: BodySink = {
    bodyData: (bytes, start, end) => {
      const { outbox } = this.#connection
      if (this.#chunkedAnswer) outbox.text(chunkHead(end - start))
      outbox.bytes(bytes, start, end, this.#lender)
      if (this.#chunkedAnswer) outbox.text('\r\n')
    },
  }

  /** Counts and sends what arrived; false where the deployment has to wait for the client, or for its bandwidth. */
  #sendDownstream(): boolean {
    const { context, outbox } = this.#connection
    if (this.#answered) this.#connection.wait('idle', context.config.timeouts.idle)
    const wait = this.#account.count()
    this.#upstreamPaused = !outbox.flush()
    if (wait > 0) this.#paceEgress(wait)
    return !this.#upstreamPaused && !this.#pacedUpstream
  }

  downstreamDrained(): void {
    this.#upstreamPaused = false
    if (!this.#pacedUpstream) this.#upstream?.resume()
  }

  /** The answer is whole. `clean` says that nothing came behind it. */
  #completeAnswer(clean: boolean): void {
    const { outbox } = this.#connection
    if (this.#chunkedAnswer) outbox.text(chunkEnd(this.#responseBody.trailers))
    this.#letUpstreamGo(
      clean &&
        this.#upstreamReusable &&
        this.#requestBody.done &&
        this.#responseBody.kind !== BODY_UNTIL_CLOSE,
    )
    this.#account.settle('-')
    if (this.#requestBody.done) this.#finish()
    else this.#discardRest()
  }

  /** Gives the upstream connection back, or closes it. */
  #letUpstreamGo(reusable: boolean): void {
    const upstream = this.#upstream
    if (upstream === undefined) return
    this.#upstream = undefined
    const { context } = this.#connection
    this.#connection.pauseForUpstream(false)
    if (reusable && this.#account.runtime !== undefined) {
      this.#account.runtime.pool.release(upstream, context.clock.monotonic())
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
    if (
      this.#phase === 'forwarding' &&
      this.#answered &&
      this.#responseBody.mayClose &&
      !this.#answerDone
    ) {
      this.#answerDone = true
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
    this.fail(error)
  }

  /**
   * Tries again where that is safe: the connection was never made; or it had rested, was closed meanwhile, and the call
   * may be repeated (RFC 9110 §9.2.2) and has no body that is gone by now.
   */
  #retry(upstream: UpstreamConnection | undefined): boolean {
    const { runtime } = this.#account
    if (runtime === undefined || upstream === undefined || this.#answered) return false
    if (this.#phase === 'connecting') {
      this.#attempts++
      if (this.#attempts >= Math.min(runtime.pool.endpoints.length, MAX_CONNECT_ATTEMPTS))
        return false
    } else {
      const stale = this.#phase === 'forwarding' && upstream.reused && this.#partial === undefined
      if (!stale || !this.#request.repeatable || this.#attempts > 0) return false
      this.#attempts++
      this.#phase = 'connecting'
    }
    this.#upstream = runtime.pool.connect(this)
    return true
  }

  // === upgrades

  #upgrade(head: ResponseHead): boolean {
    const { connection, fields } = head
    if (this.#request.upgrade === '' || !connection.upgrade || !this.#requestBody.done) return false
    const { outbox } = this.#connection
    this.#answered = true
    this.#account.answer(101)
    outbox.text(
      `HTTP/1.1 101 ${head.reason}\r\n${head.lines}connection: upgrade\r\nupgrade: ${fields.values[SLOT.upgrade]}\r\nx-request-id: ${this.#request.requestId}\r\n\r\n`,
    )
    this.#account.count()
    this.#phase = 'tunnelling'
    this.#connection.wait('idle', this.#connection.context.config.timeouts.idle)
    // What the client sent ahead of the answer goes first.
    queueMicrotask(() => this.#connection.pump())
    return true
  }

  #tunnelFromUpstream(bytes: Buffer, start: number, end: number): boolean {
    this.#connection.outbox.bytes(bytes, start, end, this.#upstream?.inbox)
    return this.#sendDownstream()
  }

  tunnelFromDownstream(bytes: Buffer, start: number, end: number): void {
    const upstream = this.#upstream
    if (upstream === undefined) return
    this.#account.received(end - start)
    this.#account.count()
    upstream.outbox.bytes(bytes, start, end, this.#connection.inbox)
    this.#connection.wait('idle', this.#connection.context.config.timeouts.idle)
    if (!upstream.flush()) this.#connection.pauseForUpstream(true)
    this.#paceIngress()
  }

  // === the ways in which a call ends

  /**
   * The client will send no more, and all that it sent was read: a whole request is still answered, half of one has no
   * meaning. May be said more than once.
   */
  downstreamEnded(): void {
    if (this.#phase === 'tunnelling') this.#upstream?.end()
    if (this.#phase === 'idle' || this.#requestBody.done) return
    this.abort('client_closed')
    this.#connection.destroy()
  }

  /** Answers a call that goes nowhere. */
  #refuse(code: ErrorCode, retryAfterMs: number): void {
    const { context, downstream } = this.#connection
    context.stats.rejected(code, downstream.listener.index)
    this.#answerError(code, retryAfterMs)
    this.#account.refuse(code)
    if (this.#requestBody.done) this.#finish()
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
    // A credential that is still being checked would find the next call of this connection.
    if (this.#phase === 'checking') this.#keepAlive = false
    this.#letUpstreamGo(false)
    if (!this.#account.wasSent) context.stats.rejected(code, downstream.listener.index)
    if (this.#answered) {
      this.#account.settle(ERRORS[code].flag)
      this.#phase = 'idle'
      this.#connection.destroy()
      return
    }
    if (!this.#requestBody.done) this.#keepAlive = false
    this.#answerError(code, 0)
    this.#account.fail(code)
    this.#finish()
    this.#connection.pump()
  }

  /** The client is gone. */
  abort(code: ErrorCode): void {
    if (this.#pace) this.#connection.context.wheel.cancel(this.#pace)
    if (this.#phase === 'idle') return
    this.#letUpstreamGo(false)
    if (this.#phase === 'tunnelling') this.#account.cut('-')
    else this.#account.abort(code)
    this.#phase = 'idle'
    this.#serial++
  }

  #answerError(code: ErrorCode, retryAfterMs: number): void {
    const length = this.#requestBody.remaining
    if (
      !this.#requestBody.done &&
      this.#requestBody.kind === BODY_LENGTH &&
      length > MAX_DISCARD_BYTES
    )
      this.#keepAlive = false
    // A client that waits for 100 may send its body or not (RFC 9110 §10.1.1): what comes next cannot be told.
    if (this.#awaitsContinue && !this.#requestBody.done) this.#keepAlive = false
    this.#answered = true
    this.#connection.outbox.text(
      errorResponse(code, {
        requestId: this.#request.requestId,
        close: !this.#keepAlive || this.#request.minor === 0,
        head: this.#request.method === 'HEAD',
        retryAfterMs,
      }),
    )
    if (this.#request.minor === 0) this.#keepAlive = false
  }

  /** Reads the rest of a body that nobody wants, if it is short enough to keep the connection for it. */
  #discardRest(): void {
    this.#phase = 'discarding'
    if (!this.#keepAlive) {
      this.#finish()
      return
    }
    this.#connection.wait('body', this.#connection.context.config.timeouts.body)
    this.#connection.pump()
    this.#connection.outbox.flush()
  }

  #finishWithoutKeepAlive(): void {
    this.#keepAlive = false
    this.#finish()
  }

  #finish(): void {
    this.#phase = 'idle'
    this.#serial++
    this.#connection.outbox.flush()
    this.#paceNextCall()
    this.#connection.callDone(this.#keepAlive)
  }

  // === bandwidth

  #paceIngress(): void {
    const wait = this.#account.ingressDebtMs
    if (wait < 1) return
    this.#connection.inbox.staySmall()
    this.#connection.pauseForPace(true)
    this.#armPace(wait)
  }

  #paceEgress(wait: number): void {
    this.#pacedUpstream = true
    this.#upstream?.inbox.staySmall()
    this.#armPace(wait)
  }

  /** An answer that came in one piece could not be held back; the next call of the connection can. */
  #paceNextCall(): void {
    const wait = Math.max(this.#account.ingressDebtMs, this.#account.egressDebtMs)
    if (wait < 1 || !this.#keepAlive) return
    this.#connection.pauseForPace(true)
    this.#armPace(wait)
  }

  #armPace(wait: number): void {
    const { wheel, clock } = this.#connection.context
    this.#pace ??= new Timer(this)
    wheel.arm(this.#pace, wait, clock.monotonic())
  }

  timerExpired(): void {
    this.#connection.pauseForPace(false)
    this.#connection.pump()
    if (!this.#pacedUpstream) return
    this.#pacedUpstream = false
    if (!this.#upstreamPaused) this.#upstream?.resume()
  }
}

const DISCARD: BodySink = { bodyData: () => {} }

/**
 * What a call needs of its request, in whatever version of HTTP it came: how it is routed, what limits and books look at,
 * and what its deployment gets to see. `http1-request.ts` and `http2-request.ts` write it for the deployment.
 */

import { isGrpc, parseGrpcTimeout } from '../../codec/grpc.ts'
import { SLOT } from '../../codec/http1/field-table.ts'
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, type BodyKind } from '../../codec/http1/framing.ts'
import { hopsLeftOf } from '../../codec/http1/max-forwards.ts'
import { normalTarget } from '../../codec/http1/path.ts'
import type { RequestHead } from '../../codec/http1/request-head.ts'
import { HeaderField, NEVER } from '../../codec/http2/header-field.ts'
import type { RequestSection } from '../../codec/http2/request-section.ts'
import type { ErrorCode } from '../../core/errors.ts'
import type { CallSampler, CallTrace } from '../tracing/call-trace.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Downstream } from './downstream.ts'
import { type FormerHops, isSaneRequestId } from './fields.ts'
import { FieldList } from './http2/field-list.ts'
import { SectionFields } from './http2/section-fields.ts'
import { fieldOf, MessageFields } from './message-fields.ts'
import type { OriginMemo } from './origin-memo.ts'
import { findQueryKey } from './query-key.ts'
import { hasPassed } from './via.ts'

/** RFC 9110 §9.2.2. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])
/** The one expectation there is (RFC 9110 §10.1.1). */
const CONTINUE = '100-continue'
const OF_PARENT = ['traceparent'] as const
const OF_TRACE = ['traceparent', 'tracestate'] as const

/** Values of the fields that somebody looks at, by slot. */
interface Slots {
  readonly values: readonly string[]
  readonly repeated: number
}

export class CallRequest {
  method = ''
  /** The host that is asked for, or ''. */
  host = ''
  target = ''
  /** Fields of HTTP/2 that said host and target: one that says the same is the same, also for an encoder. */
  hostField: HeaderField | undefined = undefined
  targetField: HeaderField | undefined = undefined
  /** 0 or 1 of HTTP/1.x, 2 of HTTP/2. */
  version = 1
  requestId = ''
  /** The protocol to change to, or '': of an HTTP/1.1 upgrade, or an extended CONNECT (RFC 8441), which is one. */
  upgrade = ''
  expectsContinue = false
  kind: BodyKind = BODY_NONE
  /** Bytes of a BODY_LENGTH body. */
  length = 0
  /** What is handed on as it came. */
  readonly fields = new MessageFields()
  /** Whether trailers are welcome. */
  takesTrailers = false
  /** Names of trailers that are announced, or ''. */
  trailer = ''
  /** `Max-Forwards` as it came, or ''. */
  maxForwards = ''
  /** Value of `Authorization`, and the API key from its field or the query; '' where there is none. */
  authorization = ''
  apiKey = ''
  /** `traceparent` as it came, or ''. */
  traceparent = ''
  /** Of a call that gets a span. */
  trace: CallTrace | undefined = undefined
  /** Hops that a TRACE or OPTIONS may still take (RFC 9110 §7.6.2), or -1 where nothing limits them. */
  hopsLeft = -1
  /** Whether it is a call of gRPC, and within what time it must be over; 0 where it does not say. */
  grpc = false
  timeoutMs = 0
  readonly #context: WorkerContext
  /** Of the connection that is served; set by `serve`, before anything else. */
  #downstream!: Downstream
  #origin!: OriginMemo
  #hops: FormerHops | undefined
  #refusal: ErrorCode | undefined
  /** The target without the key that stood in its query, or '' where none did. */
  #targetWithoutKey = ''
  /** Made for the first section of HTTP/2. */
  #section: SectionFields | undefined
  #trustedSection: SectionFields | undefined
  readonly #list = new FieldList()

  constructor(context: WorkerContext) {
    this.#context = context
  }

  /** The calls that follow are those of this connection. */
  serve(downstream: Downstream, origin: OriginMemo): void {
    this.#downstream = downstream
    this.#origin = origin
  }

  /** Whether the call may be sent a second time, although the deployment may have begun with it. */
  get repeatable(): boolean {
    return this.kind === BODY_NONE && this.upgrade === '' && IDEMPOTENT.has(this.method)
  }

  get isConnect(): boolean {
    return this.method === 'CONNECT'
  }

  /** Whether what the client sends next may be meant for a tunnel. */
  get mayTunnel(): boolean {
    return this.isConnect || this.upgrade !== ''
  }

  /** Why the call goes nowhere, whoever it is from. */
  get refusal(): ErrorCode | undefined {
    return this.#refusal
  }

  /** Copies what the call needs: the head is read over by the next call of any connection. */
  take(head: RequestHead): void {
    const { values } = head.fields
    this.method = head.method
    this.target = head.target
    this.version = head.minor
    this.host = head.host
    this.hostField = undefined
    this.targetField = undefined
    this.fields.setLines(head.lines)
    this.kind = head.kind
    this.length = head.length
    this.hopsLeft = head.hopsLeft
    this.expectsContinue = head.minor === 1 && values[SLOT.expect] !== ''
    this.takesTrailers = namesTrailers(values[SLOT.te] as string)
    this.upgrade = upgradeOf(head)
    this.grpc = false
    this.timeoutMs = 0
    this.#refusal = undefined
    this.#takeSlots(head.fields)
  }

  /** The same of HTTP/2. `endStream`: nothing follows the section. */
  takeSection(section: RequestSection, endStream: boolean): void {
    const { config } = this.#context
    this.method = section.method
    this.target = section.path
    this.version = 2
    this.host = section.authority
    this.hostField = section.authorityField
    this.targetField = section.pathField
    this.kind = kindOf(section.contentLength, endStream)
    this.length = Math.max(0, section.contentLength)
    this.takesTrailers = section.takesTrailers
    this.upgrade = section.protocol
    this.#refusal = undefined
    const fields = this.#sort(section)
    const expect = fields.values[SLOT.expect] as string
    this.expectsContinue = expect !== ''
    if (this.expectsContinue && expect.toLowerCase() !== CONTINUE)
      this.#refusal = 'unsupported_expectation'
    const hopsLeft = hopsLeftOf(this.method, fields.values[SLOT.maxForwards] as string)
    this.hopsLeft = hopsLeft ?? -1
    if (hopsLeft === undefined && fields.values[SLOT.maxForwards] !== '')
      this.#refusal = 'malformed_field'
    this.#takeForm(section)
    if (this.target.length > config.http1.maxTarget) this.#refusal = 'target_too_long'
    if (config.http1.path !== 'as-is') this.#checkPath()
    this.#takeSlots(fields)
  }

  /** What becomes another form in HTTP/1.1: an extended CONNECT is a GET that changes the protocol, a CONNECT has an authority. */
  #takeForm({ protocol, authority }: RequestSection): void {
    if (protocol !== '') {
      if (isHttp(protocol)) this.#refusal = 'unsupported_method'
      this.method = 'GET'
      this.kind = BODY_NONE
    } else if (this.method === 'CONNECT') {
      this.target = authority
      this.kind = BODY_NONE
    }
  }

  #sort(section: RequestSection): SectionFields {
    const { fields } = this.#context
    const sorted = this.#downstream.trusted
      ? (this.#trustedSection ??= new SectionFields(fields.trustedRequest))
      : (this.#section ??= new SectionFields(fields.request))
    this.#list.begin()
    sorted.sort(section.fields, this.#list)
    if (section.cookie !== '') this.#list.add(new HeaderField('cookie', section.cookie, NEVER))
    this.fields.setList(this.#list.end())
    const contentType = sorted.values[this.#context.fields.slots.contentType] as string
    // All of its calls are POSTs: what may become a tunnel is none.
    this.grpc = section.method === 'POST' && contentType !== '' && isGrpc(contentType)
    this.timeoutMs = this.grpc ? this.#grpcTimeout(sorted) : 0
    return sorted
  }

  #grpcTimeout({ values }: SectionFields): number {
    const value = values[this.#context.fields.slots.grpcTimeout] as string
    if (value === '') return 0
    const timeout = parseGrpcTimeout(value)
    if (timeout === undefined) this.#refusal = 'malformed_field'
    return timeout ?? 0
  }

  #checkPath(): void {
    if (this.isConnect) return
    const normal = normalTarget(this.target)
    const { path } = this.#context.config.http1
    if (normal === undefined || (normal !== this.target && path === 'reject'))
      this.#refusal = 'unsafe_path'
    else this.target = normal
  }

  #takeSlots({ values, repeated }: Slots): void {
    const { slots } = this.#context.fields
    this.authorization = values[slots.authorization] as string
    this.apiKey = slots.apiKey === slots.authorization ? '' : (values[slots.apiKey] as string)
    if ((repeated & ((1 << slots.authorization) | (1 << slots.apiKey))) !== 0)
      this.#refusal = 'credential_ambiguous'
    this.#targetWithoutKey = ''
    const { query } = this.#context.config.authentication.apiKey
    if (query !== undefined) this.#takeQueryKey(query)
    this.trailer = values[SLOT.trailer] as string
    this.maxForwards = values[SLOT.maxForwards] as string
    this.traceparent = values[slots.traceparent] as string
    if (this.#context.tracing !== undefined) this.#sample(this.#context.tracing.sampler)
    const via = values[slots.via] as string
    if (via !== '' && hasPassed(via, this.#context.pseudonym)) this.#refusal ??= 'loop_detected'
    const id = values[slots.requestId] as string
    this.requestId = id !== '' && isSaneRequestId(id) ? id : this.#context.nextRequestId()
    this.#hops = this.#downstream.trusted
      ? {
          forwardedFor: values[slots.forwardedFor] as string,
          proto: values[slots.forwardedProto] as string,
          host: values[slots.forwardedHost] as string,
          forwarded: values[slots.forwarded] as string,
        }
      : undefined
  }

  /** The span of the proxy stands between that of the client and those of the deployment. */
  #sample(sampler: CallSampler): void {
    const now = this.#context.clock.monotonic()
    this.trace = sampler.sample(this.traceparent, this.#downstream.trusted, now)
    if (this.trace === undefined) return
    const { parentId, traceparent } = this.trace
    // What came is no parent: then what was said of its trace means nothing either (Trace Context, section 3.3).
    const replaced = parentId === '' ? OF_TRACE : OF_PARENT
    this.fields.replace(replaced, fieldOf('traceparent', traceparent))
  }

  #takeQueryKey(name: string): void {
    const found = findQueryKey(this.target, name)
    if (found === undefined) return
    if (found === 'ambiguous' || this.apiKey !== '') {
      this.#refusal = 'credential_ambiguous'
      return
    }
    this.apiKey = found.key
    this.#targetWithoutKey = found.rest
  }

  // === what the deployment gets

  /** The target, without a key of ours in its query. */
  get forwardedTarget(): string {
    if (this.#targetWithoutKey === '') return this.target
    const { forwardCredentials } = this.#context.config.authentication
    return forwardCredentials || !this.#downstream.evidence.ownsApiKey
      ? this.target
      : this.#targetWithoutKey
  }

  /** Credentials that were meant for the proxy end here; those that were not belong to the application. '' for none. */
  get forwardedAuthorization(): string {
    if (this.authorization === '') return ''
    const { forwardCredentials } = this.#context.config.authentication
    return forwardCredentials || !this.#downstream.evidence.ownsAuthorization
      ? this.authorization
      : ''
  }

  /** The same of an API key in its own field. */
  get forwardedApiKey(): string {
    if (this.apiKey === '' || this.#targetWithoutKey !== '') return ''
    const { forwardCredentials } = this.#context.config.authentication
    return forwardCredentials || !this.#downstream.evidence.ownsApiKey ? this.apiKey : ''
  }

  /** Only TRACE and OPTIONS count their hops; for all others the field means nothing, and passes. '' for none. */
  get forwardedHops(): string {
    if (this.maxForwards === '') return ''
    return this.hopsLeft < 0 ? this.maxForwards : String(this.hopsLeft - 1)
  }

  /** Lines about the origin of the call, up to the value of `x-request-id`. */
  get originLines(): string {
    return this.#origin.linesFor(this.host, this.#hops)
  }

  /** The same as fields, without `x-request-id`. */
  get originFields(): readonly HeaderField[] {
    return this.#origin.fieldsFor(this.host, this.#hops)
  }
}

function kindOf(contentLength: number, endStream: boolean): BodyKind {
  if (endStream || contentLength === 0) return BODY_NONE
  return contentLength > 0 ? BODY_LENGTH : BODY_CHUNKED
}

/** Whether a value of `TE` says so. */
function namesTrailers(te: string): boolean {
  return te !== '' && /(^|,)\s*trailers\s*(,|$)/i.test(te)
}

/** RFC 9110 §7.8. No version of HTTP is passed on: behind it calls would go unseen (request smuggling by upgrade). */
function upgradeOf(head: RequestHead): string {
  const upgrade = head.fields.values[SLOT.upgrade] as string
  if (upgrade === '' || !head.connection.upgrade || head.minor === 0 || head.kind !== BODY_NONE)
    return ''
  // It is one change of protocol already.
  if (head.method === 'CONNECT') return ''
  return isHttp(upgrade) ? '' : upgrade
}

function isHttp(upgrade: string): boolean {
  return /(^|[\s,])(h2c?|http)([\s,/]|$)/i.test(upgrade)
}

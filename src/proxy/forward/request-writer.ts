/** Keeps what a call needs of its request head, and writes the head that the deployment gets. */
import { SLOT } from '../../codec/http1/field-table.ts'
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, type BodyKind } from '../../codec/http1/framing.ts'
import type { RequestHead } from '../../codec/http1/request-head.ts'
import { originForm } from '../../codec/http1/target.ts'
import type { ErrorCode } from '../../core/errors.ts'
import type { Endpoint } from '../pool/endpoint.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Downstream } from './downstream.ts'
import { type FormerHops, isSaneRequestId } from './fields.ts'
import type { OriginMemo } from './origin-memo.ts'
import { findQueryKey } from './query-key.ts'
import { hasPassed } from './via.ts'

/** RFC 9110 §9.2.2. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])
/** A body is usual in these, so its absence is said (RFC 9110 §8.6). */
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH'])

export class RequestWriter {
  method = ''
  /** The host that is asked for, or ''. */
  host = ''
  target = ''
  minor = 1
  requestId = ''
  /** The protocol to change to, or ''. */
  upgrade = ''
  expectsContinue = false
  /** Value of `Authorization`, and the API key from its field or the query; '' where there is none. */
  authorization = ''
  apiKey = ''
  /** Whether one of them came twice. */
  ambiguousCredentials = false
  /** Whether the call has passed here before. */
  looped = false
  /** Hops that a TRACE or OPTIONS may still take (RFC 9110 §7.6.2), or -1 where nothing limits them. */
  hopsLeft = -1
  readonly #context: WorkerContext
  /** Of the connection that is served; set by `serve`, before anything else. */
  #downstream!: Downstream
  #origin!: OriginMemo
  #lines = ''
  #kind: BodyKind = BODY_NONE
  #length = 0
  #te = ''
  #trailer = ''
  /** `Max-Forwards` as it came, or ''. */
  #maxForwards = ''
  /** The target without the key that stood in its query, or '' where none did. */
  #targetWithoutKey = ''
  #hops: FormerHops | undefined

  constructor(context: WorkerContext) {
    this.#context = context
  }

  /** The calls that follow are those of this connection. */
  serve(downstream: Downstream, origin: OriginMemo): void {
    this.#downstream = downstream
    this.#origin = origin
  }

  /** Whether the call may be sent a second time. */
  get repeatable(): boolean {
    return this.#kind === BODY_NONE && this.upgrade === '' && IDEMPOTENT.has(this.method)
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
    if (this.ambiguousCredentials) return 'credential_ambiguous'
    return this.looped ? 'loop_detected' : undefined
  }

  /** Copies what the call needs: the head is read over by the next call of any connection. */
  take(head: RequestHead): void {
    const { slots } = this.#context.fields
    const { values } = head.fields
    this.method = head.method
    this.target = head.target
    this.minor = head.minor
    this.host = head.host
    this.#lines = head.lines
    this.#kind = head.kind
    this.#length = head.length
    this.authorization = values[slots.authorization] as string
    this.apiKey = slots.apiKey === slots.authorization ? '' : (values[slots.apiKey] as string)
    this.ambiguousCredentials =
      (head.fields.repeated & ((1 << slots.authorization) | (1 << slots.apiKey))) !== 0
    this.#targetWithoutKey = ''
    const { query } = this.#context.config.authentication.apiKey
    if (query !== undefined) this.#takeQueryKey(query)
    this.#te = values[SLOT.te] as string
    this.#trailer = values[SLOT.trailer] as string
    this.hopsLeft = head.hopsLeft
    this.#maxForwards = values[SLOT.maxForwards] as string
    const via = values[slots.via] as string
    this.looped = via !== '' && hasPassed(via, this.#context.pseudonym)
    this.expectsContinue = head.minor === 1 && values[SLOT.expect] !== ''
    this.upgrade = upgradeOf(head)
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

  #takeQueryKey(name: string): void {
    const found = findQueryKey(this.target, name)
    if (found === undefined) return
    if (found === 'ambiguous' || this.apiKey !== '') {
      this.ambiguousCredentials = true
      return
    }
    this.apiKey = found.key
    this.#targetWithoutKey = found.rest
  }

  /** The whole head for `endpoint`; framing, hop and identity fields are written anew. */
  headText(tenant: string, endpoint: Endpoint): string {
    const { pseudonym } = this.#context
    const origin = this.#origin.linesFor(this.host, this.#downstream, this.#hops, pseudonym)
    const host = this.host === '' ? endpoint.authority : this.host
    return (
      `${this.method} ${originForm(this.method, this.#forwardedTarget())} HTTP/1.1\r\nhost: ${host}\r\n${this.#lines}${this.#framingLines()}` +
      `${this.#optionLines()}${this.#maxForwardsLine()}${this.#credentialLines()}x-amt-tenant: ${tenant}\r\n${origin}${this.requestId}\r\n\r\n`
    )
  }

  #framingLines(): string {
    if (this.#kind === BODY_LENGTH) return `content-length: ${this.#length}\r\n`
    if (this.#kind === BODY_CHUNKED)
      return `transfer-encoding: chunked\r\n${this.#trailer === '' ? '' : `trailer: ${this.#trailer}\r\n`}`
    return WITH_BODY.has(this.method) ? 'content-length: 0\r\n' : ''
  }

  #optionLines(): string {
    if (this.upgrade !== '') return `connection: upgrade\r\nupgrade: ${this.upgrade}\r\n`
    const te =
      this.#te !== '' && /(^|,)\s*trailers\s*(,|$)/i.test(this.#te)
        ? 'connection: te\r\nte: trailers\r\n'
        : ''
    return this.expectsContinue ? `${te}expect: 100-continue\r\n` : te
  }

  /** Only TRACE and OPTIONS count their hops; for all others the field means nothing, and passes. */
  #maxForwardsLine(): string {
    if (this.#maxForwards === '') return ''
    return `max-forwards: ${this.hopsLeft < 0 ? this.#maxForwards : this.hopsLeft - 1}\r\n`
  }

  #forwardedTarget(): string {
    if (this.#targetWithoutKey === '') return this.target
    const { forwardCredentials } = this.#context.config.authentication
    return forwardCredentials || !this.#downstream.evidence.ownsApiKey
      ? this.target
      : this.#targetWithoutKey
  }

  /** Credentials that were meant for the proxy end here; those that were not belong to the application. */
  #credentialLines(): string {
    if (this.authorization === '' && this.apiKey === '') return ''
    const { forwardCredentials } = this.#context.config.authentication
    const { evidence } = this.#downstream
    const authorization =
      this.authorization !== '' && (forwardCredentials || !evidence.ownsAuthorization)
    const inField = this.apiKey !== '' && this.#targetWithoutKey === ''
    const apiKey = inField && (forwardCredentials || !evidence.ownsApiKey)
    return (
      (authorization ? `authorization: ${this.authorization}\r\n` : '') +
      (apiKey ? `${this.#context.fields.apiKeyHeader}: ${this.apiKey}\r\n` : '')
    )
  }
}

/** RFC 9110 §7.8. No version of HTTP is passed on: behind it calls would go unseen (request smuggling by upgrade). */
function upgradeOf(head: RequestHead): string {
  const upgrade = head.fields.values[SLOT.upgrade] as string
  if (upgrade === '' || !head.connection.upgrade || head.minor === 0 || head.kind !== BODY_NONE)
    return ''
  // It is one change of protocol already.
  if (head.method === 'CONNECT') return ''
  return /(^|[\s,])(h2c?|http)([\s,/]|$)/i.test(upgrade) ? '' : upgrade
}

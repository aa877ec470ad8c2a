/** Messages of gRPC, one at a time on each of many streams that stay open: echoed by the deployment and compared. */
import type { HeaderField } from '../../src/codec/http2/header-field.ts'
import type { ResponseSection } from '../../src/codec/http2/response-section.ts'
import type { Http2Stream } from '../../src/codec/http2/stream.ts'
import { WrongAnswer } from '../harness/answer.ts'
import { grpcFields, grpcMessage, STREAMING_PATH } from '../harness/http2-call.ts'
import { Http2Connection } from '../harness/http2-connection.ts'
import { grpcStatusOf } from '../harness/http2-probe.ts'
import type { Work, WorkTenant } from '../harness/work.ts'
import {
  type Http2LoadOptions,
  type LoadingConnection,
  loadConnections,
} from './http2-connections.ts'
import type { Load } from './load.ts'

const PAYLOAD_BYTES = 100
const COUNTER_AT = 96

/** Neighbouring streams of a connection belong to different tenants. A figure counts a message there and its echo back as one. */
export function grpcStreaming(options: Http2LoadOptions): Load {
  return async target => {
    const make = (first: number): LoadingConnection => new TalkingConnection(target.work, first)
    const done = await loadConnections(target, options, make)
    const calls = options.connections * options.streams
    return { ...done, calls, open: 0, bytes: done.units * PAYLOAD_BYTES * 2 }
  }
}

class Talk {
  readonly tenant: string
  readonly message: Buffer
  /** Octets of the message that were taken, and of its echo that came. */
  sent = 0
  received = 0
  sentAt = 0
  number = 0
  status = ''

  constructor(tenant: string) {
    this.tenant = tenant
    this.message = grpcMessage(Buffer.alloc(PAYLOAD_BYTES, `${tenant} `))
  }

  next(now: number): void {
    this.number += 1
    this.message.writeUInt32BE(this.number, COUNTER_AT)
    this.sent = 0
    this.received = 0
    this.sentAt = now
  }
}

type Stream = Http2Stream<Talk>

class TalkingConnection extends Http2Connection<Talk> implements LoadingConnection {
  /** Milliseconds from each message to its echo. */
  readonly times: number[] = []
  readonly #work: Work
  readonly #first: number
  readonly #done = Promise.withResolvers<void>()
  #end = 0
  #open = 0

  constructor(work: Work, first: number) {
    super()
    this.#work = work
    this.#first = first
  }

  async until(end: number, streams: number): Promise<void> {
    const { tenants } = this.#work
    this.#end = end
    this.now = performance.now()
    this.#open = streams
    for (let at = 0; at < streams; at += 1)
      this.#begin(tenants[(this.#first + at) % tenants.length] as WorkTenant)
    this.flush()
    return this.#done.promise
  }

  #begin(tenant: WorkTenant): void {
    const talk = new Talk(tenant.id)
    const fields = grpcFields(this.#work, tenant, STREAMING_PATH)
    const stream = this.session.request(talk, fields, false)
    talk.next(this.now)
    this.writable(stream)
  }

  writable(stream: Stream): void {
    const { owner } = stream
    if (owner === undefined) return
    const { message, sent } = owner
    owner.sent += this.session.send(stream, message, { start: sent, end: message.length })
  }

  response({ owner }: Stream, { status, fields }: ResponseSection): void {
    // The deployment says whose stream it is: the tenant that it was told, and credentials that reached it.
    const whose = fields.find(({ name }) => name === 'x-tenant')?.value
    if (status !== 200 || whose !== owner?.tenant)
      this.fault(`a stream as ${owner?.tenant} got ${status} as ${whose}`)
  }

  octets(stream: Stream, bytes: Buffer, start: number, end: number): void {
    const { owner } = stream
    if (owner === undefined) return
    const { message } = owner
    const from = owner.received
    owner.received = from + end - start
    const same =
      owner.received <= owner.sent && bytes.compare(message, from, owner.received, start, end) === 0
    if (!same) this.fault(`message ${owner.number} of ${owner.tenant} came back as another`)
    else if (owner.received === message.length) this.#echoed(stream, owner)
  }

  #echoed(stream: Stream, talk: Talk): void {
    this.times.push(this.now - talk.sentAt)
    if (this.now < this.#end) {
      talk.next(this.now)
      this.writable(stream)
    } else this.session.end(stream)
  }

  trailers({ owner }: Stream, fields: readonly HeaderField[]): void {
    if (owner) owner.status = grpcStatusOf(fields) ?? ''
  }

  ended({ owner }: Stream): void {
    if (owner?.status !== '0') this.fault(`a stream of ${owner?.tenant} ended too early`)
    this.#open -= 1
    if (this.#open === 0) this.#done.resolve()
  }

  fault(reason: string): void {
    this.#end = 0
    this.#done.promise.catch(() => {}) // before the load began nobody waits
    this.#done.reject(new WrongAnswer(reason))
  }
}

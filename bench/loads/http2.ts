/**
 * Calls over HTTP/2: on each connection so many streams at once, each call as the next tenant, and each answer looked at to its
 * last byte. h2load would send the credential of one tenant all the time.
 */
import type { HeaderField } from '../../src/codec/http2/header-field.ts'
import type { ResponseSection } from '../../src/codec/http2/response-section.ts'
import type { Http2Stream } from '../../src/codec/http2/stream.ts'
import { WrongAnswer } from '../harness/answer.ts'
import { type Http2Call, http2CallsOf } from '../harness/http2-call.ts'
import { Http2Connection } from '../harness/http2-connection.ts'
import { grpcStatusOf } from '../harness/http2-probe.ts'
import {
  type Http2LoadOptions,
  type LoadingConnection,
  loadConnections,
} from './http2-connections.ts'
import type { Load } from './load.ts'

/** Calls and their answers, or unary ones of gRPC, as the lane says. */
export function http2Calls(options: Http2LoadOptions): Load {
  return async target => {
    const calls = http2CallsOf(target.work)
    const { body, answer } = calls[0] as Http2Call
    const make = (first: number): LoadingConnection => new CallingConnection(calls, first)
    const done = await loadConnections(target, options, make)
    const bytes = done.units * (body.length + answer.length)
    return { ...done, calls: done.units, open: 0, bytes }
  }
}

/** A place for one call at a time, used again and again. */
class Place {
  call: Http2Call
  sentAt = 0
  /** Octets of the body that were taken, and of the answer that came. */
  sent = 0
  received = 0
  answered = false
  trailed = false

  constructor(call: Http2Call) {
    this.call = call
  }
}

type Stream = Http2Stream<Place>

class CallingConnection extends Http2Connection<Place> implements LoadingConnection {
  /** Milliseconds from each call to the end of its answer. */
  readonly times: number[] = []
  readonly #calls: readonly Http2Call[]
  readonly #done = Promise.withResolvers<void>()
  /** Whose call was answered. The stream of that call counts until the event is over, so the next one begins after it. */
  readonly #free: Place[] = []
  #next: number
  #end = 0
  #underWay = 0

  /** `first`: the tenant of its first call. */
  constructor(calls: readonly Http2Call[], first: number) {
    super()
    this.#calls = calls
    this.#next = first
  }

  async until(end: number, streams: number): Promise<void> {
    this.#end = end
    this.now = performance.now()
    for (let at = 0; at < streams; at += 1) this.#begin(new Place(this.#calls[0] as Http2Call))
    this.flush()
    return this.#done.promise
  }

  protected override turn(): void {
    for (const place of this.#free) this.#begin(place)
    this.#free.length = 0
  }

  #begin(place: Place): void {
    if (!this.session.open) {
      this.fault('no more streams may begin')
      return
    }

    const call = this.#calls[this.#next % this.#calls.length] as Http2Call
    this.#next += 1
    this.#underWay += 1
    place.call = call
    place.sentAt = this.now
    place.sent = 0
    place.received = 0
    place.answered = false
    place.trailed = false
    const { length } = call.body
    const stream = this.session.request(place, call.fields, length === 0)
    if (length > 0) this.#send(stream, place)
  }

  #send(stream: Stream, place: Place): void {
    const { body } = place.call
    const piece = { start: place.sent, end: body.length, endStream: true }
    place.sent += this.session.send(stream, body, piece)
  }

  writable(stream: Stream): void {
    if (stream.owner) this.#send(stream, stream.owner)
  }

  response({ owner }: Stream, { status }: ResponseSection): void {
    if (owner === undefined || status !== 200) this.fault(`status ${status}`)
    else owner.answered = true
  }

  octets({ owner }: Stream, bytes: Buffer, start: number, end: number): void {
    if (owner === undefined) return
    const { answer } = owner.call
    const from = owner.received
    owner.received = from + end - start
    const same =
      owner.received <= answer.length &&
      bytes.compare(answer, from, owner.received, start, end) === 0
    if (!same) this.#wrong(owner, bytes.toString('latin1', start, Math.min(end, start + 200)))
  }

  trailers({ owner }: Stream, fields: readonly HeaderField[]): void {
    if (owner === undefined) return
    owner.trailed = owner.call.grpc && grpcStatusOf(fields) === '0'
    if (!owner.trailed) this.#wrong(owner, `trailers ${JSON.stringify(fields)}`)
  }

  ended({ owner }: Stream): void {
    if (owner === undefined) return
    const { call } = owner
    if (!owner.answered || owner.received !== call.answer.length || owner.trailed !== call.grpc)
      this.#wrong(owner, `an answer that ended after ${owner.received} bytes`)
    this.times.push(this.now - owner.sentAt)
    this.#underWay -= 1
    if (this.now < this.#end) this.#free.push(owner)
    else if (this.#underWay === 0) this.#done.resolve()
  }

  #wrong({ call }: Place, what: string): void {
    this.fault(`a call as ${call.tenant} got ${what}`)
  }

  fault(reason: string): void {
    this.#end = 0
    this.#done.promise.catch(() => {}) // before the load began nobody waits
    this.#done.reject(new WrongAnswer(reason))
  }
}

/**
 * The codec as the proxy uses it, on bytes that come in pieces: message after message, up to the first that is refused or
 * incomplete. What it reads must not depend on the pieces, and what it accepts leaves it as a message of one meaning.
 */
import { BodyReader } from '../../../src/codec/http1/body.ts'
import { chunkEnd, chunkHead } from '../../../src/codec/http1/chunked.ts'
import { INCOMPLETE, INVALID } from '../../../src/codec/http1/field-section.ts'
import { FieldTable } from '../../../src/codec/http1/field-table.ts'
import { BODY_CHUNKED, BODY_LENGTH, type BodyKind } from '../../../src/codec/http1/framing.ts'
import { RequestHead } from '../../../src/codec/http1/request-head.ts'
import { ResponseHead } from '../../../src/codec/http1/response-head.ts'
import { originForm } from '../../../src/codec/http1/target.ts'
import { readStrictRequest, valuesOf } from '../strict-http1.ts'

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')
export const table = new FieldTable([], ['x-amt-', 'x-forwarded-'])

interface MessageBody {
  readonly body: string
  /** Lines, of a body in chunks that is complete. */
  readonly trailers: string
  readonly done: boolean
}

export interface ReadRequest extends MessageBody {
  readonly method: string
  readonly target: string
  readonly minor: number
  readonly host: string
  readonly lines: string
  readonly kind: BodyKind
  /** Names and values that the codec looks at, one a line; '' where one is absent. */
  readonly looked: string
}

export interface ReadAnswer extends MessageBody {
  readonly status: number
  readonly minor: number
  readonly lines: string
  readonly kind: BodyKind
  /** Whether the connection may be used again, as far as the head says. */
  readonly close: boolean
}

export interface Reading<Message> {
  readonly messages: readonly Message[]
  /** Name of the error; '' where all is read, or more is needed. */
  readonly error: string
  /** Bytes that belong to the messages; of an incomplete body those that have come. */
  readonly used: number
}

/** What has come and is not used, and how it is used. */
class Input {
  rest: Buffer = Buffer.alloc(0)
  used = 0

  take(bytes: number): void {
    this.used += bytes
    this.rest = this.rest.subarray(bytes)
  }
}

/** Reads requests as a connection from downstream does. Throws where the codec goes nowhere or too far. */
export function readRequests(pieces: readonly Buffer[]): Reading<ReadRequest> {
  const head = new RequestHead(table)
  const messages: ReadRequest[] = []
  const reading = readMessages(pieces, {
    head: (bytes, end) => head.read(bytes, 0, end),
    framing: () => head,
    error: () => head.error,
    begin: () => {
      const { method, target, minor, host, lines, kind, fields } = head
      const looked = fields.values.join('\n')
      return body => {
        messages.push({ method, target, minor, host, lines, kind, looked, ...body })
        return true
      }
    },
  })
  return { messages, ...reading }
}

/** Reads the interim answers and the final one to a request with `method`, as a connection to a deployment does. */
export function readAnswer(pieces: readonly Buffer[], method: string): Reading<ReadAnswer> {
  const head = new ResponseHead(table)
  const messages: ReadAnswer[] = []
  const reading = readMessages(pieces, {
    head: (bytes, end) => head.read(bytes, 0, end, method === 'HEAD'),
    framing: () => head,
    error: () => 'upstream_malformed',
    begin: () => {
      const { status, minor, lines, kind, connection } = head
      const close = minor === 1 ? connection.close : !connection.keepAlive
      return body => {
        messages.push({ status, minor, lines, kind, close, ...body })
        return status < 200 && status !== 101
      }
    },
  })
  return { messages, ...reading }
}

interface MessageReader {
  head(bytes: Buffer, end: number): number
  framing(): { readonly kind: BodyKind; readonly length: number }
  error(): string
  /** A head was read; the function gets the body, and says whether another message may follow. */
  begin(): (body: MessageBody) => boolean
}

function readMessages(
  pieces: readonly Buffer[],
  reader: MessageReader,
): { error: string; used: number } {
  const input = new Input()
  const body = new BodyReader(table)
  let finish: ((body: MessageBody) => boolean) | undefined
  let data = ''
  for (const piece of pieces) {
    input.rest = Buffer.concat([input.rest, piece])
    while (input.rest.length > 0) {
      if (finish === undefined) {
        const end = reader.head(input.rest, input.rest.length)
        if (end === INVALID) return { error: reader.error(), used: input.used }
        if (end === INCOMPLETE) break
        if (end > input.rest.length) throw new Error('a head beyond its bytes')
        input.take(end)
        data = ''
        const { kind, length } = reader.framing()
        body.begin(kind, length)
        finish = reader.begin()
      }
      if (!body.done) data += feed(body, input)
      if (body.error !== undefined) return { error: body.error, used: input.used }
      if (!body.done) break
      const more = finish({ body: data, trailers: body.trailers, done: true })
      finish = undefined
      if (!more) return { error: '', used: input.used }
    }
  }
  finish?.({ body: data, trailers: '', done: false })
  return { error: '', used: input.used }
}

function feed(body: BodyReader, input: Input): string {
  const { rest } = input
  let data = ''
  let at = 0
  const next = body.read(rest, 0, rest.length, {
    bodyData: (bytes, start, end) => {
      if (start < at || end <= start || end > rest.length) throw new Error('data out of range')
      at = end
      data += bytes.toString('latin1', start, end)
    },
  })
  if (next < at || next > rest.length) throw new Error(`position ${next} behind ${at}`)
  if (next < rest.length && !body.done && body.error === undefined) throw new Error('went nowhere')
  input.take(next)
  return data
}

/** The request as a deployment gets it; origin and credentials apart, which have tests of their own. */
function forwarded({ method, target, host, lines, kind, body, trailers }: ReadRequest): Buffer {
  const framing =
    kind === BODY_CHUNKED
      ? 'transfer-encoding: chunked\r\n'
      : kind === BODY_LENGTH
        ? `content-length: ${body.length}\r\n`
        : ''
  const first = body === '' ? '' : `${chunkHead(body.length)}${body}\r\n`
  const data = kind === BODY_CHUNKED ? `${first}${chunkEnd(trailers)}` : body
  const path = originForm(method, target)
  return latin1(`${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n${lines}${framing}\r\n${data}`)
}

/** Throws unless a strict reader takes what is forwarded of `request` as that request and nothing more. */
export function judgeForwarded(request: ReadRequest): void {
  const bytes = forwarded(request)
  const result = readStrictRequest(bytes)
  if (result.kind !== 'message') throw new Error(`a strict reader: ${JSON.stringify(result)}`)
  const { message, length } = result
  if (length !== bytes.length) throw new Error('a strict reader sees another end')
  if (message.method !== request.method || message.body.toString('latin1') !== request.body)
    throw new Error('a strict reader sees another request')
  for (const name of ['x-amt-tenant', 'connection', 'te', 'expect', 'keep-alive'])
    if (valuesOf(message.fields, name).length > 0) throw new Error(`${name} was forwarded`)
}

/** `node:http2` as a client: one connection, as many calls at once as are asked for. */
import { once } from 'node:events'
import http2, {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { connect } from 'node:net'
import {
  type Answer,
  type Call,
  type CallClient,
  fieldList,
  type Interim,
  wholeBody,
} from './call.ts'
import type { ConnectionOptions } from './http1-client.ts'

export interface Http2ConnectionOptions extends ConnectionOptions {
  readonly settings?: http2.Settings
}

/** A stream that did not come to its end. */
export class StreamReset extends Error {
  /** Its error code, RFC 9113 §7. */
  readonly code: number
  /** What had come of the body. */
  readonly received: number

  constructor(code: number, received: number) {
    super(`the stream was reset with ${code} behind ${received} octets`)
    this.code = code
    this.received = received
  }
}

export interface Http2Answer extends Answer {
  /** Whether the stream ended with its head. */
  readonly headAlone: boolean
}

export class Http2Client implements CallClient {
  readonly version = 2
  readonly session: ClientHttp2Session
  /** Error codes of the GOAWAYs that came. */
  readonly goaways: number[] = []

  private constructor(session: ClientHttp2Session) {
    this.session = session
    session.on('goaway', code => this.goaways.push(code))
    session.on('error', () => {})
  }

  static async connect(port: number, options: Http2ConnectionOptions = {}): Promise<Http2Client> {
    const { servername, ...rest } = options
    const session =
      servername === undefined
        ? http2.connect('http://service.test', {
            ...rest,
            createConnection: () => connect({ port, host: '127.0.0.1', noDelay: true }),
          })
        : http2.connect(`https://127.0.0.1:${port}`, { ...rest, servername })
    await once(session, 'remoteSettings')
    return new Http2Client(session)
  }

  /** Begins a call; its body and trailers are the caller's business. */
  open(
    { method = 'GET', path = '/', host = 'service.test', fields = {}, ...call }: Call,
    pseudo: OutgoingHttpHeaders = {},
  ): ClientHttp2Stream {
    const stream = this.session.request(
      {
        ':method': method,
        ':path': path,
        ':authority': host,
        ...pseudo,
        ...(fields as OutgoingHttpHeaders),
      },
      { endStream: false, waitForTrailers: call.trailers !== undefined },
    )
    stream.on('wantTrailers', () => stream.sendTrailers(call.trailers ?? {}))
    stream.on('error', () => {})
    return stream
  }

  /** Rejects with `StreamReset` where the stream is reset. */
  async call(call: Call): Promise<Http2Answer> {
    const stream = this.open(call)
    const answer = answerOf(stream)
    for (const piece of call.body ?? []) stream.write(piece)
    stream.end()
    return answer
  }

  async close(): Promise<void> {
    if (this.session.destroyed) return
    const closed = once(this.session, 'close')
    this.session.destroy()
    await closed
  }
}

/** All that comes back on `stream`. */
export async function answerOf(stream: ClientHttp2Stream): Promise<Http2Answer> {
  const interim: Interim[] = []
  let trailers: readonly string[] = []
  let received = 0
  stream.on('headers', (headers, _flags, raw) =>
    interim.push({ status: statusOf(headers), fields: fieldList(raw) }),
  )
  stream.on('trailers', (_headers, _flags, raw) => {
    trailers = raw
  })
  stream.on('data', (chunk: Buffer) => {
    received += chunk.length
  })
  const chunks = wholeBody(stream).catch(() => undefined)
  const head = once(stream, 'response').catch(() => undefined)
  const closed = once(stream, 'close').catch(() => undefined)
  const [response, body] = await Promise.all([Promise.race([head, closed]), chunks, closed])
  const { rstCode } = stream
  if (response?.[0] === undefined || body === undefined || (rstCode ?? 0) !== 0)
    throw new StreamReset(rstCode ?? 0, received)
  const [headers, flags, raw] = response as [IncomingHttpHeaders, number, string[]]
  return {
    status: statusOf(headers),
    fields: fieldList(raw),
    body,
    trailers: fieldList(trailers),
    interim,
    headAlone: (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0,
  }
}

/** Its error code, once it is over; no rejection, whatever it is. */
export function closeOf(stream: ClientHttp2Stream): Promise<number> {
  return new Promise(resolve => stream.once('close', () => resolve(stream.rstCode ?? 0)))
}

function statusOf(headers: IncomingHttpHeaders): number {
  return Number(headers[':status'])
}

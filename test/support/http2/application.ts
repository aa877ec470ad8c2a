/**
 * An application with an answer for each thing that HTTP can do, written once for `node:http` and `node:http2`: what a
 * deployment of a tenant serves, whatever version it speaks. The path says what it does.
 */
import { createHash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { constants, type Http2ServerResponse } from 'node:http2'
import { type FieldList, fieldList, wholeBody } from './call.ts'

/** What it saw of a call, as it answers `/report` with it in JSON. */
export interface Report {
  readonly from: string
  readonly version: string
  readonly method: string
  readonly path: string
  /** `:authority`, or `Host`. */
  readonly host: string
  readonly scheme: string
  readonly fields: FieldList
  readonly bodyOctets: number
  readonly bodyDigest: string
  readonly trailers: FieldList
}

/** A call that is not answered by itself. */
export interface OpenCall {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** With the error code of the reset of its stream, or -1 of a connection of HTTP/1.1 that was closed. */
  readonly gone: Promise<number>
}

type Route = (call: OpenCall, rest: string) => void | Promise<void>

const PIECE = Buffer.alloc(16 * 1024, 'x')

export class Application extends EventEmitter<{ open: [OpenCall]; continue: [OpenCall] }> {
  readonly name: string
  /** Calls that came, also those under way. */
  calls = 0
  readonly #routes: Readonly<Record<string, Route>> = {
    report: call => this.#report(call),
    echo: call => echo(call),
    status: ({ response }, rest) => {
      response.statusCode = Number(rest)
      if (rest === '304') response.setHeader('content-length', '42')
      response.end()
    },
    length: ({ response }, rest) => {
      response.setHeader('content-length', rest)
      return fill(response, Number(rest))
    },
    pieces: ({ response }, rest) => fill(response, Number(rest)),
    trailers: ({ response }) => {
      response.setHeader('trailer', 'x-checksum')
      response.write('body')
      response.addTrailers({ 'x-checksum': 'abc', 'x-amt-tenant': 'forged' })
      response.end()
    },
    hints: ({ response }) => {
      response.writeEarlyHints({ link: '</style.css>; rel=preload', 'x-amt-tenant': 'forged' })
      response.end('hinted')
    },
    cookies: ({ response }) => {
      response.setHeader('set-cookie', ['a=1; Path=/', 'b=2; HttpOnly'])
      response.setHeader('x-amt-tenant', 'forged')
      response.end()
    },
    open: call => void this.emit('open', call),
    reset: ({ response }, rest) => reset(response, Number(rest)),
    half: async ({ response }, rest) => {
      response.setHeader('content-length', '1000')
      await new Promise<void>(resolve => {
        response.write('half', () => resolve())
      })
      setImmediate(() => reset(response, Number(rest)))
    },
  }

  constructor(name: string) {
    super()
    this.name = name
  }

  readonly serve = (request: IncomingMessage, response: ServerResponse): void => {
    this.calls++
    response.setHeader('x-from', this.name)
    response.on('error', () => {})
    request.on('error', () => {})
    const [, route = '', rest = ''] = (request.url ?? '').split(/[/?]/)
    const act = this.#routes[route]
    const call = { request, response, gone: goneOf(response) }
    if (act !== undefined) void act(call, rest)
    else {
      response.statusCode = 404
      response.end()
    }
  }

  /** A call with `expect: 100-continue`: `/open` decides by event, all else asks for the body. */
  readonly serveExpecting = (request: IncomingMessage, response: ServerResponse): void => {
    if (this.listenerCount('continue') > 0) {
      this.calls++
      response.setHeader('x-from', this.name)
      this.emit('continue', { request, response, gone: goneOf(response) })
      return
    }
    response.writeContinue()
    this.serve(request, response)
  }

  /** The next call of `/open`. */
  async opened(): Promise<OpenCall> {
    const [call] = (await once(this, 'open', { signal: AbortSignal.timeout(8_000) })) as [OpenCall]
    return call
  }

  /** The next call with `expect: 100-continue`; it is this caller who answers it. */
  async expecting(): Promise<OpenCall> {
    const signal = AbortSignal.timeout(8_000)
    const [call] = (await once(this, 'continue', { signal })) as [OpenCall]
    return call
  }

  async #report({ request, response }: OpenCall): Promise<void> {
    const body = await wholeBody(request).catch(() => undefined)
    // Whoever has cut it does not wait for an answer.
    if (body === undefined) return
    const { headers } = request
    const report: Report = {
      from: this.name,
      version: request.httpVersion,
      method: request.method ?? '',
      path: request.url ?? '',
      host: String(headers[':authority'] ?? headers.host ?? ''),
      scheme: String(headers[':scheme'] ?? ''),
      fields: fieldList(request.rawHeaders),
      bodyOctets: body.length,
      bodyDigest: createHash('sha256').update(body).digest('hex'),
      trailers: fieldList(request.rawTrailers),
    }
    const text = JSON.stringify(report)
    response.setHeader('content-length', String(text.length))
    response.end(text)
  }
}

/** Back what came, as it comes; and the trailers. */
async function echo({ request, response }: OpenCall): Promise<void> {
  response.setHeader('trailer', 'x-sum')
  response.flushHeaders()
  try {
    for await (const chunk of request)
      if (!response.write(chunk))
        await once(response, 'drain', { signal: AbortSignal.timeout(8_000) })
  } catch {
    return
  }
  const { trailers } = request
  if (Object.keys(trailers).length > 0) response.addTrailers(trailers)
  response.end()
}

async function fill(response: ServerResponse, octets: number): Promise<void> {
  for (let left = octets; left > 0; left -= PIECE.length) {
    if (response.destroyed) return
    if (!response.write(PIECE.subarray(0, Math.min(left, PIECE.length))))
      await Promise.race([once(response, 'drain'), once(response, 'close')]).catch(() => undefined)
  }
  response.end()
}

function reset(response: ServerResponse, code: number): void {
  const { stream } = response as unknown as Http2ServerResponse
  if (stream === undefined) response.socket?.destroy()
  else stream.close(code || constants.NGHTTP2_INTERNAL_ERROR)
}

function goneOf(response: ServerResponse): Promise<number> {
  const { stream } = response as unknown as Http2ServerResponse
  if (stream === undefined) return new Promise(resolve => response.on('close', () => resolve(-1)))
  return new Promise(resolve => stream.on('close', () => resolve(stream.rstCode)))
}

/**
 * The HTTP side of the admin server: takes calls, lets those in who may ask, and sends what the routes answer. Who may is in
 * `admin-access.ts`; the answers are in `admin-routes.ts`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ERRORS, type ErrorCode, problem } from '../../core/errors.ts'
import type { Logger } from '../../runtime/logger.ts'
import { httpRequestError, isConnectionReset } from '../../runtime/node-errors.ts'
import { AdminAccess } from './admin-access.ts'
import { problemAnswer } from './admin-answers.ts'
import type { AdminRefusals } from './admin-refusals.ts'
import { type AdminAnswer, type AdminRoute, routeOf } from './admin-routing.ts'
import { type AdminListenResult, listenForAdmin } from './admin-socket.ts'

const MAX_HEAD_BYTES = 8 * 1024
const MAX_BODY_BYTES = 4 * 1024
const MAX_CONNECTIONS = 128
const REQUEST_TIMEOUT_MS = 10_000
/** Longer than the longest profile takes to begin. */
const IDLE_TIMEOUT_MS = 200_000

export interface AdminServerOptions {
  /** `host:port` or `unix:PATH` */
  readonly address: string
  /** Of every call that is not open; nobody needs one where it is left out. */
  readonly token?: string | undefined
  readonly routes: readonly AdminRoute[]
  readonly logger: Logger
  readonly refusals: AdminRefusals
  /** A client that takes nothing of its answer for so long loses its place; 200 s by default. */
  readonly idleTimeoutMs?: number
}

export class AdminServer {
  readonly #options: AdminServerOptions
  readonly #server: Server
  readonly #access: AdminAccess

  constructor(options: AdminServerOptions) {
    this.#options = options
    const { address, token } = options
    this.#access = new AdminAccess({ address, token })
    this.#server = createServer(
      {
        maxHeaderSize: MAX_HEAD_BYTES,
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
      },
      (request, response) => void this.#serve(request, response),
    )
    this.#server.maxConnections = MAX_CONNECTIONS
    this.#server.timeout = options.idleTimeoutMs ?? IDLE_TIMEOUT_MS
    this.#server.on('clientError', (error, socket) => this.#refuseGarbage(error, socket))
  }

  async listen(): Promise<AdminListenResult> {
    const result = await listenForAdmin(this.#server, this.#options.address)
    this.#server.on('error', error =>
      this.#options.logger.error({ err: error }, 'admin server failed'),
    )
    return result
  }

  /** Ends open connections, too: a client that keeps one must not keep the process. */
  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => resolve())
    this.#server.closeIdleConnections()
    // Answers under way, such as the one to POST /drain, get a moment.
    const timer = setTimeout(() => this.#server.closeAllConnections(), 500)
    await promise
    clearTimeout(timer)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: AdminAnswer
    try {
      answer = await this.#answer(request, response)
    } catch (error) {
      this.#options.logger.error({ err: error, url: request.url }, 'admin request failed')
      answer = problemAnswer('internal_error')
    }
    const { body } = answer
    response.writeHead(answer.status, {
      'content-type': answer.contentType,
      ...(typeof body === 'string' ? { 'content-length': Buffer.byteLength(body) } : {}),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...answer.headers,
      // What is left of a body that nobody wants is not worth reading.
      ...(request.complete || bodyless(request) ? {} : { connection: 'close' }),
    })
    if (typeof body === 'string') response.end(request.method === 'HEAD' ? '' : body)
    // Where it breaks off, the client sees that by the end of the connection.
    else await pipeline(body, response).catch(() => {})
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<AdminAnswer> {
    const refusal = this.#access.refusal(request)
    if (refusal !== undefined) return this.#refuse(request, refusal)
    const found = routeOf(this.#options.routes, request.method ?? '', request.url ?? '')
    const authorized = this.#access.authorized(request)
    // What there is here is not for those to find out who may not ask for it.
    if (!authorized && !('route' in found && found.route.open === true))
      return this.#refuse(request, 'unauthorized', {
        'www-authenticate': 'Bearer realm="amt-admin"',
      })
    if ('refused' in found) {
      const headers = found.refused === 'method_not_allowed' ? { allow: found.allow } : {}
      return this.#refuse(request, found.refused, headers)
    }
    const { route, id, query } = found
    const body = await bodyOf(request)
    if (body === undefined) return this.#refuse(request, 'payload_too_large')
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    const accept = request.headers.accept ?? ''
    const { signal } = gone
    const text = route.takesBody === true ? body : ''
    const answer = await route.answer({ id, query, accept, body: text, authorized, signal })
    const { refused } = answer
    if (refused !== undefined) this.#options.refusals.count(refused, addressOf(request))
    return answer
  }

  #refuse(
    request: IncomingMessage,
    code: ErrorCode,
    headers: Readonly<Record<string, string>> = {},
  ): AdminAnswer {
    this.#options.refusals.count(code, addressOf(request))
    return problemAnswer(code, undefined, { headers })
  }

  /** What is no HTTP gets an answer all the same, where there is still somebody to read it. */
  #refuseGarbage(error: Error, socket: Duplex): void {
    if (isConnectionReset(error) || !socket.writable) {
      socket.destroy()
      return
    }
    const code = httpRequestError(error)
    this.#options.refusals.count(code, undefined)
    const body = problem(code)
    const head = `HTTP/1.1 ${ERRORS[code].http} Refused\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`
    socket.end(head + body, () => socket.destroy())
  }
}

function addressOf({ socket }: IncomingMessage): string | undefined {
  return socket.remoteAddress
}

function bodyless({ headers }: IncomingMessage): boolean {
  return headers['content-length'] === undefined && headers['transfer-encoding'] === undefined
}

/** A body to its end; undefined when it is larger than anybody needs, or its sender vanished. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const chunks: Buffer[] = []
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) resolve(undefined)
    else chunks.push(chunk)
  })
  request.once('end', () => resolve(Buffer.concat(chunks).toString()))
  request.once('error', () => resolve(undefined))
  request.once('close', () => resolve(undefined))
  return promise
}

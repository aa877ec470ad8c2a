/**
 * The HTTP side of the admin server: who may ask, for what, with which method. Answers come from `admin-routes.ts`.
 * It has no authentication, so it stays on loopback, and it does not let a web page use the browser of an operator to
 * get there.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isIP } from 'node:net'
import { ERRORS, type ErrorCode, problem } from '../../core/errors.ts'
import type { Logger } from '../../runtime/logger.ts'
import { describeListenError } from '../../runtime/node-errors.ts'
import { hostName, splitAddress } from './admin-address.ts'

const MAX_HEAD_BYTES = 8 * 1024
const MAX_BODY_BYTES = 4 * 1024
const MAX_CONNECTIONS = 128
const REQUEST_TIMEOUT_MS = 10_000

export interface AdminAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface AdminRequest {
  /** What follows the pattern, decoded: the id in `/tenants/ID`. */
  readonly rest: string
  readonly query: URLSearchParams
  readonly accept: string
}

export interface AdminRoute {
  readonly method: 'GET' | 'POST'
  /** A path; one that ends in `/` takes one more segment. */
  readonly path: string
  readonly answer: (request: AdminRequest) => AdminAnswer | Promise<AdminAnswer>
}

export interface AdminServerOptions {
  /** `host:port` */
  readonly address: string
  readonly routes: readonly AdminRoute[]
  readonly logger: Logger
}

export type AdminListenResult =
  | { readonly ok: true; readonly address: string }
  | { readonly ok: false; readonly problem: string }

export class AdminServer {
  readonly #options: AdminServerOptions
  readonly #server: Server
  readonly #host: string

  constructor(options: AdminServerOptions) {
    this.#options = options
    this.#host = splitAddress(options.address).host
    this.#server = createServer(
      {
        maxHeaderSize: MAX_HEAD_BYTES,
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
      },
      (request, response) => void this.#serve(request, response),
    )
    this.#server.maxConnections = MAX_CONNECTIONS
  }

  async listen(): Promise<AdminListenResult> {
    const { host, port } = splitAddress(this.#options.address)
    const { promise, resolve } = Promise.withResolvers<AdminListenResult>()
    this.#server.once('error', error => {
      resolve({
        ok: false,
        problem: describeListenError(error, `admin server: ${this.#options.address}`),
      })
    })
    this.#server.listen(port, host, () => resolve({ ok: true, address: this.#boundAddress() }))
    const result = await promise
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

  #boundAddress(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') return this.#options.address
    return address.family === 'IPv6'
      ? `[${address.address}]:${address.port}`
      : `${address.address}:${address.port}`
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: AdminAnswer
    try {
      answer = await this.#answer(request)
    } catch (error) {
      this.#options.logger.error({ err: error, url: request.url }, 'admin request failed')
      answer = problemAnswer('internal_error')
    }
    response.writeHead(answer.status, {
      'content-type': answer.contentType,
      'content-length': Buffer.byteLength(answer.body),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...answer.headers,
      // What is left of a body that nobody wants is not worth reading.
      ...(request.complete || bodyless(request) ? {} : { connection: 'close' }),
    })
    response.end(request.method === 'HEAD' ? '' : answer.body)
  }

  async #answer(request: IncomingMessage): Promise<AdminAnswer> {
    const refusal = this.#refusal(request)
    if (refusal !== undefined) return problemAnswer(refusal)
    const url = parseTarget(request.url ?? '/')
    if (url === undefined) return problemAnswer('malformed_target')
    const matching = this.#options.routes.flatMap(route => {
      const rest = match(route.path, url.pathname)
      return rest === undefined ? [] : [{ route, rest }]
    })
    if (matching.length === 0) return problemAnswer('not_found')
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const found = matching.find(({ route }) => route.method === method)
    if (found === undefined) {
      const allowed = matching.map(({ route }) =>
        route.method === 'GET' ? 'GET, HEAD' : route.method,
      )
      return problemAnswer('method_not_allowed', undefined, { allow: allowed.join(', ') })
    }
    if (!(await drained(request))) return problemAnswer('payload_too_large')
    const accept = request.headers.accept ?? ''
    return found.route.answer({ rest: found.rest, query: url.searchParams, accept })
  }

  /**
   * Against pages in an operator's browser. `Host`: a page whose name was rebound to 127.0.0.1 says its own name there.
   * `Origin`: a form on a page can POST here without reading the answer, and it always says where it comes from.
   */
  #refusal({ headers }: IncomingMessage): ErrorCode | undefined {
    if (headers.host !== undefined && !this.#isOwnName(hostName(headers.host)))
      return 'host_not_allowed'
    const site = headers['sec-fetch-site']
    if (site !== undefined && site !== 'same-origin' && site !== 'none') return 'host_not_allowed'
    const { origin } = headers
    return origin === undefined || origin === `http://${headers.host}`
      ? undefined
      : 'host_not_allowed'
  }

  /** On a wildcard address every IP address may be ours; a rebound name is never written as an address. */
  #isOwnName(name: string): boolean {
    if (
      name === this.#host ||
      name === 'localhost' ||
      name === '::1' ||
      /^127(\.\d{1,3}){3}$/.test(name)
    )
      return true
    return (this.#host === '0.0.0.0' || this.#host === '::') && isIP(name) !== 0
  }
}

function bodyless({ headers }: IncomingMessage): boolean {
  return headers['content-length'] === undefined && headers['transfer-encoding'] === undefined
}

export function problemAnswer(
  code: ErrorCode,
  detail?: string,
  headers: Readonly<Record<string, string>> = {},
): AdminAnswer {
  return {
    status: ERRORS[code].http,
    contentType: 'application/problem+json',
    body: problem(code, detail),
    headers,
  }
}

function parseTarget(target: string): URL | undefined {
  return target.startsWith('/') ? (URL.parse(`http://admin${target}`) ?? undefined) : undefined
}

/** What follows the pattern in `path`; undefined where it does not match. */
function match(pattern: string, path: string): string | undefined {
  if (!pattern.endsWith('/')) return pattern === path ? '' : undefined
  if (!path.startsWith(pattern)) return undefined
  const rest = path.slice(pattern.length)
  if (rest === '' || rest.includes('/')) return undefined
  try {
    return decodeURIComponent(rest)
  } catch {
    return undefined
  }
}

/** Reads a body to its end without keeping it. False when it is larger than anybody needs, or its sender vanished. */
async function drained(request: IncomingMessage): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) resolve(false)
  })
  request.once('end', () => resolve(true))
  request.once('error', () => resolve(false))
  request.once('close', () => resolve(false))
  return promise
}

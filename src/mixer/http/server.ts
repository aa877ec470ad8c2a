/**
 * The mixer's HTTP server: it finds the route, checks the token before a byte of the body is read, and writes answers.
 * Everything that a peer can do to it is bounded in size, time and number.
 */
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import type { TlsOptions } from 'node:tls'
import type { ErrorCode } from '../../core/errors.ts'
import type { Logger } from '../../runtime/logger.ts'
import { httpRequestError, isConnectionReset } from '../../runtime/node-errors.ts'
import type { Identify } from '../identity/identity.ts'
import { type Answer, refusal } from './answer.ts'
import { MAX_BODY_BYTES, readJson } from './body.ts'
import type { Call, Route } from './route.ts'

const MAX_HEADER_BYTES = 16 * 1024
const MAX_CONNECTIONS = 1_000

export interface ServerTimeouts {
  readonly headMs: number
  /** Head and body together. */
  readonly requestMs: number
  /** A connection on which nothing moves, also while an answer is not taken. */
  readonly stalledMs: number
  /** Between two calls; longer than proxies report, so that their connections stay. */
  readonly idleMs: number
  /** How often the limits of head and request are looked at. */
  readonly checkMs: number
}

export const SERVER_TIMEOUTS: ServerTimeouts = {
  headMs: 10_000,
  requestMs: 30_000,
  stalledMs: 60_000,
  idleMs: 65_000,
  checkMs: 1_000,
}

export type MixerServer = Server | TlsServer

export interface ServerDeps {
  /** Serves TLS with this, and nothing else; plain HTTP without it. */
  readonly tls?: TlsOptions | undefined
  readonly routes: readonly Route[]
  /** Whether an `Authorization` field opens the routes that need the token. */
  readonly authorized: (authorization: string | undefined) => boolean
  /** Which deployment a connection comes from, for the routes that are open to deployments. */
  readonly identify: Identify
  readonly onRefused: (code: ErrorCode) => void
  readonly logger: Logger
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** The server, not yet listening; the caller owns and closes it. */
export function createMixerServer(deps: ServerDeps, timeouts: ServerTimeouts): MixerServer {
  const options = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: timeouts.headMs,
    requestTimeout: timeouts.requestMs,
    keepAliveTimeout: timeouts.idleMs,
    connectionsCheckingInterval: timeouts.checkMs,
    // Refused below, with a problem instead of an empty answer.
    requireHostHeader: false,
  }
  const server =
    deps.tls === undefined
      ? createServer(options)
      : createTlsServer({ ...options, ...deps.tls, handshakeTimeout: timeouts.headMs })
  server.timeout = timeouts.stalledMs
  server.maxConnections = MAX_CONNECTIONS
  const latest = new WeakMap<Duplex, Exchange>()
  const serve = (exchange: Exchange, answer: Promise<Answer>): void => {
    latest.set(exchange.request.socket, exchange)
    void answer
      .catch((error: unknown) => {
        deps.logger.error({ err: error, path: pathOf(exchange.request) }, 'a call failed')
        return refusal('internal_error')
      })
      .then(given => respond(deps, exchange, given, server.listening))
  }
  server.on('request', (request, response) => serve({ request, response }, answerTo(deps, request)))
  server.on('checkExpectation', (request, response) =>
    serve({ request, response }, Promise.resolve(refusal('unsupported_expectation'))),
  )
  // Before node:https makes a clientError of it: whom there is no TLS with, there is nothing to say to.
  server.prependListener('tlsClientError', (_error, socket) => socket.destroy())
  server.on('clientError', (error, socket) => giveUp(deps, error, socket, latest.get(socket)))
  return server
}

function respond(
  deps: ServerDeps,
  { request, response }: Exchange,
  answer: Answer,
  keepAlive: boolean,
): void {
  if (answer.refused !== undefined) deps.onRefused(answer.refused)
  if (response.destroyed) return
  const { status, headers, body } = answer
  response.writeHead(status, {
    ...headers,
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
    ...(keepAlive ? {} : { connection: 'close' }),
  })
  if (!request.complete) discardRest(request)
  response.end(body)
}

/**
 * node:http has no response object for what it could not read or did not get in time. A problem is written where the peer
 * is owed an answer; it would be taken for something else after an answer that came before the end of its request, and
 * before one that is still being made.
 */
function giveUp(
  deps: ServerDeps,
  error: Error,
  socket: Duplex,
  latest: Exchange | undefined,
): void {
  const owed = latest === undefined || latest.request.complete === latest.response.headersSent
  if (!owed || !socket.writable || isConnectionReset(error)) {
    socket.destroy()
    return
  }
  const inBody = latest !== undefined && !latest.request.complete
  const code = httpRequestError(error)
  const {
    status,
    headers,
    body,
    refused = code,
  } = refusal(inBody && code === 'header_timeout' ? 'body_timeout' : code)
  deps.onRefused(refused)
  const fields = {
    ...headers,
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  }
  const head = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  const text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${head.join('')}\r\n${body}`
  socket.end(text, () => socket.destroy())
}

/**
 * Takes what the peer still sends of a request that is answered already. Closing the socket at once would make its kernel
 * send a reset, and that can overtake the answer; but neither is a body without end read.
 */
function discardRest(request: IncomingMessage): void {
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) request.socket.destroy()
  })
}

async function answerTo(deps: ServerDeps, request: IncomingMessage): Promise<Answer> {
  if (request.headers.host === undefined) return refusal('invalid_host')
  const path = pathOf(request)
  const known = deps.routes.filter(route => route.path === path)
  if (known.length === 0) return refusal('not_found')
  const route = known.find(
    ({ method }) => method === request.method || (method === 'GET' && request.method === 'HEAD'),
  )
  if (route === undefined)
    return refusal('method_not_allowed', { headers: { allow: allowed(known) } })
  return admit(deps, route, request, {
    headers: request.headers,
    search: new URLSearchParams(request.url?.slice(path.length)),
    body: maxBytes => readJson(request, maxBytes),
  })
}

async function admit(
  deps: ServerDeps,
  route: Route,
  request: IncomingMessage,
  call: Call,
): Promise<Answer> {
  if (route.access === 'open') return route.handle(call)
  const { authorization } = call.headers
  if (route.access === 'token' || (route.access === 'token-or-source' && authorization)) {
    return deps.authorized(authorization)
      ? route.handle(call)
      : refusal('unauthorized', { headers: { 'www-authenticate': 'Bearer realm="amt-mixer"' } })
  }
  const identified = await deps.identify(request.socket)
  if (identified.kind === 'unidentified') return refusal('unidentified_source')
  if (identified.kind === 'disabled') return refusal('tenant_disabled')
  return route.handle({ ...call, caller: identified.caller })
}

/** The target up to its query. In absolute form (`http://…`) it matches no route, and need not. */
function pathOf({ url = '' }: IncomingMessage): string {
  const query = url.indexOf('?')
  return query === -1 ? url : url.slice(0, query)
}

function allowed(routes: readonly Route[]): string {
  return routes.map(({ method }) => (method === 'GET' ? 'GET, HEAD' : method)).join(', ')
}

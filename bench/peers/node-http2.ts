/** What Node's own HTTP/2 makes of it: node:http2 in front, and node:http2 or undici behind it. */
import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import { type Dispatcher, Pool } from 'undici'
import { credentialField, tenantFinder } from './node-front.ts'
import { readSettings } from './node-program.ts'

const SETTINGS = { maxConcurrentStreams: 1_000, initialWindowSize: 1024 * 1024 }
const NO_IDENTITY = { ':status': 401, 'content-length': 0 }

const settings = readSettings()
const tenantOf = tenantFinder(settings)
const field = credentialField(settings)
const forward =
  settings.http2 === 'http2' ? forwarderToHttp2() : forwarderToHttp1(settings.upstream)

createServer({ settings: SETTINGS })
  .on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const tenant = tenantOf(headers)
    if (tenant === undefined) {
      stream.respond(NO_IDENTITY, { endStream: true })
      return
    }
    const request: OutgoingHttpHeaders = { ...headers }
    delete request[field]
    request['x-amt-tenant'] = tenant
    request['x-forwarded-for'] = stream.session?.socket.remoteAddress
    stream.on('error', () => {})
    forward(stream, tenant, request)
  })
  .listen(settings.port, '127.0.0.1', 4_096)

type Forward = (stream: ServerHttp2Stream, tenant: string, request: OutgoingHttpHeaders) => void

/** A session a tenant, as it has a deployment of its own; all its streams are on it. */
function forwarderToHttp2(): Forward {
  const sessions = new Map<string, ClientHttp2Session>()
  const sessionOf = (tenant: string): ClientHttp2Session => {
    const kept = sessions.get(tenant)
    if (kept !== undefined && !kept.closed) return kept
    const made = connect(`http://127.0.0.1:${settings.upstream}`, { settings: SETTINGS })
    sessions.set(tenant, made)
    return made
  }
  return (stream, tenant, request) => {
    const call = sessionOf(tenant).request(request, { endStream: stream.endAfterHeaders })
    let trailers: IncomingHttpHeaders | undefined
    call.on('response', (answer, flags) => {
      const endStream = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0
      const isGrpc = answer['content-type'] === 'application/grpc'
      stream.respond(answer, { endStream, waitForTrailers: isGrpc })
      if (isGrpc) stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}))
    })
    call.on('trailers', fields => {
      trailers = fields
    })
    call.on('error', () => stream.close(constants.NGHTTP2_INTERNAL_ERROR))
    if (!stream.endAfterHeaders) stream.pipe(call)
    call.pipe(stream)
  }
}

/** A pool a tenant. */
function forwarderToHttp1(port: number): Forward {
  const pools = new Map<string, Pool>()
  const poolOf = (tenant: string): Pool => {
    const kept = pools.get(tenant)
    if (kept !== undefined) return kept
    const made = new Pool(`http://127.0.0.1:${port}`, { keepAliveTimeout: 300_000 })
    pools.set(tenant, made)
    return made
  }
  return (stream, tenant, request) => {
    const options = {
      path: String(request[':path']),
      method: String(request[':method']),
      headers: http1Fields(request),
      body: stream.endAfterHeaders ? null : stream,
    }
    poolOf(tenant).dispatch(options, answerTo(stream))
  }
}

function http1Fields(request: OutgoingHttpHeaders): string[] {
  const fields = ['host', String(request[':authority'])]
  for (const [name, value] of Object.entries(request))
    if (!name.startsWith(':')) fields.push(name, String(value))
  return fields
}

function answerTo(stream: ServerHttp2Stream): Dispatcher.DispatchHandler {
  return {
    onRequestStart: controller => {
      stream.once('close', () => {
        if (!stream.writableFinished) controller.abort(new Error('the client has left'))
      })
    },
    onResponseStart: (_controller, status, headers) => {
      delete headers['connection']
      delete headers['keep-alive']
      delete headers['transfer-encoding']
      stream.respond({ ...headers, ':status': status })
    },
    onResponseData: (controller, chunk) => {
      if (stream.write(chunk)) return
      controller.pause()
      stream.once('drain', () => controller.resume())
    },
    onResponseEnd: () => stream.end(),
    onResponseError: () => stream.close(constants.NGHTTP2_INTERNAL_ERROR),
  }
}

/** The one place that turns an error code into an answer: problem details (RFC 9457), nothing about topology. */
import { ERRORS, type ErrorCode, problem } from '../../core/errors.ts'
import type { RateFields } from '../limits/rate-fields.ts'

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  408: 'Request Timeout',
  413: 'Content Too Large',
  414: 'URI Too Long',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  499: 'Client Closed Request',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  508: 'Loop Detected',
}

/** What a client may wait before it tries a deployment again that cannot be reached. */
const UNAVAILABLE_RETRY_SECONDS = 1

export interface ErrorAnswer {
  readonly requestId: string
  /** Whether the connection is closed behind the answer. */
  readonly close: boolean
  /** Whether the request was HEAD: the answer has no body then. */
  readonly head: boolean
  /** Whether it was a call of gRPC, which has a status of its own. */
  readonly grpc: boolean
  /** Where a limit is the reason. */
  readonly limited?: LimitedBy | undefined
}

/** What a client is told of a limit that it met. */
export interface LimitedBy {
  /** Until the call would fit; 0 where nobody can tell. */
  readonly retryAfterMs: number
  /** When a quota begins anew, in milliseconds since the epoch: it goes into the problem. */
  readonly resetAt?: number | undefined
  /** Of a rate or a quota. */
  readonly rate?: RateFields | undefined
}

/** An error code as a message of HTTP, of whatever version. */
export interface ErrorMessage {
  readonly status: number
  /** In lower case; without those of the connection. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

export function errorMessage(code: ErrorCode, answer: ErrorAnswer): ErrorMessage {
  const { http } = ERRORS[code]
  const { requestId, limited } = answer
  const { resetAt, retryAfterMs = 0, rate } = limited ?? {}
  const body = problem(
    code,
    undefined,
    resetAt === undefined ? undefined : { resetAt: new Date(resetAt).toISOString() },
  )
  const retrySeconds = retrySecondsOf(http, retryAfterMs)
  const fields: [string, string][] = [
    ['content-type', 'application/problem+json'],
    ['content-length', String(Buffer.byteLength(body))],
    ['cache-control', 'no-store'],
  ]
  if (requestId !== '') fields.push(['x-request-id', requestId])
  if (retrySeconds > 0) fields.push(['retry-after', String(retrySeconds)])
  for (const { name, value } of rate?.list ?? []) fields.push([name, value])
  // RFC 9110 §11.6.1: a 401 names a scheme.
  if (http === 401) fields.push(['www-authenticate', 'Bearer'], ['www-authenticate', 'ApiKey'])
  return { status: http, fields, body: answer.head ? '' : body }
}

function retrySecondsOf(status: number, retryAfterMs: number): number {
  if (retryAfterMs > 0) return Math.ceil(retryAfterMs / 1_000)
  return status === 503 ? UNAVAILABLE_RETRY_SECONDS : 0
}

/** The same as text of HTTP/1.1. */
export function errorText(code: ErrorCode, answer: ErrorAnswer): string {
  const { status, fields, body } = errorMessage(code, answer)
  let head = `HTTP/1.1 ${status} ${REASONS[status] ?? 'Error'}\r\n`
  for (const [name, value] of fields) head += `${name}: ${value}\r\n`
  return `${head}${answer.close ? 'connection: close\r\n' : ''}\r\n${body}`
}

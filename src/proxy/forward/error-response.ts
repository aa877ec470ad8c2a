/** The one place that turns an error code into HTTP/1.1 bytes: problem details (RFC 9457), nothing about topology. */
import { ERRORS, type ErrorCode, problem } from '../../core/errors.ts'

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
  /** Until a limited call would fit; 0 where no limit is the reason. */
  readonly retryAfterMs: number
  /** When a quota begins anew, in milliseconds since the epoch: it goes into the problem. */
  readonly resetAt?: number | undefined
}

export function errorResponse(code: ErrorCode, answer: ErrorAnswer): string {
  const { http } = ERRORS[code]
  const { resetAt } = answer
  const body = problem(
    code,
    undefined,
    resetAt === undefined ? undefined : { resetAt: new Date(resetAt).toISOString() },
  )
  const retrySeconds =
    answer.retryAfterMs > 0
      ? Math.ceil(answer.retryAfterMs / 1_000)
      : http === 503
        ? UNAVAILABLE_RETRY_SECONDS
        : 0
  return (
    `HTTP/1.1 ${http} ${REASONS[http] ?? 'Error'}\r\n` +
    'content-type: application/problem+json\r\n' +
    `content-length: ${Buffer.byteLength(body)}\r\n` +
    'cache-control: no-store\r\n' +
    (answer.requestId === '' ? '' : `x-request-id: ${answer.requestId}\r\n`) +
    (retrySeconds > 0 ? `retry-after: ${retrySeconds}\r\n` : '') +
    // RFC 9110 §11.6.1: a 401 names a scheme.
    (http === 401 ? 'www-authenticate: Bearer\r\nwww-authenticate: ApiKey\r\n' : '') +
    (answer.close ? 'connection: close\r\n' : '') +
    `\r\n${answer.head ? '' : body}`
  )
}

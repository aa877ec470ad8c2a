/** Valid requests and answers, made up by fast-check, and what a reader must find in them. */
import fc from 'fast-check'
import type { ReadAnswer, ReadRequest } from './codec-reading.ts'

/** How a body is told to end, and how it is cut into chunks. */
interface MadeBody {
  readonly chunked: boolean
  /** Of a body in chunks each chunk, else one piece. */
  readonly pieces: readonly string[]
  readonly extension: string
  readonly trailers: readonly string[]
}

interface MadeRequest extends MadeBody {
  readonly method: string
  readonly target: string
  readonly minor: number
  /** Lines other than those for host and framing. */
  readonly lines: readonly string[]
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'QUERY', "a!#$%&'*+"]
const TARGETS = ['/', '/a?b=c', '//a', '/%00', '/a/../b', 'http://a.example/b?c', '/{}|^`"<>', '/*']
const LINES = [
  'Accept: */*',
  'X-Empty:',
  'x: \t y \t',
  'Cookie: a=b; c="d"',
  'Connection: keep-alive',
  'Connection: x-hop',
  'connection: X-Hop , te',
  'X-Hop: 1',
  'TE: trailers',
  'Expect: 100-continue',
  'X-Amt-Tenant: other',
  'x_amt_tenant: other',
  'content_length: 7',
  'Transfer_Encoding: chunked',
  'X-Forwarded-For: 1.2.3.4',
  'Keep-Alive: timeout=5',
  'Via: 1.1 a',
  'obs: \xe4\xff',
]
const byte = fc.integer({ min: 0, max: 255 }).map(code => String.fromCharCode(code))
const piece = fc.oneof(
  fc.string({ unit: byte, maxLength: 30 }),
  fc.constantFrom('0\r\n\r\n', '\r\n', 'GET /2 HTTP/1.1\r\nHost: b\r\n\r\n', 'x'.repeat(300)),
  fc.constantFrom('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', '5\r\nhello\r\n'),
)
const body: fc.Arbitrary<MadeBody> = fc.record({
  chunked: fc.boolean(),
  pieces: fc.array(piece, { maxLength: 4 }),
  extension: fc.constantFrom('', '', ';a', ';a="b;c"', ';a=b;c'),
  trailers: fc.array(fc.constantFrom('x: y', 'Content-Length: 9', 'Expires: 0', 'obs:\xe4'), {
    maxLength: 2,
  }),
})

const request: fc.Arbitrary<MadeRequest> = fc
  .tuple(
    fc.record({
      method: fc.constantFrom(...METHODS),
      target: fc.constantFrom(...TARGETS),
      minor: fc.constantFrom(1, 1, 1, 0),
      lines: fc.uniqueArray(fc.constantFrom(...LINES), { maxLength: 6 }),
    }),
    body,
  )
  .map(([head, rest]) => ({ ...head, ...rest, chunked: rest.chunked && head.minor === 1 }))

/** One to four requests in a row on one connection. */
export const pipelines = fc.array(request, { minLength: 1, maxLength: 4 })

/** Lines that frame `made`, and what stands behind the head. */
function framed({ chunked, pieces, extension, trailers }: MadeBody): {
  lines: readonly string[]
  data: string
} {
  const data = pieces.join('')
  if (!chunked) return { lines: data === '' ? [] : [`Content-Length: ${data.length}`], data }
  const chunks = pieces
    .filter(each => each !== '')
    .map(each => `${each.length.toString(16)}${extension}\r\n${each}\r\n`)
  const end = `0${extension}\r\n${trailers.map(line => `${line}\r\n`).join('')}\r\n`
  return { lines: ['Transfer-Encoding: chunked'], data: `${chunks.join('')}${end}` }
}

const head = (lines: readonly string[]): string => `${lines.join('\r\n')}\r\n\r\n`

export function requestText(made: MadeRequest): string {
  const { method, target, minor, lines } = made
  const { lines: framing, data } = framed(made)
  return (
    head([`${method} ${target} HTTP/1.${minor}`, 'Host: a.example', ...lines, ...framing]) + data
  )
}

/** What is found of a body and its trailers. */
function foundBody({ chunked, pieces, trailers }: MadeBody): { body: string; trailers: string } {
  const kept = chunked ? trailers.filter(line => !line.startsWith('Content-Length')) : []
  return { body: pieces.join(''), trailers: kept.map(line => `${line}\r\n`).join('') }
}

export function foundRequest(made: MadeRequest): Partial<ReadRequest> {
  const { method, target, minor } = made
  return { method, target, minor, done: true, ...foundBody(made) }
}

interface MadeAnswer extends MadeBody {
  readonly method: string
  readonly interim: readonly number[]
  readonly status: number
  readonly untilClose: boolean
}

/** An answer to a request with `method`, with interim ones before it. */
export const answers: fc.Arbitrary<MadeAnswer> = fc
  .tuple(
    fc.record({
      method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD'),
      interim: fc.array(fc.constantFrom(100, 102, 103, 199), { maxLength: 3 }),
      status: fc.constantFrom(200, 200, 204, 205, 206, 301, 304, 404, 500, 599),
      untilClose: fc.constantFrom(false, false, true),
    }),
    body,
  )
  .map(([around, rest]) => ({ ...around, ...rest }))

function hasBody({ method, status }: MadeAnswer): boolean {
  return method !== 'HEAD' && status !== 204 && status !== 304
}

export function answerText(made: MadeAnswer): string {
  const { interim, status, untilClose } = made
  const { lines, data } = framed(made)
  const before = interim.map(each => head([`HTTP/1.1 ${each} Wait`, 'Link: </a>'])).join('')
  if (!hasBody(made))
    return before + head([`HTTP/1.1 ${status} x`, ...(status === 204 ? [] : lines)])
  if (untilClose) return before + head([`HTTP/1.1 ${status} x`, 'X: y']) + made.pieces.join('')
  const framing = lines.length === 0 ? ['Content-Length: 0'] : lines
  return before + head([`HTTP/1.1 ${status}`, 'X: y', ...framing]) + data
}

export function foundAnswers(made: MadeAnswer): Partial<ReadAnswer>[] {
  const { interim, status, untilClose, pieces } = made
  const before = interim.map(each => ({ status: each, body: '', trailers: '', done: true }))
  const found = hasBody(made)
    ? untilClose
      ? { body: pieces.join(''), trailers: '', done: false }
      : { ...foundBody(made), done: true }
    : { body: '', trailers: '', done: true }
  return [...before, { status, ...found }]
}

/** Whether bytes behind the answer belong to it. */
export function endsWithConnection(made: MadeAnswer): boolean {
  return hasBody(made) && made.untilClose
}

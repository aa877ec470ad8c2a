/** Requests made up for the fuzzers, what they are made of, and the damage that is done to them. */
import fc from 'fast-check'
import { bytesOf, loadHttp1Cases } from '../support/http1-cases.ts'

/** How long one property may run; `AMT_FUZZ_MS` for a long run. */
export const BUDGET_MS = Number(process.env['AMT_FUZZ_MS'] ?? 5_000)
/** `AMT_FUZZ_SEED` repeats a run. */
export const SEED = Number(process.env['AMT_FUZZ_SEED'] ?? Date.now() & 0x7fffffff)

/** Runs until the time is over, however many that are. `part` is the share of the budget. */
export const parameters = (part: number): fc.Parameters<unknown> => ({
  seed: SEED,
  numRuns: 10_000_000,
  interruptAfterTimeLimit: BUDGET_MS * part,
  markInterruptAsFailure: false,
})

export interface Made {
  readonly method: string
  readonly target: string
  readonly minor: number
  /** Lines other than those for host and framing. */
  readonly lines: readonly string[]
  readonly chunked: boolean
  /** Of a body in chunks each piece, else one piece. */
  readonly body: readonly string[]
  readonly extension: string
  readonly trailers: readonly string[]
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'QUERY']
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
  fc.string({ unit: byte, maxLength: 40 }),
  fc.constantFrom('0\r\n\r\n', '\r\n', 'GET /2 HTTP/1.1\r\nHost: b\r\n\r\n', 'x'.repeat(300)),
)

export const messages: fc.Arbitrary<Made> = fc.record({
  method: fc.constantFrom(...METHODS),
  target: fc.constantFrom(...TARGETS),
  minor: fc.constantFrom(1, 1, 1, 0),
  lines: fc.uniqueArray(fc.constantFrom(...LINES), { maxLength: 6 }),
  chunked: fc.boolean(),
  body: fc.array(piece, { maxLength: 4 }),
  extension: fc.constantFrom('', '', ';a', ';a="b;c"'),
  trailers: fc.array(fc.constantFrom('x: y', 'Content-Length: 9', 'Expires: 0'), { maxLength: 2 }),
})

export function inChunks({ chunked, minor }: Made): boolean {
  return chunked && minor === 1
}

export function textOf(made: Made): string {
  const { method, target, minor, lines, body, extension, trailers } = made
  const data = body.join('')
  const framing = inChunks(made)
    ? ['Transfer-Encoding: chunked']
    : data === ''
      ? []
      : [`Content-Length: ${data.length}`]
  const chunks = body
    .filter(each => each !== '')
    .map(each => `${each.length.toString(16)}${extension}\r\n${each}\r\n`)
  const end = `0${extension}\r\n${trailers.map(line => `${line}\r\n`).join('')}\r\n`
  const head = [`${method} ${target} HTTP/1.${minor}`, 'Host: a.example', ...lines, ...framing]
  return `${head.join('\r\n')}\r\n\r\n${inChunks(made) ? `${chunks.join('')}${end}` : data}`
}

interface Damage {
  readonly kind: 'replace' | 'insert' | 'delete' | 'repeat'
  readonly at: number
  readonly text: string
}

/** What turns one reading of a message into another. */
const TELLING = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '0',
  '-',
  '+',
  '\x0b',
  '\x85',
  '\xa0',
  '_',
  '#',
  '@',
]
const SMUGGLED = [
  '\r\nContent-Length: 3',
  '\r\nTransfer-Encoding: chunked',
  '\r\nTransfer-Encoding: x',
  '\r\n folded',
  'Content-Length : 3\r\n',
  '\r\nHost: b',
  '\r\n\r\n',
  '0x',
]
const damage: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom('replace', 'insert', 'delete', 'repeat'),
  at: fc.nat(600),
  text: fc.oneof(fc.constantFrom(...TELLING), fc.constantFrom(...SMUGGLED), byte),
})

function damaged(text: string, { kind, at, text: by }: Damage): string {
  const place = at % (text.length + 1)
  const [before, behind] = [text.slice(0, place), text.slice(place)]
  if (kind === 'insert') return before + by + behind
  if (kind === 'delete') return before + behind.slice(by.length)
  if (kind === 'replace') return before + by + behind.slice(by.length)
  return before + behind.slice(0, 20) + behind
}

/** Requests that others wrote, where they are to be had: what damage begins with, besides requests of our own. */
export const CORPUS: readonly string[] = (loadHttp1Cases() ?? [])
  .map(each => bytesOf(each).toString('latin1'))
  .filter(text => text.length < 2_000)

const begin =
  CORPUS.length === 0
    ? messages.map(textOf)
    : fc.oneof(messages.map(textOf), fc.constantFrom(...CORPUS))

/** Bytes, as text, that are nearly a request. */
export const mutants: fc.Arbitrary<string> = fc
  .tuple(begin, fc.array(damage, { maxLength: 4 }))
  .map(([text, all]) => all.reduce(damaged, text))

/**
 * Calls that fast-check makes up, from what the client says to what the deployment answers, and what both ends of one have
 * seen in the end. Who carries them out is in `exchange/`: each of them sends what an exchange says, and notes what it hears.
 */
import { createHash } from 'node:crypto'
import fc from 'fast-check'

export type Lines = readonly (readonly [name: string, value: string])[]

export interface Exchange {
  /** Of no other exchange of this process. */
  readonly id: number
  /** Among those that go on at the same time. */
  readonly seat: number
  readonly method: string
  readonly path: string
  readonly fields: Lines
  /** Octets of each piece of the body. */
  readonly body: readonly number[]
  /** Whether the body says how long it is. */
  readonly sized: boolean
  readonly trailers: Lines
  /** The client gives up once the answer has begun; then it never ends. */
  readonly abandoned: boolean
  readonly answer: Answer
}

interface Answer {
  /** How many 103 come before it. */
  readonly interim: number
  readonly status: number
  readonly fields: Lines
  readonly body: readonly number[]
  readonly sized: boolean
  readonly trailers: Lines
  /** It begins before the request is whole; it never ends before that. */
  readonly early: boolean
  /** The deployment resets the stream instead of answering, or of ending its answer. */
  readonly reset: 'none' | 'before' | 'behind head'
}

/** Names are in lower case and in order; values of one name are one, as `, ` and `; ` join them. */
export interface SeenMessage {
  readonly fields: readonly string[]
  readonly octets: number
  readonly digest: string
  readonly trailers: readonly string[]
}

export interface SeenRequest extends SeenMessage {
  readonly method: string
  readonly path: string
  readonly authority: string
  /** `cut`: the client gave up, or was given up on. */
  readonly end: 'whole' | 'cut'
}

export interface SeenAnswer extends SeenMessage {
  readonly interim: readonly (readonly string[])[]
  /** 0: none came. */
  readonly status: number
  readonly end: 'whole' | 'cut' | 'given up'
  /** With which the stream was reset; -1 where it was not, or that cannot be said. */
  readonly code: number
}

/** With which clients give up. */
export const CANCEL = 8
export const AUTHORITY = 'acme.test'
export const INTERIM: Lines = [['link', '</style.css>; rel=preload']]
/** Says which exchange it is. */
export const NUMBER = 'x-exchange'

const line = (name: string, ...values: string[]): fc.Arbitrary<readonly [string, string]> =>
  fc.constantFrom(...values).map(value => [name, value] as const)

/** None twice, but where that means something. */
const requestFields: fc.Arbitrary<Lines> = fc
  .subarray([
    line('accept', '*/*', 'text/html, application/json;q=0.9'),
    line('accept-encoding', 'gzip', ''),
    line('cookie', 'a=b', 'a="b c"'),
    line('cookie', 'c=d; e=f'),
    line('content-type', 'application/json', 'application/octet-stream'),
    line('x-empty', ''),
    line('x-text', '!#$%&\'*+-.^_`|~ \t:;,=()[]{}<>?@/\\"'),
    line('x-obs', '\xe4\xf6\xfc'),
    line('x-long', 'long '.repeat(200).trim()),
    line('x-twice', '1'),
    line('x-twice', '2', '1'),
    line('priority', 'u=1', 'u=7, i'),
    line('user-agent', 'differential/1.0'),
    line('te', 'trailers'),
    line('traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
  ])
  .chain(some => (some.length === 0 ? fc.constant<Lines>([]) : fc.tuple(...some)))

const answerFields: fc.Arbitrary<Lines> = fc
  .subarray([
    line('content-type', 'text/plain', 'text/html; charset=utf-8'),
    line('set-cookie', 'a=b; Path=/'),
    line('set-cookie', 'c=d; HttpOnly'),
    line('cache-control', 'no-store', 'max-age=60'),
    line('etag', '"abc"', 'W/"abc"'),
    line('vary', 'accept', '*'),
    line('x-empty', ''),
    line('x-obs', '\xe4\xf6\xfc'),
    line('x-long', 'long '.repeat(200).trim()),
    line('server', 'of the application'),
    line('www-authenticate', 'Basic realm="x"'),
  ])
  .chain(some => (some.length === 0 ? fc.constant<Lines>([]) : fc.tuple(...some)))

const trailers: fc.Arbitrary<Lines> = fc.constantFrom<Lines[]>(
  [],
  [],
  [['x-sum', '1']],
  [
    ['x-sum', '2'],
    ['grpc-status', '0'],
    ['grpc-message', ''],
  ],
)

/** More than a frame, and more than the windows with which a connection begins, now and then. */
const pieces: fc.Arbitrary<readonly number[]> = fc.oneof(
  { weight: 4, arbitrary: fc.array(fc.nat({ max: 300 }), { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.array(fc.nat({ max: 40_000 }), { maxLength: 4 }) },
)

const BODILESS_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE'])
const BODILESS: ReadonlySet<number> = new Set([204, 304])

const anAnswer: fc.Arbitrary<Answer> = fc.record({
  interim: fc.constantFrom(0, 0, 0, 1, 2),
  status: fc.constantFrom(200, 200, 200, 201, 204, 206, 304, 400, 404, 500, 599),
  fields: answerFields,
  body: pieces,
  sized: fc.boolean(),
  trailers,
  early: fc.boolean(),
  reset: fc.constantFrom('none', 'none', 'none', 'none', 'before', 'behind head'),
})

/** Calls that go on at the same time, on one connection. Whoever has them carried out gives them numbers. */
export const exchanges: fc.Arbitrary<Exchange[]> = fc
  .array(
    fc.record({
      method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'QUERY'),
      path: fc.constantFrom(
        '/',
        '/a/b?c=d&e',
        '//a/../%00;b',
        "/!$&'()*+,;=:@~",
        `/${'p'.repeat(500)}`,
      ),
      fields: requestFields,
      body: pieces,
      sized: fc.boolean(),
      trailers,
      abandoned: fc.constantFrom(false, false, false, false, true),
      answer: anAnswer,
    }),
    { minLength: 1, maxLength: 5 },
  )
  .map(all => all.map((each, seat) => sensible({ ...each, id: 0, seat })))

/** Takes out what no message of its kind may have. */
function sensible(made: Exchange): Exchange {
  const bodiless = BODILESS_METHODS.has(made.method)
  const silent = made.method === 'HEAD' || BODILESS.has(made.answer.status)
  const body = bodiless ? [] : made.body
  const { answer } = made
  // Node ends with a failed assertion where a stream that waits for trailers is reset.
  const reset = made.abandoned || answer.reset !== 'none'
  return {
    ...made,
    body,
    trailers: body.length === 0 || reset ? [] : made.trailers,
    sized: made.sized && made.trailers.length === 0,
    // An answer without a body is over with its head.
    abandoned: made.abandoned && !silent && answer.reset === 'none',
    answer: {
      ...answer,
      // Node's HTTP/1.1 writes a head without a body as UTF-8.
      fields:
        made.abandoned || answer.early || reset ? answer.fields.filter(isAscii) : answer.fields,
      // A reset may overtake them.
      interim: answer.reset === 'before' ? 0 : answer.interim,
      body: silent ? [] : answer.body,
      trailers: silent || reset || answer.body.length === 0 ? [] : answer.trailers,
      // In HTTP/1.1 an answer is over with the last octet that was announced, and what comes behind it is not of it.
      sized: answer.sized && answer.trailers.length === 0 && !silent && !reset && !answer.early,
      // A connection that is cut with a body unread may lose the head as well.
      early: answer.early && !silent && !(answer.reset === 'behind head' && body.length > 0),
      reset: silent && answer.reset === 'behind head' ? 'none' : answer.reset,
    },
  }
}

function isAscii([name]: readonly [string, string]): boolean {
  return name !== 'x-obs'
}

/** What piece `index` of `sender` holds in this exchange. */
export function pieceOf(
  exchange: Exchange,
  sender: 'client' | 'deployment',
  index: number,
): Buffer {
  const sizes = sender === 'client' ? exchange.body : exchange.answer.body
  return Buffer.alloc(sizes[index] ?? 0, `${exchange.seat}.${index}.${sender} `)
}

/** What the client sends but for pseudo-header fields. */
export function requestLines({ id, fields, body, sized }: Exchange): Lines {
  const length: Lines = sized && body.length > 0 ? [['content-length', `${sum(body)}`]] : []
  return [[NUMBER, `${id}`], ...fields, ...length]
}

export function answerLines({ answer: { fields, body, sized }, abandoned }: Exchange): Lines {
  return sized && !abandoned ? [...fields, ['content-length', `${sum(body)}`]] : fields
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all + size, 0)
}

/** Gathers one message. */
export class Notes {
  octets = 0
  trailers: readonly string[] = []
  readonly #digest = createHash('sha256')

  data(bytes: Buffer): void {
    this.octets += bytes.length
    this.#digest.update(bytes)
  }

  message(fields: Lines): SeenMessage {
    const { octets, trailers: behind } = this
    return {
      fields: inOrder(fields),
      octets,
      digest: this.#digest.copy().digest('base64url').slice(0, 12),
      trailers: behind,
    }
  }
}

/** Lines in a form in which their order and number do not matter, where they do not matter (RFC 9110 §5.3, RFC 9113 §8.2.3). */
export function inOrder(lines: Lines): string[] {
  const byName = new Map<string, string[]>()
  for (const [given, value] of lines) {
    const name = given.toLowerCase()
    if (name.startsWith(':') || name === 'content-length' || name === 'date') continue
    byName.set(name, [...(byName.get(name) ?? []), value])
  }
  return [...byName]
    .map(([name, values]) => `${name}: ${values.join(name === 'cookie' ? '; ' : ', ')}`)
    .toSorted()
}

/** Pairs out of a list of names and values in turn. */
export function pairs(raw: readonly string[]): Lines {
  return Array.from({ length: raw.length / 2 }, (_, index) => [
    raw[2 * index] as string,
    raw[2 * index + 1] as string,
  ])
}

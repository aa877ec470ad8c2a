/**
 * An HTTP/1.1 reader that accepts RFC 9112 and nothing else: the judge of what the proxy sends to deployments and to
 * clients. On purpose nothing like the codec of the proxy: it matches the grammar with expressions over the whole
 * text, is slow, and knows no leniency, so that the two are unlikely to be wrong in the same way.
 */
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const QUOTED =
  '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t \\x21-\\x7e\\x80-\\xff])*"'
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21-\\x7e]+) HTTP/(1\\.[01])$`)
const STATUS_LINE = /^HTTP\/1\.[01] ([1-5]\d\d)(?: [\t \x21-\x7e\x80-\xff]*)?$/
const FIELD_LINE = new RegExp(
  `^(${TOKEN}):[\\t ]*((?:[\\x21-\\x7e\\x80-\\xff](?:[\\t \\x21-\\x7e\\x80-\\xff]*[\\x21-\\x7e\\x80-\\xff])?)?)[\\t ]*$`,
)
const CHUNK_LINE = new RegExp(
  `^([0-9A-Fa-f]{1,12})(?:[\\t ]*;[\\t ]*${TOKEN}(?:[\\t ]*=[\\t ]*(?:${TOKEN}|${QUOTED}))?)*$`,
)
const HOST = /^[A-Za-z0-9\-._~!$&'()*+,;=%:[\]]*$/
const CRLF = '\r\n'

export type Fields = readonly (readonly [name: string, value: string])[]

export interface StrictMessage {
  /** Name in lower case, value without surrounding whitespace, in the order received. */
  readonly fields: Fields
  readonly body: Buffer
}
export interface StrictRequest extends StrictMessage {
  readonly method: string
  readonly target: string
  readonly version: string
}
export interface StrictAnswer extends StrictMessage {
  readonly status: number
}
export type StrictResult<Message> =
  | { readonly kind: 'message'; readonly message: Message; readonly length: number }
  /** Well-formed so far. */
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'violation'; readonly rule: string }

/** How the reading stopped short of a message; thrown only inside this file. */
class Stop extends Error {
  readonly rule: string | undefined
  constructor(rule?: string) {
    super(rule ?? 'incomplete')
    this.rule = rule
  }
}
function demand(holds: boolean, rule: string): asserts holds {
  if (!holds) throw new Stop(rule)
}

/** The first request in `bytes`. */
export function readStrictRequest(bytes: Buffer): StrictResult<StrictRequest> {
  return attempt(() => {
    const { start, fields, at } = head(bytes)
    const [, method, target, version] = REQUEST_LINE.exec(start) ?? []
    demand(
      method !== undefined && target !== undefined && version !== undefined,
      `request line ${show(start)}`,
    )
    const hosts = valuesOf(fields, 'host')
    demand(
      hosts.length === 1 && HOST.test(hosts[0] ?? ''),
      `one valid Host, not ${show(hosts.join(', '))}`,
    )
    const framing = framingOf(fields)
    demand(framing !== 'chunked' || version === '1.1', 'no Transfer-Encoding in HTTP/1.0')
    const { body, end } = bodyOf(bytes, at, framing ?? 0)
    return { message: { method, target, version, fields, body }, length: end }
  })
}

/** The first answer in `bytes`; `method` is that of its request, `closed` says that no more bytes will come. */
export function readStrictAnswer(
  bytes: Buffer,
  { method, closed }: { method: string | undefined; closed: boolean },
): StrictResult<StrictAnswer> {
  return attempt(() => {
    const { start, fields, at } = head(bytes)
    const status = Number(STATUS_LINE.exec(start)?.[1])
    demand(!Number.isNaN(status), `status line ${show(start)}`)
    const framing = framingOf(fields)
    const bodyless = method === 'HEAD' || status < 200 || status === 204 || status === 304
    const toTheEnd = !bodyless && framing === undefined
    if (toTheEnd && !closed) throw new Stop()
    const wanted = bodyless ? 0 : (framing ?? bytes.length - at)
    const { body, end } = bodyOf(bytes, at, wanted)
    return { message: { status, fields, body }, length: end }
  })
}

export function valuesOf(fields: Fields, name: string): string[] {
  return fields.filter(field => field[0] === name).map(field => field[1])
}

function attempt<Message>(read: () => { message: Message; length: number }): StrictResult<Message> {
  try {
    return { kind: 'message', ...read() }
  } catch (error) {
    if (!(error instanceof Stop)) throw error
    return error.rule === undefined
      ? { kind: 'incomplete' }
      : { kind: 'violation', rule: error.rule }
  }
}

/** Start line and fields; `at` is where the body begins. */
function head(bytes: Buffer): { start: string; fields: Fields; at: number } {
  const { lines, at } = linesToEmpty(bytes, 0)
  const [start = '', ...fieldLines] = lines
  return { start, fields: fieldLines.map(field), at }
}

/** Lines up to the empty one. A lone CR, LF or a NUL anywhere in them is a violation even before they are complete. */
function linesToEmpty(bytes: Buffer, from: number): { lines: string[]; at: number } {
  const text = bytes.toString('latin1', from)
  const end = text.startsWith(CRLF) ? 0 : text.indexOf(CRLF + CRLF)
  const section = end === -1 ? text.replace(/\r$/, '') : text.slice(0, end)
  demand(!/\r(?!\n)|(?<!\r)\n|\0/.test(section), `no bare CR, LF or NUL in ${show(section)}`)
  if (end === -1) throw new Stop()
  if (end === 0) return { lines: [], at: from + 2 }
  return { lines: section.split(CRLF), at: from + end + 4 }
}

function field(line: string): readonly [string, string] {
  demand(!/^[\t ]/.test(line), `no line folding: ${show(line)}`)
  const [, name, value] = FIELD_LINE.exec(line) ?? []
  demand(name !== undefined && value !== undefined, `field line ${show(line)}`)
  return [name.toLowerCase(), value]
}

/** RFC 9112 section 6: a length, chunks, or nothing said; anything that two readers might see differently violates. */
function framingOf(fields: Fields): number | 'chunked' | undefined {
  const lengths = valuesOf(fields, 'content-length')
  const codings = valuesOf(fields, 'transfer-encoding')
  demand(lengths.length + codings.length <= 1, `one of Content-Length and Transfer-Encoding, once`)
  const [length] = lengths
  const [coding] = codings
  if (length !== undefined) {
    demand(/^\d{1,15}$/.test(length), `plain Content-Length, not ${show(length)}`)
    return Number(length)
  }
  if (coding === undefined) return undefined
  demand(coding.toLowerCase() === 'chunked', `Transfer-Encoding chunked, not ${show(coding)}`)
  return 'chunked'
}

function bodyOf(
  bytes: Buffer,
  at: number,
  framing: number | 'chunked',
): { body: Buffer; end: number } {
  if (framing === 'chunked') return chunks(bytes, at)
  if (bytes.length < at + framing) throw new Stop()
  return { body: bytes.subarray(at, at + framing), end: at + framing }
}

function chunks(bytes: Buffer, from: number): { body: Buffer; end: number } {
  const parts: Buffer[] = []
  let at = from
  for (;;) {
    const lineEnd = bytes.indexOf(CRLF, at, 'latin1')
    const line = bytes.toString('latin1', at, lineEnd === -1 ? bytes.length : lineEnd)
    demand(
      !/[\r\n\0]/.test(lineEnd === -1 ? line.replace(/\r$/, '') : line),
      `chunk line ${show(line)}`,
    )
    if (lineEnd === -1) throw new Stop()
    const size = Number.parseInt(CHUNK_LINE.exec(line)?.[1] ?? 'none', 16)
    demand(!Number.isNaN(size), `chunk line ${show(line)}`)
    at = lineEnd + 2
    if (size === 0) break
    if (bytes.length < at + size + 2) throw new Stop()
    parts.push(bytes.subarray(at, at + size))
    demand(bytes.toString('latin1', at + size, at + size + 2) === CRLF, 'CRLF after chunk data')
    at += size + 2
  }
  const trailers = linesToEmpty(bytes, at)
  for (const [name] of trailers.lines.map(field)) {
    demand(!/^(content-length|transfer-encoding|host)$/.test(name), `no ${name} in trailers`)
  }
  return { body: Buffer.concat(parts), end: trailers.at }
}

function show(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text)
}

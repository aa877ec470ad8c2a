/**
 * Byte-level HTTP/1.1 cases that others wrote (read beside the repository, see README there), and what this project
 * expects of those that proxies do not agree on.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { readStrictRequest } from './strict-http1.ts'

const DATA = new URL('../../../shared/conformance/http1/', import.meta.url)

export interface Http1Case {
  readonly id: string
  readonly title: string
  /** Base64. */
  readonly send: readonly string[]
  /** accept: exactly `n` requests arrive; reject: refused after at most `n`; wait: no more than `n`; safe: no verdict. */
  readonly expect: 'accept' | 'reject' | 'wait' | 'safe'
  readonly n: number
  readonly requests?: readonly {
    readonly method: string
    readonly target: string
    readonly body?: string
  }[]
  readonly needsHost?: boolean
  /** Ranges of statuses, one of which the last answer has; [-1, -1] stands for none. */
  readonly status?: readonly (readonly [least: number, most: number])[]
  /** Of a case of this project: the answer that refuses it, to the letter. Its bytes are sent as they are. */
  readonly own?: { readonly refusal?: Refusal }
  /** Why this project expects something else than the source of the case. */
  readonly judged?: string
}

export interface Refusal {
  readonly status: number
  /** Of `core/errors.ts`. */
  readonly code: string
}

/** All cases, contested ones as this project judges them; `undefined` where the data is absent. */
export function loadHttp1Cases(): Http1Case[] | undefined {
  if (!existsSync(DATA)) return undefined
  const text = (name: string): string => readFileSync(new URL(name, DATA), 'utf8')
  const contested = new Set(JSON.parse(text('contested.json')) as string[])
  return readdirSync(DATA)
    .filter(name => name.endsWith('.jsonl'))
    .flatMap(name => text(name).trim().split('\n'))
    .map(line => JSON.parse(line) as Http1Case)
    .map(given => judged(given, contested.has(given.id)))
}

interface Judgement {
  readonly expect: Http1Case['expect']
  readonly n?: number
  readonly why: string
  readonly ids: RegExp
}

/** Of the ids in `contested.json`; what none of them names stays as its source has it. */
const CONTESTED: readonly Judgement[] = [
  {
    expect: 'reject',
    why: 'only the coding "chunked" is served; another, or two, is read differently by different parsers',
    ids: /^aws\S+compliant-tests\/0[5789]$|^aws\S+rfc-compliant\/(08|09|10)$|^gunicorn\/valid\/(009|025|025_line|029|030|rfc9112_smuggle_\w+)$|^llhttp\/transfer-encoding:(753|795)$/,
  },
  {
    expect: 'reject',
    why: 'the target is none of the four forms (RFC 9112 section 3.2), or names no resource of a deployment',
    ids: /^httparse-uri\/|^aws\S+rfc-compliant\/13$|^gunicorn\/valid\/(027|rfc9112_target_authority_\w+)$|^llhttp\/sample:316$/,
  },
  {
    expect: 'reject',
    why: 'a line that does not end in CRLF, or a field name before whitespace, or a protocol that is not HTTP',
    ids: /^httparse\/test_request_(empty_lines_prefix_lf_only|path_backslash)$|^gunicorn\/valid\/028$|^llhttp\/method:(374|404|432)$/,
  },
  {
    expect: 'reject',
    n: 1,
    why: 'the first request is whole, the second is not valid',
    ids: /^llhttp\/connection:158$/,
  },
  {
    expect: 'accept',
    n: 1,
    why: 'any token is a method or field name, and fields may come twice; the limits are those of another program',
    ids: /^gunicorn\/invalid\/(010|011|012|019|041)$|^llhttp\/invalid:(68|358)$/,
  },
  {
    expect: 'wait',
    why: 'not complete, and right so far',
    ids: /^aws\S+compliant-tests\/06$|^gunicorn\/valid\/099$|^gunicorn\/invalid\/(001|rfc9112_chunked_missing_final_crlf_01)$/,
  },
  {
    expect: 'safe',
    why: 'the specification leaves it open, or it depends on limits, which a proxy sets as it likes',
    ids: /^gunicorn\/invalid\/(006|007|008|017|040|chunked_07|limit_header_default_01|rfc9110_trailer_\w+)$|^llhttp\/(content-length:77|invalid:511|uri:224|connection:296|transfer-encoding:(330|426))$|^httparse\/test_request_empty_lines_prefix$/,
  },
]

/** Of ids that are not contested, where the specification is on the side of this project. */
const STRICTER: readonly Judgement[] = [
  {
    expect: 'reject',
    why: 'no fragment is part of a target (RFC 9112 section 3.2)',
    ids: /^aws\S+rfc-compliant\/11$|^gunicorn\/valid\/005$|^llhttp\/uri:167$/,
  },
  {
    expect: 'reject',
    why: 'userinfo is an error in a target (RFC 9110 section 4.2.4)',
    ids: /^gunicorn\/valid\/rfc9112_target_absolute_userinfo_01$/,
  },
  {
    expect: 'reject',
    why: 'only OPTIONS has the target * (RFC 9112 section 3.2.4)',
    ids: /^llhttp\/method:137$/,
  },
  {
    expect: 'reject',
    why: 'a bare LF may be taken as the end of a line (RFC 9112 section 2.2), but not every parser does',
    ids: /^httparse\/test_request_newlines$/,
  },
  {
    expect: 'accept',
    n: 1,
    why: 'any token is a method (RFC 9110 section 9.1)',
    ids: /^gunicorn\/invalid\/003c$/,
  },
  {
    expect: 'wait',
    why: 'the head has not ended; it is refused when it has, or when its time is over',
    ids: /^llhttp\/content-length:102$/,
  },
]

/** The source cut this expected target at its first quote. */
const FLAWED: ReadonlySet<string> = new Set(['llhttp/uri:6'])

function judged(given: Http1Case, contested: boolean): Http1Case {
  const { requests: _, status: __, ...unspecified } = given
  if (FLAWED.has(given.id)) return { ...unspecified, judged: 'the expected target is cut off' }
  const found = (contested ? CONTESTED : STRICTER).find(({ ids }) => ids.test(given.id))
  if (found === undefined) return given
  const { expect, n = 0, why } = found
  return { ...unspecified, expect, n, judged: why }
}

/** A case about this very fault must keep it. */
const WITHOUT_HOST: ReadonlySet<string> = new Set(['h1spec/20'])

/**
 * The bytes of a case, with a Host where they lack one: most sources test parsers, which do not ask for it, and a
 * proxy that refuses them for that alone would not have been tested at all. It goes behind all fields, which leaves
 * what the case is about as it is. A second request gets one only if where it begins is beyond doubt.
 */
export function bytesOf({ id, send, needsHost = false, own }: Http1Case): Buffer {
  let rest: Buffer = Buffer.concat(send.map(part => Buffer.from(part, 'base64')))
  if (own !== undefined || WITHOUT_HOST.has(id)) return rest
  const done: Buffer[] = []
  for (;;) {
    const { bytes, length } = withHost(rest, needsHost)
    if (length === undefined) return Buffer.concat([...done, bytes])
    done.push(bytes.subarray(0, length))
    rest = bytes.subarray(length)
  }
}

/** `length`: of the first request, if strict readers agree on it (section 2.2 allows empty lines before it). */
function withHost(given: Buffer, always: boolean): { bytes: Buffer; length: number | undefined } {
  const text = given.toString('latin1')
  const [empty = ''] = /^(?:\r?\n)*/.exec(text) ?? []
  const end = /\r?\n\r?\n/.exec(text.slice(empty.length))
  if (end === null) return { bytes: given, length: undefined }
  const at = empty.length + end.index
  const head = text.slice(0, at)
  if (/^host[ \t]*:/im.test(head)) return { bytes: given, length: lengthOf(given, empty.length) }
  // Section 3.2: the authority of an absolute target, if it is one, is what Host has to say.
  const host =
    /^\S+ https?:\/\/(?:[^/?#@ ]*@)?([^/?# ]+)/i.exec(head.trimStart())?.[1] ?? 'example.com'
  const line = `${end[0].startsWith('\r') ? '\r\n' : '\n'}Host: ${host}`
  const bytes = Buffer.from(head + line + text.slice(at), 'latin1')
  const length = lengthOf(bytes, empty.length)
  if (always || /^\S+ [^\r\n]+ HTTP\/1\.1[ \t]*\r?$/m.test(head)) return { bytes, length }
  return { bytes: given, length: length === undefined ? undefined : length - line.length }
}

function lengthOf(bytes: Buffer, at: number): number | undefined {
  const result = readStrictRequest(bytes.subarray(at))
  return result.kind === 'message' ? at + result.length : undefined
}

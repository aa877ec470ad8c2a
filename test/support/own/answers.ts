/**
 * Answers of a deployment, byte by byte, and what must become of them: they pass, or the client gets 502, or an answer
 * that has begun is cut. RFC 9112 sections 4 to 7 and 9, RFC 9110 section 15.
 */
import type { AnswerCase } from '../answer-lab.ts'

export interface OwnAnswer extends AnswerCase {
  readonly name: string
  /** What the client gets: this status and body, or an error code, or a connection that is cut behind the head. */
  readonly wanted:
    | { readonly status: number; readonly body: string }
    | { readonly error: string }
    | 'cut'
  /** Whether the connection of the deployment may serve a next call. */
  readonly kept: boolean
}

interface Around {
  readonly method?: string
  readonly minor?: number
  readonly ending?: AnswerCase['ending']
}

const head = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`
const ok = (...lines: string[]): string => head('HTTP/1.1 200 OK', ...lines)
const chunked = (body: string): string => ok('Transfer-Encoding: chunked') + body
const FIVE = 'Content-Length: 5'
const HELLO = '5\r\nhello\r\n'
const LAST = '0\r\n\r\n'
const GOOD = `${ok(FIVE)}hello`
const OTHER = `${head('HTTP/1.1 200 OK', 'Content-Length: 6', 'X-Other: 1')}other!`

type Passed = readonly [
  name: string,
  text: string,
  body: string,
  around?: Around & { status?: number },
]
type Failed = readonly [name: string, text: string, around?: Around]

/** The connection to the deployment goes on behind these. */
const KEPT: readonly Passed[] = [
  ['a length', GOOD, 'hello'],
  ['a length of 0', ok('Content-Length: 0'), ''],
  ['chunks', chunked(`${HELLO}1\r\n!\r\n${LAST}`), 'hello!'],
  ['no chunk but the last', chunked(LAST), ''],
  ['chunked in capitals', `${ok('TRANSFER-ENCODING: CHUNKED')}${HELLO}${LAST}`, 'hello'],
  ['extensions', chunked(`5;a;b="c;d"\r\nhello\r\n0;e\r\n\r\n`), 'hello'],
  ['trailers', chunked(`${HELLO}0\r\nX: a\r\n\r\n`), 'hello'],
  ['no reason', `${head('HTTP/1.1 200 ', FIVE)}hello`, 'hello'],
  ['no blank before no reason', `${head('HTTP/1.1 200', FIVE)}hello`, 'hello'],
  ['obs-text in a value', `${ok('X: \xe9', FIVE)}hello`, 'hello'],
  ['204', head('HTTP/1.1 204 No Content'), '', { status: 204 }],
  ['304', head('HTTP/1.1 304 Not Modified'), '', { status: 304 }],
  ['304 with a length', head('HTTP/1.1 304 Not Modified', FIVE), '', { status: 304 }],
  [
    '304 with chunks announced',
    head('HTTP/1.1 304 x', 'Transfer-Encoding: chunked'),
    '',
    { status: 304 },
  ],
  ['HEAD with a length', ok(FIVE), '', { method: 'HEAD' }],
  ['HEAD with chunks announced', ok('Transfer-Encoding: chunked'), '', { method: 'HEAD' }],
  ['HEAD without framing', ok('X: a'), '', { method: 'HEAD' }],
  ['404', `${head('HTTP/1.1 404 Not Found', FIVE)}hello`, 'hello', { status: 404 }],
  ['599', `${head('HTTP/1.1 599 x', FIVE)}hello`, 'hello', { status: 599 }],
  ['100 before it', `${head('HTTP/1.1 100 Continue')}${GOOD}`, 'hello'],
  ['103 before it', `${head('HTTP/1.1 103 Early Hints', 'Link: </a>')}${GOOD}`, 'hello'],
  ['three interim answers', `${head('HTTP/1.1 102 x').repeat(3)}${GOOD}`, 'hello'],
  ['an interim answer for HTTP/1.0', `${head('HTTP/1.1 103 x')}${GOOD}`, 'hello', { minor: 0 }],
  [
    'HTTP/1.0 that stays',
    `${head('HTTP/1.0 200 OK', 'Connection: keep-alive', FIVE)}hello`,
    'hello',
  ],
  ['a length that Connection names', `${ok('Connection: content-length', FIVE)}hello`, 'hello'],
  ['a body that looks like an answer', `${ok(`Content-Length: ${OTHER.length}`)}${OTHER}`, OTHER],
]

/** These pass, and end the connection to the deployment. */
const CLOSED: readonly Passed[] = [
  ['connection: close', `${ok('Connection: close', FIVE)}hello`, 'hello'],
  ['HTTP/1.0', `${head('HTTP/1.0 200 OK', FIVE)}hello`, 'hello'],
  ['until close', `${ok('X: a')}hello`, 'hello', { ending: 'end' }],
  ['until close, of nothing', ok('X: a'), '', { ending: 'end' }],
  ['until close to HTTP/1.0', `${ok('X: a')}hello`, 'hello', { ending: 'end', minor: 0 }],
  ['chunks to HTTP/1.0', chunked(HELLO + LAST), 'hello', { ending: 'end', minor: 0 }],
  ['205 until close', head('HTTP/1.1 205 Reset Content'), '', { ending: 'end', status: 205 }],
  ['204 with a length', head('HTTP/1.1 204 x', FIVE), '', { status: 204 }],
  [
    '204 with chunks announced',
    head('HTTP/1.1 204 x', 'Transfer-Encoding: chunked'),
    '',
    { status: 204 },
  ],
  ['204 with a length and its body', `${head('HTTP/1.1 204 x', FIVE)}hello`, '', { status: 204 }],
  ['a byte too many', `${GOOD}!`, 'hello'],
  ['CRLF too many', `${GOOD}\r\n`, 'hello'],
  ['another answer behind it', GOOD + OTHER, 'hello'],
  ['another answer behind chunks', chunked(HELLO + LAST) + OTHER, 'hello'],
  ['another answer behind 204', head('HTTP/1.1 204 x') + OTHER, '', { status: 204 }],
  ['another answer behind 304', head('HTTP/1.1 304 x', FIVE) + OTHER, '', { status: 304 }],
  ['a body behind 304', `${head('HTTP/1.1 304 x', FIVE)}hello`, '', { status: 304 }],
  ['a body to HEAD', GOOD, '', { method: 'HEAD' }],
  ['chunks to HEAD', chunked(HELLO + LAST), '', { method: 'HEAD' }],
  ['another answer behind that to HEAD', ok(FIVE) + OTHER, '', { method: 'HEAD' }],
  ['an interim answer behind it', GOOD + head('HTTP/1.1 100 Continue'), 'hello'],
  ['two answers with the length of one', `${ok('Content-Length: 0')}${OTHER}`, ''],
]

/** The client gets 502 `upstream_malformed` and not one byte of these. */
const MALFORMED: readonly Failed[] = [
  ['HTTP/0.9', 'hello, this is no answer at all\r\n'],
  ['HTTP/2.0', `${head('HTTP/2.0 200 OK', FIVE)}hello`],
  ['HTTP/1.2', `${head('HTTP/1.2 200 OK', FIVE)}hello`],
  ['a version in lower case', `${head('http/1.1 200 OK', FIVE)}hello`],
  ['another protocol', `${head('ICY 200 OK', FIVE)}hello`],
  ['an empty line before it', `\r\n${GOOD}`],
  ['a blank before it', ` ${GOOD}`],
  ['two blanks before the status', `${head('HTTP/1.1  200 OK', FIVE)}hello`],
  ['a tab before the status', `${head('HTTP/1.1\t200 OK', FIVE)}hello`],
  ['a status of two digits', `${head('HTTP/1.1 20 OK', FIVE)}hello`],
  ['a status of four digits', `${head('HTTP/1.1 2000 OK', FIVE)}hello`],
  ['a status below 100', `${head('HTTP/1.1 099 OK', FIVE)}hello`],
  ['a status above 599', `${head('HTTP/1.1 600 OK', FIVE)}hello`],
  ['a status that is no number', `${head('HTTP/1.1 2x0 OK', FIVE)}hello`],
  ['a negative status', `${head('HTTP/1.1 -20 OK', FIVE)}hello`],
  ['NUL in the reason', `${head('HTTP/1.1 200 O\0K', FIVE)}hello`],
  ['a bare CR in the reason', `${head('HTTP/1.1 200 O\rK', FIVE)}hello`],
  ['a bare LF behind the status line', `HTTP/1.1 200 OK\n${FIVE}\r\n\r\nhello`],
  ['bare LF all over', `HTTP/1.1 200 OK\n${FIVE}\n\nhello`],
  ['a folded line', `${ok('X: a', ' b', FIVE)}hello`],
  ['a first line that is folded', `${ok(' X: a', FIVE)}hello`],
  ['a blank before the colon', `${ok('X : a', FIVE)}hello`],
  ['a blank before the colon of the length', `${ok('Content-Length : 5')}hello`],
  ['no colon', `${ok('X', FIVE)}hello`],
  ['no name', `${ok(': a', FIVE)}hello`],
  ['a name that is no token', `${ok('X(: a', FIVE)}hello`],
  ['NUL in a value', `${ok('X: a\0b', FIVE)}hello`],
  ['a bell in a value', `${ok('X: a\x07b', FIVE)}hello`],
  ['DEL in a value', `${ok('X: a\x7f', FIVE)}hello`],
  ['a bare CR in a value', `${ok('X: a\rb', FIVE)}hello`],
  ['a bare LF in a value', `${ok('X: a\nb: c', FIVE)}hello`],
  ['an answer split by a bare CR', `${ok(`X: a\r\r${OTHER}`, FIVE)}hello`],
  ['a bare LF instead of the empty line', `HTTP/1.1 200 OK\r\n${FIVE}\r\n\nhello`],
  ['two lengths', `${ok(FIVE, 'Content-Length: 6')}hello`],
  ['a length twice', `${ok(FIVE, FIVE)}hello`],
  ['a list of lengths', `${ok('Content-Length: 5, 5')}hello`],
  ['a length with a plus sign', `${ok('Content-Length: +5')}hello`],
  ['a negative length', `${ok('Content-Length: -5')}hello`],
  ['a hexadecimal length', `${ok('Content-Length: 0x5')}hello`],
  ['a length with a fraction', `${ok('Content-Length: 5.0')}hello`],
  ['an empty length', `${ok('Content-Length:')}hello`],
  ['a length beyond 2^64', `${ok('Content-Length: 18446744073709551621')}hello`],
  ['a bad length to HEAD', ok('Content-Length: x'), { method: 'HEAD' }],
  ['two lengths with 304', head('HTTP/1.1 304 x', FIVE, 'Content-Length: 6')],
  ['a length and chunks', `${ok(FIVE, 'Transfer-Encoding: chunked')}${HELLO}${LAST}`],
  ['chunks and a length', `${ok('Transfer-Encoding: chunked', FIVE)}${HELLO}${LAST}`],
  ['chunks in HTTP/1.0', `${head('HTTP/1.0 200 OK', 'Transfer-Encoding: chunked')}${HELLO}${LAST}`],
  ['chunked twice', `${ok('Transfer-Encoding: chunked, chunked')}${HELLO}${LAST}`],
  [
    'two fields of it',
    `${ok('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')}${HELLO}${LAST}`,
  ],
  ['gzip, then chunked', `${ok('Transfer-Encoding: gzip, chunked')}${HELLO}${LAST}`],
  ['chunked, then gzip', `${ok('Transfer-Encoding: chunked, gzip')}${HELLO}${LAST}`],
  ['identity', `${ok('Transfer-Encoding: identity')}hello`],
  ['an empty coding', `${ok('Transfer-Encoding:')}hello`],
  ['100 with a length', `${head('HTTP/1.1 100 Continue', FIVE)}${GOOD}`],
  ['103 with chunks announced', `${head('HTTP/1.1 103 x', 'Transfer-Encoding: chunked')}${GOOD}`],
  [
    '101 that nobody asked for',
    `${head('HTTP/1.1 101 x', 'Connection: upgrade', 'Upgrade: x')}hello`,
  ],
  ['a bad final answer behind 100', `${head('HTTP/1.1 100 Continue')}HTTP/1.1 200 OK\n\n`],
  ['a head of more than 32 KiB', `${ok(`X: ${'a'.repeat(33_000)}`, FIVE)}hello`],
  ['101 fields', `${ok(...Array.from({ length: 100 }, () => 'X: a'), FIVE)}hello`],
  ['a request', 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'],
]

/** The client gets 502 `upstream_reset`. */
const EARLY: readonly Failed[] = [
  ['no answer', '', { ending: 'end' }],
  ['no answer and a reset', '', { ending: 'reset' }],
  ['half a status line', 'HTTP/1.1 20', { ending: 'end' }],
  ['half a head', `HTTP/1.1 200 OK\r\n${FIVE}\r\n`, { ending: 'end' }],
  ['half a head and a reset', `HTTP/1.1 200 OK\r\n${FIVE}`, { ending: 'reset' }],
  ['an interim answer alone', head('HTTP/1.1 100 Continue'), { ending: 'end' }],
]

/** The head is on its way when these break: the client must not take what it has for the whole. */
const CUT: readonly Failed[] = [
  ['a length cut short', `${ok(FIVE)}hell`, { ending: 'end' }],
  ['a length and a reset', `${ok(FIVE)}hell`, { ending: 'reset' }],
  ['a length to HTTP/1.0 cut short', `${ok(FIVE)}hell`, { ending: 'end', minor: 0 }],
  ['chunks without a last one', chunked(HELLO), { ending: 'end' }],
  ['chunks to HTTP/1.0 without a last one', chunked(HELLO), { ending: 'end', minor: 0 }],
  ['half a chunk', chunked('5\r\nhel'), { ending: 'end' }],
  ['a last chunk without its empty line', chunked(`${HELLO}0\r\n`), { ending: 'end' }],
  ['until close and a reset', `${ok('X: a')}hello`, { ending: 'reset' }],
  ['a chunk size with 0x', chunked(`${HELLO}0x5\r\nhello\r\n${LAST}`)],
  ['a chunk size with a sign', chunked(`${HELLO}+5\r\nhello\r\n${LAST}`)],
  ['a blank behind a chunk size', chunked(`${HELLO}5 \r\nhello\r\n${LAST}`)],
  ['a chunk size that overflows', chunked(`${HELLO}10000000000000005\r\nhello\r\n${LAST}`)],
  ['no chunk size', chunked(`${HELLO}\r\n${LAST}`)],
  ['a chunk that is too long', chunked(`4\r\nhello\r\n${LAST}`)],
  ['a chunk that is too short', chunked(`6\r\nhello\r\n${LAST}`)],
  ['a bare LF behind a chunk size', chunked(`${HELLO}5\nhello\r\n${LAST}`)],
  ['a bare LF behind a chunk', chunked(`5\r\nhello\n${LAST}`)],
  ['NUL in an extension', chunked(`${HELLO}5;\0\r\nhello\r\n${LAST}`)],
  ['4097 bytes of extension', chunked(`${HELLO}5;${'a'.repeat(4_097)}\r\nhello\r\n${LAST}`)],
  ['a folded trailer', chunked(`${HELLO}0\r\nX: a\r\n b\r\n\r\n`)],
  ['a bare LF in a trailer', chunked(`${HELLO}0\r\nX: a\nY: b\r\n\r\n`)],
  ['an answer as trailers', chunked(`${HELLO}0\r\n${OTHER}\r\n\r\n`)],
  ['8193 bytes of trailers', chunked(`${HELLO}0\r\nX: ${'a'.repeat(8_200)}\r\n\r\n`)],
]

function own(
  [name, text, around = {}]: Failed,
  wanted: OwnAnswer['wanted'],
  kept = false,
): OwnAnswer {
  const { method = 'GET', minor = 1, ending = 'open' } = around
  return { name, pieces: [Buffer.from(text, 'latin1')], method, minor, ending, wanted, kept }
}

const passed = ([name, text, body, around = {}]: Passed, kept: boolean): OwnAnswer =>
  own([name, text, around], { status: around.status ?? 200, body }, kept)

export const OWN_ANSWERS: readonly OwnAnswer[] = [
  ...KEPT.map(row => passed(row, true)),
  ...CLOSED.map(row => passed(row, false)),
  ...MALFORMED.map(row => own(row, { error: 'upstream_malformed' })),
  ...EARLY.map(row => own(row, { error: 'upstream_reset' })),
  ...CUT.map(row => own(row, 'cut')),
]

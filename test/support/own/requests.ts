/**
 * Requests of this project's own, byte by byte: each is refused with one error and nothing else, or arrives as what it
 * says. They stand for every rule of RFC 9112 and RFC 9110 that the proxy holds requests to, and for every cap.
 */
import type { Http1Case } from '../http1-cases.ts'

type Wanted = readonly [method: string, target: string, body: string]
type Refused = readonly [name: string, text: string, code: keyof typeof STATUS]
type Accepted = readonly [name: string, text: string, ...requests: Wanted[]]
type Waiting = readonly [name: string, text: string]

/** By code; said here again, so that a change of the table in `core/errors.ts` shows. */
const STATUS = {
  malformed_request: 400,
  malformed_target: 400,
  malformed_field: 400,
  malformed_chunk: 400,
  ambiguous_framing: 400,
  invalid_host: 400,
  unsupported_version: 505,
  unsupported_coding: 501,
  unsupported_method: 501,
  unsupported_expectation: 417,
  target_too_long: 414,
  head_too_large: 431,
  too_many_fields: 431,
  trailers_too_large: 431,
  chunk_extensions_too_large: 413,
} as const

const head = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`
const line = (text: string): string => head(text, 'Host: a.test')
const get = (...lines: string[]): string => head('GET / HTTP/1.1', 'Host: a.test', ...lines)
const post = (...lines: string[]): string => head('POST / HTTP/1.1', 'Host: a.test', ...lines)
const chunked = (body: string): string => post('Transfer-Encoding: chunked') + body
const HELLO = '5\r\nhello\r\n'
const LAST = '0\r\n\r\n'

const REQUEST_LINE: readonly Refused[] = [
  ['no method', line(' / HTTP/1.1'), 'malformed_request'],
  ['a method that is no token', line('G(T / HTTP/1.1'), 'malformed_request'],
  ['a colon in the method', line('GET: / HTTP/1.1'), 'malformed_request'],
  ['a method of 33 bytes', line(`${'M'.repeat(33)} / HTTP/1.1`), 'malformed_request'],
  ['a method in UTF-8', line('G\xc3\x89T / HTTP/1.1'), 'malformed_request'],
  ['NUL in the method', line('GE\0T / HTTP/1.1'), 'malformed_request'],
  ['a tab behind the method', line('GET\t/ HTTP/1.1'), 'malformed_request'],
  ['two blanks behind the method', line('GET  / HTTP/1.1'), 'malformed_target'],
  ['two blanks behind the target', line('GET /  HTTP/1.1'), 'malformed_request'],
  ['a blank behind the version', line('GET / HTTP/1.1 '), 'malformed_request'],
  ['a blank before the method', line(' GET / HTTP/1.1'), 'malformed_request'],
  ['a bare LF behind the version', 'GET / HTTP/1.1\nHost: a.test\r\n\r\n', 'malformed_request'],
  ['a bare CR behind the version', 'GET / HTTP/1.1\rHost: a.test\r\n\r\n', 'malformed_request'],
  ['two CR behind the version', 'GET / HTTP/1.1\r\r\nHost: a.test\r\n\r\n', 'malformed_request'],
  ['bare LF all over', 'GET / HTTP/1.1\nHost: a.test\n\n', 'malformed_request'],
  ['an empty line of a bare LF before it', `\n${get()}`, 'malformed_request'],
  ['an empty line of two CR before it', `\r\r\n${get()}`, 'malformed_request'],
  ['five empty lines before it', `${'\r\n'.repeat(5)}${get()}`, 'malformed_request'],
  ['a byte order mark', `\xef\xbb\xbf${get()}`, 'malformed_request'],
  ['an answer', 'HTTP/1.1 200 OK\r\n\r\n', 'malformed_request'],
  ['a ClientHello', '\x16\x03\x01\x02\x00\x01\r\n\r\n', 'malformed_request'],
  ['no version (HTTP/0.9)', 'GET /\r\n\r\n', 'malformed_target'],
  ['HTTP/0.9 by name', line('GET / HTTP/0.9'), 'unsupported_version'],
  ['HTTP/1.2', line('GET / HTTP/1.2'), 'unsupported_version'],
  ['HTTP/2.0', line('GET / HTTP/2.0'), 'unsupported_version'],
  ['HTTP/3', line('GET / HTTP/3'), 'unsupported_version'],
  ['a version of two digits', line('GET / HTTP/1.10'), 'malformed_request'],
  ['a version with a leading zero', line('GET / HTTP/01.1'), 'unsupported_version'],
  ['a version in lower case', line('GET / http/1.1'), 'malformed_request'],
  ['a version without its minor', line('GET / HTTP/1'), 'malformed_request'],
  ['a version that is no number', line('GET / HTTP/1.x'), 'malformed_request'],
  ['another protocol', line('GET / RTSP/1.0'), 'malformed_request'],
]

const TARGET: readonly Refused[] = [
  ['no target', line('GET HTTP/1.1'), 'malformed_target'],
  ['a blank in the target', line('GET /a b HTTP/1.1'), 'malformed_request'],
  ['a tab in the target', line('GET /a\tb HTTP/1.1'), 'malformed_target'],
  ['NUL in the target', line('GET /a\0b HTTP/1.1'), 'malformed_target'],
  ['DEL in the target', line('GET /a\x7fb HTTP/1.1'), 'malformed_target'],
  ['a bare CR in the target', line('GET /a\rb HTTP/1.1'), 'malformed_target'],
  ['a bare LF in the target', line('GET /a\nb HTTP/1.1'), 'malformed_target'],
  ['UTF-8 in the target', line('GET /\xc3\xa9 HTTP/1.1'), 'malformed_target'],
  ['a fragment', line('GET /a#b HTTP/1.1'), 'malformed_target'],
  ['a fragment alone', line('GET # HTTP/1.1'), 'malformed_target'],
  ['a relative target', line('GET a/b HTTP/1.1'), 'malformed_target'],
  ['a query alone', line('GET ?a HTTP/1.1'), 'malformed_target'],
  ['a backslash', line('GET \\a HTTP/1.1'), 'malformed_target'],
  ['an asterisk for GET', line('GET * HTTP/1.1'), 'malformed_target'],
  ['more than an asterisk', line('OPTIONS */a HTTP/1.1'), 'malformed_target'],
  ['an authority for GET', line('GET a.test:80 HTTP/1.1'), 'malformed_target'],
  ['another scheme', line('GET ftp://a.test/ HTTP/1.1'), 'malformed_target'],
  ['a script as target', line('GET javascript:a HTTP/1.1'), 'malformed_target'],
  ['a scheme without authority', line('GET http:/a HTTP/1.1'), 'malformed_target'],
  ['an empty authority', line('GET http:///a HTTP/1.1'), 'malformed_target'],
  ['user information', line('GET http://u@a.test/ HTTP/1.1'), 'malformed_target'],
  ['a password', line('GET http://u:p@a.test/ HTTP/1.1'), 'malformed_target'],
  ['a backslash behind the host', line('GET http://a.test\\@b/ HTTP/1.1'), 'malformed_target'],
  ['a port that is no number', line('GET http://a.test:8x/ HTTP/1.1'), 'malformed_target'],
  [
    'CONNECT',
    head('CONNECT a.test:443 HTTP/1.1', 'Host: a.test:443') + get(),
    'unsupported_method',
  ],
  ['CONNECT for another host', line('CONNECT b.test:443 HTTP/1.1'), 'invalid_host'],
  ['CONNECT without a port', line('CONNECT a.test HTTP/1.1'), 'malformed_target'],
  [
    'CONNECT with a body',
    `${head('CONNECT a.test:443 HTTP/1.1', 'Host: a.test:443', 'Content-Length: 3')}abc`,
    'ambiguous_framing',
  ],
  ['CONNECT in origin form', line('CONNECT /a HTTP/1.1'), 'malformed_target'],
  ['CONNECT in absolute form', line('CONNECT http://a.test/ HTTP/1.1'), 'malformed_target'],
]

const HOST: readonly Refused[] = [
  ['no Host', head('GET / HTTP/1.1'), 'invalid_host'],
  ['no Host with an absolute target', head('GET http://a.test/ HTTP/1.1'), 'invalid_host'],
  ['two Hosts', get('Host: b.test'), 'invalid_host'],
  ['the same Host twice', get('host: a.test'), 'invalid_host'],
  ['two Hosts in HTTP/1.0', head('GET / HTTP/1.0', 'Host: a', 'Host: b'), 'invalid_host'],
  ['another Host than the target', head('GET http://b/ HTTP/1.1', 'Host: a'), 'invalid_host'],
  ['another port than the target', head('GET http://a:1/ HTTP/1.1', 'Host: a'), 'invalid_host'],
  ['a list of Hosts', head('GET / HTTP/1.1', 'Host: a.test, b.test'), 'invalid_host'],
  ['a path in Host', head('GET / HTTP/1.1', 'Host: a.test/b'), 'invalid_host'],
  ['user information in Host', head('GET / HTTP/1.1', 'Host: u@a.test'), 'invalid_host'],
  ['a blank in Host', head('GET / HTTP/1.1', 'Host: a test'), 'invalid_host'],
  ['a port that is no number in Host', head('GET / HTTP/1.1', 'Host: a:x'), 'invalid_host'],
  ['a port of six digits in Host', head('GET / HTTP/1.1', 'Host: a:123456'), 'invalid_host'],
  ['two ports in Host', head('GET / HTTP/1.1', 'Host: a:1:2'), 'invalid_host'],
  ['an open bracket in Host', head('GET / HTTP/1.1', 'Host: [::1'), 'invalid_host'],
  ['UTF-8 in Host', head('GET / HTTP/1.1', 'Host: \xc3\xa9.test'), 'invalid_host'],
  ['a Host of underscored name only', head('GET / HTTP/1.1', 'H_ost: a'), 'invalid_host'],
]

const FIELDS: readonly Refused[] = [
  ['a blank before the colon', get('X : a'), 'malformed_field'],
  ['a tab before the colon', get('X\t: a'), 'malformed_field'],
  ['a blank before the colon of the length', post('Content-Length : 0'), 'malformed_field'],
  ['a blank in a name', get('X Y: a'), 'malformed_field'],
  ['no name', get(': a'), 'malformed_field'],
  ['no colon', get('X'), 'malformed_field'],
  ['a name that is no token', get('X(: a'), 'malformed_field'],
  ['a quoted name', get('"X": a'), 'malformed_field'],
  ['a name in UTF-8', get('\xc3\xa9: a'), 'malformed_field'],
  ['NUL in a name', get('X\0Y: a'), 'malformed_field'],
  ['DEL in a name', get('X\x7f: a'), 'malformed_field'],
  ['a folded line', get('X: a', ' b'), 'malformed_field'],
  ['a line folded with a tab', get('X: a', '\tb'), 'malformed_field'],
  ['a first line that is folded', head('GET / HTTP/1.1', ' Host: a.test'), 'malformed_field'],
  ['a length that is folded', post('Content-Length:', ' 5'), 'malformed_field'],
  ['a coding that is folded', post('Transfer-Encoding:', '\tchunked'), 'malformed_field'],
  ['a line of blanks', get(' ', 'X: a'), 'malformed_field'],
  ['NUL in a value', get('X: a\0b'), 'malformed_field'],
  ['DEL in a value', get('X: a\x7f'), 'malformed_field'],
  ['a bell in a value', get('X: a\x07b'), 'malformed_field'],
  ['an escape in a value', get('X: \x1b[2J'), 'malformed_field'],
  ['a vertical tab before a value', get('X:\va'), 'malformed_field'],
  ['a form feed behind a value', get('X: a\f'), 'malformed_field'],
  ['a bare CR in a value', get('X: a\rb'), 'malformed_field'],
  ['a bare LF in a value', get('X: a\nb: c'), 'malformed_field'],
  ['a bare LF behind a line', 'GET / HTTP/1.1\r\nHost: a.test\nX: a\r\n\r\n', 'malformed_field'],
  ['two CR behind a line', get('X: a\r'), 'malformed_field'],
  ['a bare LF instead of the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\n', 'malformed_field'],
  ['CR and no LF in the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\rX', 'malformed_field'],
  ['a request smuggled by a bare CR', get('X: a\r\rGET /2 HTTP/1.1'), 'malformed_field'],
  ['another expectation', post('Expect: 200-ok'), 'unsupported_expectation'],
  ['two expectations', post('Expect: 100-continue, x'), 'unsupported_expectation'],
]

const LENGTH: readonly Refused[] = [
  ['a length twice', post('Content-Length: 5', 'Content-Length: 5'), 'ambiguous_framing'],
  ['two lengths', post('Content-Length: 5', 'Content-Length: 6'), 'ambiguous_framing'],
  ['a list of lengths', post('Content-Length: 5, 5'), 'ambiguous_framing'],
  ['a length with a plus sign', post('Content-Length: +5'), 'ambiguous_framing'],
  ['a length with a minus sign', post('Content-Length: -5'), 'ambiguous_framing'],
  ['a length of minus zero', post('Content-Length: -0'), 'ambiguous_framing'],
  ['a hexadecimal length', post('Content-Length: 0x5'), 'ambiguous_framing'],
  ['a length with a fraction', post('Content-Length: 5.0'), 'ambiguous_framing'],
  ['a length with an exponent', post('Content-Length: 5e0'), 'ambiguous_framing'],
  ['a length with an underscore', post('Content-Length: 1_0'), 'ambiguous_framing'],
  ['a length with a blank in it', post('Content-Length: 5 5'), 'ambiguous_framing'],
  ['a quoted length', post('Content-Length: "5"'), 'ambiguous_framing'],
  ['an empty length', post('Content-Length:'), 'ambiguous_framing'],
  ['a length beyond 2^64', post('Content-Length: 18446744073709551621'), 'ambiguous_framing'],
  ['a length beyond 2^53', post('Content-Length: 9007199254740993'), 'ambiguous_framing'],
  ['a hard blank before a length', post('Content-Length: \xa05'), 'ambiguous_framing'],
  ['a length for GET twice', get('Content-Length: 0', 'Content-Length: 0'), 'ambiguous_framing'],
]

const CODING: readonly Refused[] = [
  [
    'a length and chunks',
    post('Content-Length: 5', 'Transfer-Encoding: chunked'),
    'ambiguous_framing',
  ],
  [
    'chunks and a length',
    post('Transfer-Encoding: chunked', 'Content-Length: 5'),
    'ambiguous_framing',
  ],
  [
    'chunks and a length of 0',
    post('Transfer-Encoding: chunked', 'Content-Length: 0'),
    'ambiguous_framing',
  ],
  [
    'chunks and an empty length',
    post('Transfer-Encoding: chunked', 'Content-Length:'),
    'ambiguous_framing',
  ],
  [
    'a length and another coding',
    post('Content-Length: 5', 'Transfer-Encoding: x'),
    'ambiguous_framing',
  ],
  ['chunked twice', post('Transfer-Encoding: chunked, chunked'), 'ambiguous_framing'],
  [
    'two fields',
    post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
    'ambiguous_framing',
  ],
  [
    'identity and chunked',
    post('Transfer-Encoding: identity', 'Transfer-Encoding: chunked'),
    'ambiguous_framing',
  ],
  ['identity', post('Transfer-Encoding: identity'), 'ambiguous_framing'],
  ['gzip alone', post('Transfer-Encoding: gzip'), 'ambiguous_framing'],
  ['chunked, then gzip', post('Transfer-Encoding: chunked, gzip'), 'ambiguous_framing'],
  ['gzip, then chunked', post('Transfer-Encoding: gzip, chunked'), 'unsupported_coding'],
  ['an empty coding', post('Transfer-Encoding:'), 'ambiguous_framing'],
  ['a comma before the coding', post('Transfer-Encoding: ,chunked'), 'ambiguous_framing'],
  ['a comma behind the coding', post('Transfer-Encoding: chunked,'), 'ambiguous_framing'],
  ['a quoted coding', post('Transfer-Encoding: "chunked"'), 'ambiguous_framing'],
  ['a parameter of the coding', post('Transfer-Encoding: chunked;a=b'), 'ambiguous_framing'],
  ['a coding that begins alike', post('Transfer-Encoding: chunkedx'), 'ambiguous_framing'],
  ['a vertical tab before the coding', post('Transfer-Encoding: \vchunked'), 'malformed_field'],
  ['a hard blank before the coding', post('Transfer-Encoding: \xa0chunked'), 'ambiguous_framing'],
  [
    'chunks in HTTP/1.0',
    head('POST / HTTP/1.0', 'Host: a', 'Transfer-Encoding: chunked'),
    'ambiguous_framing',
  ],
]

const CHUNKS: readonly Refused[] = [
  ['no size', chunked('\r\n'), 'malformed_chunk'],
  ['no size before an extension', chunked(';a\r\n'), 'malformed_chunk'],
  ['a size with a plus sign', chunked(`+${HELLO}${LAST}`), 'malformed_chunk'],
  ['a size with a minus sign', chunked(`-${HELLO}${LAST}`), 'malformed_chunk'],
  ['a size with 0x', chunked(`0x${HELLO}${LAST}`), 'malformed_chunk'],
  ['a blank before the size', chunked(` ${HELLO}${LAST}`), 'malformed_chunk'],
  ['a blank behind the size', chunked(`5 \r\nhello\r\n${LAST}`), 'malformed_chunk'],
  ['a tab behind the size', chunked(`5\t\r\nhello\r\n${LAST}`), 'malformed_chunk'],
  ['an underscore in the size', chunked('1_0\r\n'), 'malformed_chunk'],
  ['a letter that is no digit', chunked('5g\r\n'), 'malformed_chunk'],
  [
    'a size of 13 digits',
    chunked(`00000000${HELLO}${LAST}`.replace('5', '00005')),
    'malformed_chunk',
  ],
  ['a size that overflows 32 bits', chunked('100000005x\r\n'), 'malformed_chunk'],
  ['a size that overflows 64 bits', chunked('10000000000000005\r\nhello'), 'malformed_chunk'],
  ['a size that fills 64 bits', chunked('ffffffffffffffff\r\nhello'), 'malformed_chunk'],
  ['NUL behind the size', chunked('5\0\r\nhello'), 'malformed_chunk'],
  ['a bare LF behind the size', chunked(`5\nhello\r\n${LAST}`), 'malformed_chunk'],
  ['a bare CR behind the size', chunked('5\rhello'), 'malformed_chunk'],
  ['data that is too long', chunked(`4\r\nhello\r\n${LAST}`), 'malformed_chunk'],
  ['data that is too short', chunked(`6\r\nhello\r\n${LAST}`), 'malformed_chunk'],
  ['no CRLF behind data', chunked(`5\r\nhello${LAST}`), 'malformed_chunk'],
  ['a bare LF behind data', chunked(`5\r\nhello\n${LAST}`), 'malformed_chunk'],
  ['a bare LF behind the last size', chunked(`${HELLO}0\n\r\n`), 'malformed_chunk'],
  ['a bare LF at the end', chunked(`${HELLO}0\r\n\n`), 'malformed_chunk'],
  ['a bare LF in an extension', chunked('5;a\nb\r\nhello'), 'malformed_chunk'],
  ['a bare CR in an extension', chunked('5;a\rb\r\nhello'), 'malformed_chunk'],
  ['NUL in an extension', chunked('5;a\0\r\nhello'), 'malformed_chunk'],
  ['a line in a quoted extension', chunked('5;a="\r\n"\r\nhello'), 'malformed_chunk'],
  ['a trailer without colon', chunked('0\r\nX\r\n\r\n'), 'malformed_chunk'],
  ['a trailer with a blank before the colon', chunked('0\r\nX : a\r\n\r\n'), 'malformed_chunk'],
  ['a folded trailer', chunked('0\r\nX: a\r\n b\r\n\r\n'), 'malformed_chunk'],
  ['a bare LF in a trailer', chunked('0\r\nX: a\nY: b\r\n\r\n'), 'malformed_chunk'],
  ['NUL in a trailer', chunked('0\r\nX: a\0\r\n\r\n'), 'malformed_chunk'],
  ['a request smuggled as a trailer', chunked('0\r\nGET /2 HTTP/1.1\r\n\r\n'), 'malformed_chunk'],
]

const CAPS: readonly Refused[] = [
  ['a target of 8193 bytes', line(`GET /${'a'.repeat(8_192)} HTTP/1.1`), 'target_too_long'],
  ['a target without an end', `GET /${'a'.repeat(20_000)}`, 'target_too_long'],
  ['a head of more than 32 KiB', get(`X: ${'a'.repeat(33_000)}`), 'head_too_large'],
  ['a head without an end', `GET / HTTP/1.1\r\nX: ${'a'.repeat(40_000)}`, 'head_too_large'],
  ['101 fields', get(...Array.from({ length: 100 }, () => 'X: a')), 'too_many_fields'],
  [
    '4097 bytes of extension',
    chunked(`5;${'a'.repeat(4_097)}\r\nhello\r\n${LAST}`),
    'chunk_extensions_too_large',
  ],
  ['8193 bytes of trailers', chunked(`0\r\nX: ${'a'.repeat(8_200)}\r\n\r\n`), 'trailers_too_large'],
  ['101 trailers', chunked(`0\r\n${'X: a\r\n'.repeat(101)}\r\n`), 'trailers_too_large'],
]

const SECOND = head('GET /2 HTTP/1.1', 'Host: a.test')
/** Where the first request is good, and what follows it is not. */
const BEHIND_ONE: readonly Refused[] = [
  ['a second without version', `${get()}GET /\r\n\r\n`, 'malformed_target'],
  [
    'data behind a body',
    `${post('Content-Length: 5')}hello!`.concat('\r\n\r\n'),
    'malformed_request',
  ],
  ['data behind the last chunk', `${chunked(HELLO + LAST)}X\r\n\r\n`, 'malformed_request'],
  ['a second with a bare LF', `${get()}${SECOND.replace('\r\n', '\n')}`, 'malformed_request'],
  [
    'a second with two lengths',
    `${get()}${post('Content-Length: 1', 'Content-Length: 2')}`,
    'ambiguous_framing',
  ],
]

const ACCEPTED: readonly Accepted[] = [
  ['origin form', line('GET /a?b=c HTTP/1.1'), ['GET', '/a?b=c', '']],
  ['two slashes', line('GET //a HTTP/1.1'), ['GET', '//a', '']],
  ['dots and percent signs', line('GET /a/../%2e%00 HTTP/1.1'), ['GET', '/a/../%2e%00', '']],
  ['marks that a URI has no room for', line('GET /{|}"<>^` HTTP/1.1'), ['GET', '/{|}"<>^`', '']],
  ['absolute form', line('GET http://a.test/b HTTP/1.1'), ['GET', '/b', '']],
  ['absolute form without a path', line('GET http://a.test HTTP/1.1'), ['GET', '/', '']],
  ['absolute form with a query alone', line('GET http://a.test?b HTTP/1.1'), ['GET', '/?b', '']],
  ['absolute form in capitals', line('GET HTTP://A.TEST/ HTTP/1.1'), ['GET', '/', '']],
  ['asterisk form', line('OPTIONS * HTTP/1.1'), ['OPTIONS', '*', '']],
  ['absolute form of the asterisk', line('OPTIONS http://a.test HTTP/1.1'), ['OPTIONS', '*', '']],
  ['any token as method', line("m!#$%&'*+-.^_`|~9 / HTTP/1.1"), ["m!#$%&'*+-.^_`|~9", '/', '']],
  ['HEAD', line('HEAD / HTTP/1.1'), ['HEAD', '/', '']],
  ['four empty lines before it', `${'\r\n'.repeat(4)}${get()}`, ['GET', '/', '']],
  [
    'a target of 8192 bytes',
    line(`GET /${'a'.repeat(8_191)} HTTP/1.1`),
    ['GET', `/${'a'.repeat(8_191)}`, ''],
  ],
  ['HTTP/1.0 without Host', head('GET / HTTP/1.0'), ['GET', '/', '']],
  [
    'HTTP/1.0 that stays',
    head('GET / HTTP/1.0', 'Host: a', 'Connection: keep-alive'),
    ['GET', '/', ''],
  ],
  ['an empty Host', head('GET / HTTP/1.1', 'Host:'), ['GET', '/', '']],
  ['a Host with port', head('GET / HTTP/1.1', 'Host: a.test:8080'), ['GET', '/', '']],
  ['an IPv6 Host', head('GET / HTTP/1.1', 'Host: [::1]:80'), ['GET', '/', '']],
  ['no blank behind the colon', head('GET / HTTP/1.1', 'Host:a.test'), ['GET', '/', '']],
  ['an empty value', get('X:'), ['GET', '/', '']],
  ['blanks around a value', get('X: \t a \t'), ['GET', '/', '']],
  ['obs-text in a value', get('X: \xe9\xff'), ['GET', '/', '']],
  ['100 fields', get(...Array.from({ length: 99 }, () => 'X: a')), ['GET', '/', '']],
  ['a length', `${post('Content-Length: 5')}hello`, ['POST', '/', 'hello']],
  ['a length of 0', post('Content-Length: 0'), ['POST', '/', '']],
  ['a length with leading zeros', `${post('Content-Length: 005')}hello`, ['POST', '/', 'hello']],
  ['a body of GET', `${get('Content-Length: 5')}hello`, ['GET', '/', 'hello']],
  [
    'a body that looks like a request',
    `${post(`Content-Length: ${SECOND.length}`)}${SECOND}`,
    ['POST', '/', SECOND],
  ],
  ['a length named with an underscore', post('Content_Length: 5'), ['POST', '/', '']],
  ['a coding named with an underscore', post('Transfer_Encoding: chunked'), ['POST', '/', '']],
  [
    'a length that Connection names',
    `${post('Connection: content-length', 'Content-Length: 5')}hello`,
    ['POST', '/', 'hello'],
  ],
  ['chunks', chunked(`${HELLO}1\r\n!\r\n${LAST}`), ['POST', '/', 'hello!']],
  ['no chunk but the last', chunked(LAST), ['POST', '/', '']],
  ['chunked in capitals', `${post('Transfer-Encoding: CHUNKED')}${LAST}`, ['POST', '/', '']],
  ['sizes with leading zeros', chunked(`0000000${HELLO}000\r\n\r\n`), ['POST', '/', 'hello']],
  ['extensions', chunked(`5;a;b="c;\\"d"\r\nhello\r\n0;e\r\n\r\n`), ['POST', '/', 'hello']],
  ['trailers', chunked(`${HELLO}0\r\nX: a\r\nContent-Length: 9\r\n\r\n`), ['POST', '/', 'hello']],
  [
    'an expectation',
    `${post('Expect: 100-continue', 'Content-Length: 5')}hello`,
    ['POST', '/', 'hello'],
  ],
  [
    'three in a row',
    get() + `${post('Content-Length: 5')}hello` + SECOND,
    ['GET', '/', ''],
    ['POST', '/', 'hello'],
    ['GET', '/2', ''],
  ],
  ['one behind chunks', chunked(HELLO + LAST) + SECOND, ['POST', '/', 'hello'], ['GET', '/2', '']],
  ['none behind a close', get('Connection: close') + SECOND, ['GET', '/', '']],
]

const WAITING: readonly Waiting[] = [
  ['a method', 'GE'],
  ['half an empty line', '\r\n\r'],
  ['a head without its empty line', 'GET / HTTP/1.1\r\nHost: a.test\r\n'],
  ['a head without its last LF', 'GET / HTTP/1.1\r\nHost: a.test\r\n\r'],
  ['a body without its last byte', `${post('Content-Length: 5')}hell`],
  ['chunks without a last one', chunked(HELLO)],
  ['a last chunk without its empty line', chunked(`${HELLO}0\r\n`)],
]

const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64')
const idOf = (group: string, name: string): string => `own/${group}/${name.replaceAll(' ', '-')}`

function refused(group: string, rows: readonly Refused[], n = 0): Http1Case[] {
  return rows.map(([title, text, code]) => {
    const own = { refusal: { status: STATUS[code], code } }
    return { id: idOf(group, title), title, send: [base64(text)], expect: 'reject', n, own }
  })
}

export const OWN_REQUESTS: readonly Http1Case[] = [
  ...refused('request-line', REQUEST_LINE),
  ...refused('target', TARGET),
  ...refused('host', HOST),
  ...refused('fields', FIELDS),
  ...refused('length', LENGTH),
  ...refused('coding', CODING),
  ...refused('chunks', CHUNKS),
  ...refused('caps', CAPS),
  ...refused('second', BEHIND_ONE, 1),
  ...ACCEPTED.map(([title, text, ...requests]): Http1Case => {
    const wanted = requests.map(([method, target, body]) => ({
      method,
      target,
      body: base64(body),
    }))
    const id = idOf('accepted', title)
    return {
      id,
      title,
      send: [base64(text)],
      expect: 'accept',
      n: wanted.length,
      requests: wanted,
      own: {},
    }
  }),
  ...WAITING.map(
    ([title, text]): Http1Case => ({
      id: idOf('waiting', title),
      title,
      send: [base64(text)],
      expect: 'wait',
      n: 0,
      own: {},
    }),
  ),
]

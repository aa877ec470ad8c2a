import { test } from 'tap'
import { DEFAULT_CAPS } from '../../../../src/codec/http1/caps.ts'
import { FieldTable } from '../../../../src/codec/http1/field-table.ts'
import { lines, readRequest } from '../../../support/http1/heads.ts'

const table = new FieldTable([])
const { targetBytes } = DEFAULT_CAPS
const read = (text: string): ReturnType<typeof readRequest> => readRequest(table, text)
const CR = '\r'
const LF = '\n'
const NUL = '\0'

/** A request of this line and `Host: a`. */
const line = (text: string): string => lines(text, 'Host: a')

const ACCEPTED: readonly (readonly [name: string, text: string, method: string, target: string])[] =
  [
    ['origin form', line('GET / HTTP/1.1'), 'GET', '/'],
    ['a query', line('GET /a?b=c&d=%20 HTTP/1.1'), 'GET', '/a?b=c&d=%20'],
    ['two slashes', line('GET //a HTTP/1.1'), 'GET', '//a'],
    ['brackets and quotes in a query', line(`GET /?a[]="'{|} HTTP/1.1`), 'GET', `/?a[]="'{|}`],
    ['absolute form', line('GET http://a/b HTTP/1.1'), 'GET', 'http://a/b'],
    ['absolute form without path', line('GET http://a HTTP/1.1'), 'GET', 'http://a'],
    ['absolute form with only a query', line('GET http://a?b HTTP/1.1'), 'GET', 'http://a?b'],
    ['absolute form in capitals', line('GET HTTPS://A/ HTTP/1.1'), 'GET', 'HTTPS://A/'],
    ['asterisk form', line('OPTIONS * HTTP/1.1'), 'OPTIONS', '*'],
    ['a method of our time', line('QUERY / HTTP/1.1'), 'QUERY', '/'],
    ['any token as method', line("m!#$%&'*+-.^_`|~9 / HTTP/1.1"), "m!#$%&'*+-.^_`|~9", '/'],
    ['a method of 32 bytes', line(`${'M'.repeat(32)} / HTTP/1.1`), 'M'.repeat(32), '/'],
    ['four empty lines before it', `${'\r\n'.repeat(4)}${line('GET / HTTP/1.1')}`, 'GET', '/'],
    [
      'the longest target',
      line(`GET /${'a'.repeat(targetBytes - 1)} HTTP/1.1`),
      'GET',
      `/${'a'.repeat(targetBytes - 1)}`,
    ],
  ]

await test('takes a request line in each of its forms', async t => {
  for (const [name, text, method, target] of ACCEPTED) {
    t.match(read(text), { method, target, minor: 1 }, name)
  }
})

const REFUSED: readonly (readonly [name: string, error: string, text: string])[] = [
  ['no method', 'malformed_request', line(' / HTTP/1.1')],
  ['a method that is no token', 'malformed_request', line('G(T / HTTP/1.1')],
  ['a quoted method', 'malformed_request', line('"GET" / HTTP/1.1')],
  ['a method of 33 bytes', 'malformed_request', line(`${'M'.repeat(33)} / HTTP/1.1`)],
  ['a method in UTF-8', 'malformed_request', line('G\xc3\x89T / HTTP/1.1')],
  ['a tab behind the method', 'malformed_request', line('GET\t/ HTTP/1.1')],
  ['two blanks behind the method', 'malformed_target', line('GET  / HTTP/1.1')],
  ['two blanks behind the target', 'malformed_request', line('GET /  HTTP/1.1')],
  ['a blank in the target', 'malformed_request', line('GET /a b HTTP/1.1')],
  ['a tab in the target', 'malformed_target', line('GET /a\tb HTTP/1.1')],
  ['a vertical tab in the target', 'malformed_target', line('GET /a\vb HTTP/1.1')],
  ['NUL in the target', 'malformed_target', line(`GET /a${NUL} HTTP/1.1`)],
  ['DEL in the target', 'malformed_target', line('GET /a\x7f HTTP/1.1')],
  ['Latin-1 in the target', 'malformed_target', line('GET /\xe9 HTTP/1.1')],
  ['a fragment', 'malformed_target', line('GET /a#b HTTP/1.1')],
  ['a bare CR in the target', 'malformed_target', line(`GET /a${CR}b HTTP/1.1`)],
  ['a bare LF in the target', 'malformed_target', line(`GET /a${LF}b HTTP/1.1`)],
  ['HTTP/0.9', 'malformed_target', 'GET /\r\n\r\n'],
  ['no target', 'malformed_target', line('GET HTTP/1.1')],
  ['a relative target', 'malformed_target', line('GET a/b HTTP/1.1')],
  ['a query alone', 'malformed_target', line('GET ?a HTTP/1.1')],
  ['an asterisk for another method', 'malformed_target', line('GET * HTTP/1.1')],
  ['more than an asterisk', 'malformed_target', line('OPTIONS ** HTTP/1.1')],
  ['authority form', 'malformed_target', line('GET a:80 HTTP/1.1')],
  ['another scheme', 'malformed_target', line('GET ftp://a/ HTTP/1.1')],
  ['a scheme without authority', 'malformed_target', line('GET http:/a HTTP/1.1')],
  ['an empty authority', 'malformed_target', line('GET http:///a HTTP/1.1')],
  ['user information', 'malformed_target', line('GET http://u@a/ HTTP/1.1')],
  ['user information and password', 'malformed_target', line('GET http://u:p@a/ HTTP/1.1')],
  ['a backslash behind the host', 'malformed_target', line('GET http://a\\@b/ HTTP/1.1')],
  ['a port that is no number', 'malformed_target', line('GET http://a:8x/ HTTP/1.1')],
  ['CONNECT in origin form', 'malformed_target', line('CONNECT / HTTP/1.1')],
  ['CONNECT in absolute form', 'malformed_target', line('CONNECT http://a/ HTTP/1.1')],
  ['CONNECT with an asterisk', 'malformed_target', line('CONNECT * HTTP/1.1')],
  ['CONNECT without a port', 'malformed_target', line('CONNECT a HTTP/1.1')],
  ['CONNECT with an empty port', 'malformed_target', line('CONNECT a: HTTP/1.1')],
  ['CONNECT with user information', 'malformed_target', line('CONNECT u@a:443 HTTP/1.1')],
  ['the preface of HTTP/2', 'unsupported_version', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['HTTP/1.2', 'unsupported_version', line('GET / HTTP/1.2')],
  ['HTTP/3.0', 'unsupported_version', line('GET / HTTP/3.0')],
  ['HTTP/0.9 by name', 'unsupported_version', line('GET / HTTP/0.9')],
  ['a version of two digits', 'malformed_request', line('GET / HTTP/1.10')],
  ['a major version of two digits', 'malformed_request', line('GET / HTTP/11.1')],
  ['a version in lower case', 'malformed_request', line('GET / http/1.1')],
  ['a version without minor', 'malformed_request', line('GET / HTTP/1')],
  ['a version that is no digit', 'malformed_request', line('GET / HTTP/1.x')],
  ['another protocol', 'malformed_request', line('GET / HTTPS/1.1')],
  ['a blank behind the version', 'malformed_request', line('GET / HTTP/1.1 ')],
  ['a tab before the version', 'malformed_target', line('GET /\tHTTP/1.1')],
  ['a bare LF behind the version', 'malformed_request', 'GET / HTTP/1.1\nHost: a\r\n\r\n'],
  ['a bare CR behind the version', 'malformed_request', 'GET / HTTP/1.1\rHost: a\r\n\r\n'],
  ['two CR behind the version', 'malformed_request', 'GET / HTTP/1.1\r\r\nHost: a\r\n\r\n'],
  ['five empty lines before it', 'malformed_request', `${'\r\n'.repeat(5)}GET / HTTP/1.1`],
  ['an empty line of a bare LF', 'malformed_request', `\n${line('GET / HTTP/1.1')}`],
  ['an empty line of two CR', 'malformed_request', `\r\r\n${line('GET / HTTP/1.1')}`],
  ['a blank before the method', 'malformed_request', line(' GET / HTTP/1.1')],
  ['a byte order mark', 'malformed_request', line('\xef\xbb\xbfGET / HTTP/1.1')],
  ['a ClientHello', 'malformed_request', '\x16\x03\x01\x02\x00\x01'],
  [
    'a target that is one byte too long',
    'target_too_long',
    line(`GET /${'a'.repeat(targetBytes)} HTTP/1.1`),
  ],
  ['a target without an end', 'target_too_long', `GET /${'a'.repeat(targetBytes * 5)}`],
]

await test('refuses a request line that two parsers could read differently', async t => {
  for (const [name, error, text] of REFUSED) t.equal(read(text), error, name)
})

await test('waits for the rest of a head', async t => {
  const text = lines('GET / HTTP/1.1', 'Host: a', 'Content-Length: 3')
  for (let cut = 0; cut < text.length; cut++) {
    if (read(text.slice(0, cut)) !== 'incomplete') t.fail(`decided after ${cut} bytes`)
  }
  t.not(read(text), 'incomplete')
  t.equal(read('\r\n\r'), 'incomplete', 'in the empty lines before it')
})

await test('says where a head ends, whatever follows it', async t => {
  const first = lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 3')
  t.match(read(`${first}abc${lines('GET /2 HTTP/1.1', 'Host: b')}`), { method: 'POST', host: 'a' })
  t.match(read(`${first}\0\r\n\n:`), { framing: 'length 3' })
})

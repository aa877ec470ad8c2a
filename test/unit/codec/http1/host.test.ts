import { test } from 'tap'
import { FieldTable } from '../../../../src/codec/http1/field-table.ts'
import { authorityOf, isAuthority, originForm } from '../../../../src/codec/http1/target.ts'
import { lines, readRequest } from '../../../support/http1/heads.ts'

const table = new FieldTable([])

/** The host of a request, or the error. */
function hostOf(...head: string[]): string {
  const seen = readRequest(table, lines(...head))
  return typeof seen === 'string' ? `! ${seen}` : seen.host
}

await test('takes the host from Host, or from a target that names one', async t => {
  const get = 'GET / HTTP/1.1'
  t.equal(hostOf(get, 'Host: Acme.example:80'), 'Acme.example:80')
  t.equal(hostOf(get, 'HOST:\t a \t'), 'a', 'in any case, with blanks around the value')
  t.equal(hostOf(get, 'Host: [2001:db8::1]:8080'), '[2001:db8::1]:8080')
  t.equal(hostOf(get, 'Host: a:'), 'a:', 'with an empty port')
  t.equal(hostOf(get, 'Host:'), '', 'an empty one (RFC 9112 section 3.2)')
  t.equal(hostOf('GET http://a:80/ HTTP/1.1', 'Host: A:80'), 'a:80', 'agreeing but for case')
  t.equal(hostOf('GET http://a/ HTTP/1.1', 'Host:'), 'a', 'an empty one contradicts nothing')
  t.equal(hostOf('OPTIONS * HTTP/1.1', 'Host: a'), 'a')
  t.equal(hostOf('GET / HTTP/1.0'), '', 'HTTP/1.0 needs none')
  t.equal(hostOf('GET / HTTP/1.0', 'Host: a'), 'a')
  t.equal(hostOf('GET http://a/ HTTP/1.0'), 'a')
})

await test('refuses a request whose host is missing, given twice or not valid', async t => {
  const get = 'GET / HTTP/1.1'
  const refused: readonly (readonly [name: string, ...head: string[]])[] = [
    ['none', get],
    ['none in absolute form', 'GET http://a/ HTTP/1.1'],
    ['twice the same', get, 'Host: a', 'Host: a'],
    ['two', get, 'Host: a', 'host: b'],
    ['two, one empty', get, 'Host:', 'Host: b'],
    ['two in HTTP/1.0', 'GET / HTTP/1.0', 'Host: a', 'Host: b'],
    ['only with an underscore', get, 'ho_st: a', '_host: a'],
    ['another one than in the target', 'GET http://a/ HTTP/1.1', 'Host: b'],
    ['another port than in the target', 'GET http://a:1/ HTTP/1.1', 'Host: a:2'],
    ['a port only in the target', 'GET http://a:80/ HTTP/1.1', 'Host: a'],
    ['another one than in the target, HTTP/1.0', 'GET http://a/ HTTP/1.0', 'Host: b'],
    ['a path', get, 'Host: a/b'],
    ['user information', get, 'Host: u@a'],
    ['a blank', get, 'Host: a b'],
    ['a quote', get, 'Host: a"b'],
    ['a backslash', get, 'Host: a\\b'],
    ['a question mark', get, 'Host: a?b'],
    ['a fragment', get, 'Host: a#b'],
    ['a list', get, 'Host: a, b'],
    ['Latin-1', get, 'Host: \xe4'],
    ['two ports', get, 'Host: a:1:2'],
    ['a port that is no number', get, 'Host: a:b'],
    ['a port of six digits', get, 'Host: a:000080'],
    ['no name before the port', get, 'Host: :80'],
    ['IPv6 without brackets', get, 'Host: ::1'],
    ['an open bracket', get, 'Host: [::1'],
    ['something behind the bracket', get, 'Host: [::1]a'],
    ['a zone', get, 'Host: [fe80::1%eth0]'],
    ['a scheme', get, 'Host: http://a'],
    ['256 bytes', get, `Host: ${'a'.repeat(256)}`],
  ]
  for (const [name, ...head] of refused) t.equal(hostOf(...head), '! invalid_host', name)
})

await test('takes the host of a tunnel from its target, and from no other place', async t => {
  const connect = 'CONNECT a.example:443 HTTP/1.1'
  t.equal(hostOf(connect, 'Host: a.example:443'), 'a.example:443')
  t.equal(hostOf(connect, 'Host: A.Example:443'), 'a.example:443', 'agreeing but for case')
  t.equal(hostOf(connect, 'Host:'), 'a.example:443', 'an empty one contradicts nothing')
  t.equal(hostOf('CONNECT [::1]:443 HTTP/1.1', 'Host: [::1]:443'), '[::1]:443')
  t.equal(hostOf('CONNECT a:443 HTTP/1.0'), 'a:443')
  const refused: readonly (readonly [error: string, ...fields: string[]])[] = [
    ['invalid_host'],
    ['invalid_host', 'Host: a.example'],
    ['invalid_host', 'Host: a.example:80'],
    ['invalid_host', 'Host: b.example:443'],
    ['ambiguous_framing', 'Host: a.example:443', 'Content-Length: 0'],
    ['ambiguous_framing', 'Host: a.example:443', 'Content-Length: 5'],
    ['ambiguous_framing', 'Host: a.example:443', 'Transfer-Encoding: chunked'],
  ]
  for (const [error, ...fields] of refused)
    t.equal(hostOf(connect, ...fields), `! ${error}`, fields.join(' and '))
})

await test('finds the authority and the origin form of an absolute target', async t => {
  t.equal(authorityOf('http://a:80/b?c'), 'a:80')
  t.equal(authorityOf('http://a?b'), 'a')
  t.equal(authorityOf('/a'), undefined)
  t.equal(authorityOf('http://u@a/'), undefined)
  t.equal(authorityOf('xhttp://a/'), undefined)
  t.equal(originForm('GET', 'http://a/b?c#'), '/b?c#')
  t.equal(originForm('GET', 'HTTP://a'), '/')
  t.equal(originForm('GET', 'http://a?b'), '/?b')
  t.equal(originForm('GET', '/http://a/b'), '/http://a/b')
  t.equal(originForm('OPTIONS', '*'), '*')
  t.equal(originForm('OPTIONS', 'http://a'), '*', 'RFC 9112 section 3.2.4')
  t.equal(originForm('OPTIONS', 'http://a/'), '/')
  t.equal(originForm('OPTIONS', 'http://a?b'), '/?b')
})

await test('knows an authority', async t => {
  for (const text of ['a', 'a.b-c_d~', '127.0.0.1:1', '[::1]', "!$&'()*+,;=", 'a%20b'])
    t.ok(isAuthority(text), text)
  for (const text of ['', 'a b', 'a\n', '[]', '[x]', 'a:123456', '\u212a', 'a/'])
    t.notOk(isAuthority(text), JSON.stringify(text))
})

import { test } from 'tap'
import { DEFAULT_CAPS } from '../../../../src/codec/http1/caps.ts'
import { FieldTable } from '../../../../src/codec/http1/field-table.ts'
import { lines, readResponse } from '../../../support/http1/heads.ts'

const table = new FieldTable([{ name: 'x-request-id', forward: false }], ['x-amt-'])

await test('reads a status line', async t => {
  t.match(readResponse(table, lines('HTTP/1.1 200 OK')), { status: 200, reason: 'OK' })
  t.match(readResponse(table, lines('HTTP/1.0 404 Not Found')), {
    status: 404,
    reason: 'Not Found',
  })
  t.match(readResponse(table, lines('HTTP/1.1 200 ')), { status: 200, reason: '' })
  t.match(readResponse(table, lines('HTTP/1.1 200')), { status: 200, reason: '' }, 'no blank')
  t.match(readResponse(table, lines('HTTP/1.1 599 a\tb \xe4')), {
    status: 599,
    reason: 'a\tb \xe4',
  })
  t.match(readResponse(table, lines('HTTP/1.1 100 Continue')), { status: 100, framing: 'none' })
})

await test('refuses what is not a response', async t => {
  const refused: readonly (readonly [name: string, text: string])[] = [
    ['HTTP/2', lines('HTTP/2.0 200 OK')],
    ['HTTP/1.2', lines('HTTP/1.2 200 OK')],
    ['no minor version', lines('HTTP/1 200 OK')],
    ['lower case', lines('http/1.1 200 OK')],
    ['an empty line before it', `\r\n${lines('HTTP/1.1 200 OK')}`],
    ['two blanks', lines('HTTP/1.1  200 OK')],
    ['a tab', lines('HTTP/1.1\t200 OK')],
    ['a tab behind the status', lines('HTTP/1.1 200\tOK')],
    ['two digits', lines('HTTP/1.1 20 OK')],
    ['four digits', lines('HTTP/1.1 2000 OK')],
    ['status 0xx', lines('HTTP/1.1 099 OK')],
    ['status 6xx', lines('HTTP/1.1 600 OK')],
    ['a sign', lines('HTTP/1.1 +20 OK')],
    ['NUL in the reason', lines('HTTP/1.1 200 O\0K')],
    ['a bare CR in the reason', lines('HTTP/1.1 200 O\rK')],
    ['a bare LF behind the line', 'HTTP/1.1 200 OK\nA: b\r\n\r\n'],
    ['an escape in the reason', lines('HTTP/1.1 200 \x1b[2J')],
    ['a folded field', lines('HTTP/1.1 200 OK', 'a: b', ' c')],
    ['a blank before the colon', lines('HTTP/1.1 200 OK', 'a : b')],
    ['a bare LF in a field', lines('HTTP/1.1 200 OK', 'a: b\nc: d')],
    ['a request', lines('GET / HTTP/1.1', 'Host: a')],
    ['HTML', '<html><body>It works!</body></html>'],
    [
      'too many fields',
      lines(
        'HTTP/1.1 200 OK',
        ...Array.from({ length: DEFAULT_CAPS.fields + 1 }, (_, at) => `f${at}: v`),
      ),
    ],
    ['too large a head', lines('HTTP/1.1 200 OK', `a: ${'b'.repeat(DEFAULT_CAPS.headBytes)}`)],
    ['an endless reason', `HTTP/1.1 200 ${'a'.repeat(DEFAULT_CAPS.headBytes)}`],
    ['an endless field', `HTTP/1.1 200 OK\r\na: ${'b'.repeat(DEFAULT_CAPS.headBytes)}`],
  ]
  for (const [name, text] of refused) t.equal(readResponse(table, text), 'invalid', name)
  const room = DEFAULT_CAPS.headBytes - lines('HTTP/1.1 200 OK', 'a: ').length
  t.type(readResponse(table, lines('HTTP/1.1 200 OK', `a: ${'b'.repeat(room)}`)), 'object')
})

await test('knows which responses have no body', async t => {
  const body = ['Content-Length: 5']
  const head = readResponse(table, lines('HTTP/1.1 200 OK', ...body), true)
  t.match(head, { framing: 'none', declaredLength: 5 }, 'of HEAD: the length of what GET would get')
  t.match(readResponse(table, lines('HTTP/1.1 200 OK', 'Content-Length: 0'), true), {
    declaredLength: 0,
  })
  t.match(readResponse(table, lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'), true), {
    framing: 'none',
    declaredLength: -1,
  })
  t.match(readResponse(table, lines('HTTP/1.1 200 OK'), true), {
    framing: 'none',
    declaredLength: -1,
  })
  t.match(readResponse(table, lines('HTTP/1.1 304 Not Modified', ...body)), {
    framing: 'none',
    declaredLength: 5,
    close: false,
  })
  t.match(readResponse(table, lines('HTTP/1.1 204 No Content')), { framing: 'none', close: false })
  t.match(readResponse(table, lines('HTTP/1.1 204 No Content', 'Content-Length: 0')), {
    framing: 'none',
    declaredLength: -1,
    close: false,
  })
  t.match(readResponse(table, lines('HTTP/1.1 205 Reset Content')), { framing: 'until-close' })
})

await test('uses no connection again on which a 204 announced a body', async t => {
  for (const field of ['Content-Length: 5', 'Transfer-Encoding: chunked'])
    t.match(
      readResponse(table, lines('HTTP/1.1 204 No Content', field)),
      { framing: 'none', declaredLength: -1, close: true },
      field,
    )
})

await test('refuses an interim response that announces a body', async t => {
  for (const status of [100, 101, 103])
    for (const field of ['Content-Length: 5', 'Transfer-Encoding: chunked'])
      t.equal(
        readResponse(table, lines(`HTTP/1.1 ${status} a`, field)),
        'invalid',
        `${status} ${field}`,
      )
  t.type(readResponse(table, lines('HTTP/1.1 101 a', 'Content-Length: 0')), 'object')
})

await test('reads until close where nothing says how long a body is', async t => {
  t.match(readResponse(table, lines('HTTP/1.1 200 OK')), { framing: 'until-close' })
  t.match(readResponse(table, lines('HTTP/1.0 200 OK')), { framing: 'until-close' })
  t.equal(readResponse(table, lines('HTTP/1.0 200 OK', 'Transfer-Encoding: chunked')), 'invalid')
})

await test('keeps hop-by-hop fields, those that Connection names and our own', async t => {
  const seen = readResponse(
    table,
    lines(
      'HTTP/1.1 200 OK',
      'Connection: close, X-Hop',
      'Keep-Alive: timeout=5',
      'X-Hop: 1',
      'Set-Cookie: a=b',
      'x-amt-tenant: other',
      'X-Request-Id: forged',
      'x_request_id: forged',
      'Set-Cookie: c=d',
    ),
  )
  t.match(seen, { close: true, lines: 'Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n' })
})

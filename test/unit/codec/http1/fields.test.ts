import { test } from 'tap'
import { DEFAULT_CAPS } from '../../../../src/codec/http1/caps.ts'
import { INVALID } from '../../../../src/codec/http1/field-section.ts'
import { FieldTable } from '../../../../src/codec/http1/field-table.ts'
import { RequestHead } from '../../../../src/codec/http1/request-head.ts'
import { latin1, readAtEverySplit } from '../../../support/http1/every-split.ts'
import { lines, readRequest, type SeenRequest } from '../../../support/http1/heads.ts'

const table = new FieldTable(
  [
    { name: 'x-key', forward: false },
    { name: 'x-seen', forward: true },
  ],
  ['x-amt-', 'x-forwarded-'],
)
const START = ['GET / HTTP/1.1', 'Host: a'] as const

const errorOf = (...fields: string[]): string =>
  readRequest(table, lines(...START, ...fields)) as string
/** The lines that are forwarded. */
const forwarded = (...fields: string[]): string[] =>
  (readRequest(table, lines(...START, ...fields)) as SeenRequest).lines.split('\r\n').slice(0, -1)

await test('refuses field lines that are not exactly name, colon, value and CRLF', async t => {
  const refused: readonly (readonly [name: string, ...fields: string[]])[] = [
    ['no colon', 'abc'],
    ['no name', ': a'],
    ['only a colon', ':'],
    ['a blank before the colon', 'a : b'],
    ['a tab before the colon', 'a\t: b'],
    ['a blank before the name', ' a: b'],
    ['a folded line', 'a: b', ' c'],
    ['a folded line with a tab', 'a: b', '\tc'],
    ['a line of one blank', ' '],
    ['a blank in the name', 'a b: c'],
    ['a name in Latin-1', 'a\xe4: b'],
    ['NUL in the name', 'a\0: b'],
    ['a name in parentheses', '(a): b'],
    ['a quoted name', '"a": b'],
    ['a slash in the name', 'a/b: c'],
    ['a bare LF in the name', 'a\nb: c'],
    ['a bare CR in the name', 'a\rb: c'],
    ['NUL in the value', 'a: b\0c'],
    ['a bare CR in the value', 'a: b\rc'],
    ['a bare CR at the end of the value', 'a: b\r'],
    ['a bare LF in the value', 'a: b\nc: d'],
    ['a bare LF behind the colon', 'a:\nb: c'],
    ['a bell in the value', 'a: \x07'],
    ['an escape in the value', 'a: \x1b[0m'],
    ['a vertical tab in the value', 'a:\vb'],
    ['a form feed in the value', 'a: b\f'],
    ['DEL in the value', 'a: \x7f'],
    ['a CR alone before the end', 'a: b', '\r'],
  ]
  for (const [name, ...fields] of refused) t.equal(errorOf(...fields), 'malformed_field', name)
  t.equal(readRequest(table, `${START.join('\r\n')}\n\n`), 'malformed_field', 'bare LF at the end')
  t.equal(readRequest(table, `${START.join('\r\n')}\r\n\n`), 'malformed_field', 'CRLF and LF')
  t.equal(readRequest(table, `${START.join('\r\n')}\r\n\r\r\n`), 'malformed_field', 'CR CR LF')
})

await test('refuses a control character in a long value, wherever it stands', async t => {
  for (const bad of ['\0', '\x01', '\n', '\x1f', '\x7f'])
    for (let at = 0; at <= 70; at++) {
      const error = errorOf(`Authorization: ${'a'.repeat(at)}${bad}${'é'.repeat(70 - at)}`)
      if (error !== 'malformed_field')
        t.fail(`${JSON.stringify(bad)} behind ${at} characters: ${JSON.stringify(error)}`)
    }
  t.same(forwarded(`A: ${'b'.repeat(40)}\té${'c'.repeat(40)}`), [
    `A: ${'b'.repeat(40)}\té${'c'.repeat(40)}`,
  ])
})

await test('forwards other fields as they came', async t => {
  const same = [
    'Accept: */*',
    'a:b',
    'a: b',
    'a:  \t b \t ',
    'empty:',
    'EMPTY: ',
    'obs-text: \xe4\xff',
    "!#$%&'*+-.^`|~09az: token",
    'a_b: underscores of nobody stay',
    'x-seen: 1',
    'Cookie: a=b; c="d:e"',
  ]
  t.same(forwarded(...same), same)
  t.same(forwarded(), [])
})

await test('keeps what belongs to one hop or to the proxy, whatever its case', async t => {
  const ending = [
    'Connection: keep-alive',
    'KEEP-ALIVE: timeout=5',
    'Proxy-Connection: keep-alive',
    'TE: trailers',
    'Trailer: a',
    'Upgrade: websocket',
    'expect: 100-continue',
    'Proxy-Authorization: Basic a',
    'Proxy-Authenticate: Basic',
    'HTTP2-Settings: a',
    'Content-Length: 0',
    'X-Key: secret',
    'X-Amt-Tenant: other',
    'x-amt-: other',
    'X-Forwarded-For: 1.2.3.4',
    'x-forwarded-anything: a',
  ]
  for (const field of ending)
    t.same(forwarded('before: 1', field, 'after: 2'), ['before: 1', 'after: 2'], field)
  t.same(forwarded(...ending), [])
  const staying = ['x-amt: a', 'x-forwarded: a', 'ax-amt-tenant: a', 'keep-alive2: a', 'x-keys: a']
  t.same(forwarded(...staying), staying, 'names that only resemble them')
})

await test('drops names that an application could take for those, with underscores', async t => {
  const similar = [
    'content_length: 5',
    'Transfer_Encoding: chunked',
    'transfer-encoding_: a',
    'x_key: a',
    'x_amt_tenant: other',
    'X_AMT-TENANT: other',
    'x-amt_tenant: other',
    'x_forwarded_for: 1.2.3.4',
    '_: a',
  ]
  t.same(forwarded(...similar), ['transfer-encoding_: a', '_: a'])
})

await test('gives values to who looks at them, joined where they came more than once', async t => {
  const head = new RequestHead(table)
  const text = lines(...START, 'x-seen: 1', 'X-Key:  a\t', 'x-seen:', 'X-SEEN: 3', 'x_key: b')
  t.equal(head.read(latin1(text), 0, text.length), text.length)
  const { values, seen, repeated } = head.fields
  const [key, twice] = [table.slotOf('x-key'), table.slotOf('x-seen')]
  t.equal(values[key], 'a')
  t.equal(values[twice], '1, , 3')
  t.ok(seen & (1 << key) && seen & (1 << twice))
  t.notOk(repeated & (1 << key))
  t.ok(repeated & (1 << twice))
  const next = lines(...START)
  t.equal(head.read(latin1(next), 0, next.length), next.length)
  t.equal(values[key], '', 'nothing of it stays for the next head')
  t.equal(head.fields.seen, 1)
})

await test('does not forward what Connection names', async t => {
  t.same(forwarded('Connection: close, X-One', 'x-one: 1', 'X-ONE: 1', 'x-two: 2'), ['x-two: 2'])
  t.same(forwarded('x-one: 1', 'connection: x-one', 'Connection: X-Two', 'x-two: 2'), [])
  t.same(forwarded('Connection: x-seen', 'x-seen: 1', 'b: 2'), ['b: 2'])
  t.same(forwarded('Connection: x-on, x-one-more, x', 'x-one: 1'), ['x-one: 1'], 'only whole names')
  t.same(forwarded('Connection: ,, ,', 'a: 1'), ['a: 1'])
})

await test('holds a head to its caps', async t => {
  const many = (count: number): string[] =>
    Array.from({ length: count }, (_, index) => `f${index}: v`)
  t.equal(forwarded(...many(DEFAULT_CAPS.fields - 1)).length, DEFAULT_CAPS.fields - 1)
  t.equal(errorOf(...many(DEFAULT_CAPS.fields)), 'too_many_fields')
  const room = DEFAULT_CAPS.headBytes - lines(...START, 'a: ').length
  t.equal(forwarded(`a: ${'v'.repeat(room)}`).length, 1, 'the largest head')
  t.equal(errorOf(`a: ${'v'.repeat(room + 1)}`), 'head_too_large')
  t.equal(errorOf(`a: ${'v'.repeat(room * 3)}`), 'head_too_large')
  t.equal(errorOf(`${'n'.repeat(room * 2)}: v`), 'head_too_large', 'a name without end')
  t.equal(
    errorOf(`a: ${'v'.repeat(room + 2)}`, ' folded'),
    'head_too_large',
    'whatever stands behind the cap',
  )
  const open = `${START.join('\r\n')}\r\na: ${'v'.repeat(DEFAULT_CAPS.headBytes)}`
  t.equal(readRequest(table, open), 'head_too_large', 'before its end has come')
  const empty = '\r\n'.repeat(4)
  t.type(
    readRequest(table, `${empty}${lines(...START, `a: ${'v'.repeat(room)}`)}`),
    'object',
    'empty lines before it are not part of it',
  )
})

await test('a table takes no two names that it could not tell apart', async t => {
  t.throws(() => new FieldTable([{ name: 'host', forward: true }]), RangeError)
  t.throws(
    () =>
      new FieldTable(Array.from({ length: 31 }, (_, at) => ({ name: `f${at}`, forward: true }))),
  )
  t.throws(() => table.slotOf('absent'), RangeError)
})

await test('a name whose hash is that of a known one stays a stranger', async t => {
  // 31 * 'c' + 'o' = 31 * 'e' + '1' in the hash of the table.
  t.same(forwarded('e1ntent-length: 5', 'Content-Length: 0'), ['e1ntent-length: 5'])
  t.match(readRequest(table, lines('POST / HTTP/1.1', 'jqst: a', 'j1st: b')), 'invalid_host')
})

await test('reads how many hops are left where the method counts them', async t => {
  const hops = (method: string, ...values: string[]): string | number => {
    const head = new RequestHead(table)
    const text = latin1(
      lines(`${method} / HTTP/1.1`, 'Host: a', ...values.map(value => `Max-Forwards: ${value}`)),
    )
    const reader = {
      read: (bytes: Buffer, start: number, end: number) => head.read(bytes, start, end),
      said: (result: number) => (result === INVALID ? head.error : head.hopsLeft),
    }
    return readAtEverySplit(reader, text).said as string | number
  }
  t.equal(hops('OPTIONS', '0'), 0)
  t.equal(hops('TRACE', ' 12 '), 12)
  t.equal(hops('OPTIONS'), -1)
  t.equal(hops('GET', '0'), -1, 'GET does not')
  t.equal(hops('GET', 'x', 'y'), -1)
  for (const values of [[''], ['-1'], ['+1'], ['1.0'], ['0x1'], ['a'], ['1, 1'], ['1', '1']])
    for (const method of ['OPTIONS', 'TRACE'])
      t.equal(hops(method, ...values), 'malformed_field', `${method} ${values.join(' and ')}`)
})

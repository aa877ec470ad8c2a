/** Header sections of HTTP/2: what makes one malformed (RFC 9113 §8), rule by rule. */
import { test } from 'tap'
import { HeaderField } from '../../../../src/codec/http2/header-field.ts'
import { parsePriority } from '../../../../src/codec/http2/priority.ts'
import { isTrailerSection, RequestSection } from '../../../../src/codec/http2/request-section.ts'
import { ResponseSection } from '../../../../src/codec/http2/response-section.ts'
import type { ErrorCode } from '../../../../src/core/errors.ts'

type Pairs = readonly (readonly [name: string, value: string])[]

function listOf(pairs: Pairs): HeaderField[] {
  return pairs.map(([name, value]) => new HeaderField(name, value, 0))
}

const GET: Pairs = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', 'orders.example.com'],
  [':path', '/v1/orders?a=b'],
]
/** GET with some of it replaced, or left out. */
function get(changes: Readonly<Record<string, string | undefined>>, ...more: Pairs): Pairs {
  const kept = GET.flatMap(([name, value]) => {
    const changed = name in changes ? changes[name] : value
    return changed === undefined ? [] : [[name, changed] as const]
  })
  return [...kept, ...more]
}

const section = new RequestSection()

await test('a request is read', async t => {
  const accepted = section.read(
    listOf([
      ...GET,
      ['cookie', 'a=1'],
      ['x-one', '1'],
      ['te', 'trailers'],
      ['cookie', 'b=2'],
      ['content-length', '12'],
      ['host', 'ORDERS.example.com'],
      ['x-two', 'ö'],
    ]),
  )
  t.ok(accepted)
  t.match(section, {
    method: 'GET',
    scheme: 'https',
    authority: 'orders.example.com',
    path: '/v1/orders?a=b',
    protocol: '',
    contentLength: 12,
    takesTrailers: true,
    cookie: 'a=1; b=2',
  })
  t.same(
    section.fields.map(({ name, value }) => [name, value]),
    [
      ['x-one', '1'],
      ['x-two', 'ö'],
    ],
  )
  t.ok(section.read(listOf(GET)))
  t.match(
    section,
    { contentLength: -1, takesTrailers: false, cookie: '', fields: [] },
    'nothing stays',
  )
})

await test('empty crumbs of a cookie leave no blanks behind', async t => {
  for (const crumbs of [
    ['a=1', 'b=2', ''],
    ['', 'a=1', '', '', 'b=2'],
  ]) {
    const cookies = crumbs.map(crumb => ['cookie', crumb] as const)
    t.ok(section.read(listOf([...GET, ...cookies])))
    t.equal(section.cookie, 'a=1; b=2')
  }
})

const ACCEPTED: Readonly<Record<string, Pairs>> = {
  'host instead of :authority': get({ ':authority': undefined }, ['host', 'a.example']),
  'OPTIONS *': get({ ':method': 'OPTIONS', ':path': '*' }),
  'a port and IPv6': get({ ':authority': '[::1]:8443' }),
  CONNECT: [
    [':method', 'CONNECT'],
    [':authority', 'db.example:5432'],
  ],
  'extended CONNECT (RFC 8441)': get({ ':method': 'CONNECT' }, [':protocol', 'websocket']),
  'a method that nobody knows': get({ ':method': 'FROBNICATE' }),
  'an empty value': get({}, ['x', '']),
}

for (const [what, pairs] of Object.entries(ACCEPTED)) {
  await test(`accepted: ${what}`, async t => {
    t.ok(section.read(listOf(pairs)), section.error)
  })
}

const REFUSED: Readonly<Record<string, readonly [Pairs, ErrorCode]>> = {
  'no :method': [get({ ':method': undefined }), 'malformed_request'],
  'no :scheme': [get({ ':scheme': undefined }), 'malformed_request'],
  'no :path': [get({ ':path': undefined }), 'malformed_request'],
  'neither :authority nor host': [get({ ':authority': undefined }), 'invalid_host'],
  'an empty :authority': [get({ ':authority': '' }, ['host', 'a.example']), 'invalid_host'],
  'an empty :path': [get({ ':path': '' }), 'malformed_target'],
  'an empty :method': [get({ ':method': '' }), 'malformed_request'],
  'a path that is no path': [get({ ':path': 'v1' }), 'malformed_target'],
  'a path with a blank': [get({ ':path': '/a b' }), 'malformed_target'],
  'a path that ends a request line': [get({ ':path': '/ HTTP/1.1\r\nhost: b' }), 'malformed_field'],
  'a path with a fragment': [get({ ':path': '/a#b' }), 'malformed_target'],
  'a path with an octet beyond ASCII': [get({ ':path': '/ö' }), 'malformed_target'],
  '* for a GET': [get({ ':path': '*' }), 'malformed_target'],
  'a method with a blank': [get({ ':method': 'GET /' }), 'malformed_request'],
  'a method without an end': [get({ ':method': 'A'.repeat(33) }), 'malformed_request'],
  'another scheme': [get({ ':scheme': 'ftp' }), 'malformed_target'],
  'user information in :authority': [get({ ':authority': 'user@a.example' }), 'invalid_host'],
  'an :authority that is none': [get({ ':authority': 'a.example/b' }), 'invalid_host'],
  'a host that says another one': [get({}, ['host', 'b.example']), 'invalid_host'],
  'two hosts': [get({ ':authority': undefined }, ['host', 'a'], ['host', 'a']), 'invalid_host'],
  'two of a pseudo-header field': [get({}, [':path', '/']), 'malformed_request'],
  'a pseudo-header field behind another field': [[['x', '1'], ...GET], 'malformed_request'],
  'a pseudo-header field behind a crumb of cookie': [
    [['cookie', 'a=1'], ...GET],
    'malformed_request',
  ],
  'a pseudo-header field that does not exist': [get({}, [':x', '1']), 'malformed_field'],
  'the pseudo-header field of a response': [get({}, [':status', '200']), 'malformed_field'],
  'a name in upper case': [get({}, ['X-One', '1']), 'malformed_field'],
  'a name with a blank': [get({}, ['x one', '1']), 'malformed_field'],
  'a name with a colon': [get({}, ['x:one', '1']), 'malformed_field'],
  'an empty name': [get({}, ['', '1']), 'malformed_field'],
  'a value with CR': [get({}, ['x', 'a\rb']), 'malformed_field'],
  'a value with LF': [get({}, ['x', 'a\nb']), 'malformed_field'],
  'a value with NUL': [get({}, ['x', 'a\0b']), 'malformed_field'],
  'a value that begins with a blank': [get({}, ['x', ' a']), 'malformed_field'],
  'a value that ends with a tab': [get({}, ['x', 'a\t']), 'malformed_field'],
  connection: [get({}, ['connection', 'close']), 'malformed_field'],
  'keep-alive': [get({}, ['keep-alive', 'timeout=5']), 'malformed_field'],
  'proxy-connection': [get({}, ['proxy-connection', 'close']), 'malformed_field'],
  'transfer-encoding': [get({}, ['transfer-encoding', 'chunked']), 'malformed_field'],
  upgrade: [get({}, ['upgrade', 'websocket']), 'malformed_field'],
  'te of anything but trailers': [get({}, ['te', 'gzip']), 'malformed_field'],
  'two lengths': [get({}, ['content-length', '1'], ['content-length', '1']), 'ambiguous_framing'],
  'a length that is none': [get({}, ['content-length', '+1']), 'ambiguous_framing'],
  'a list of lengths': [get({}, ['content-length', '1, 1']), 'ambiguous_framing'],
  'CONNECT with a path': [get({ ':method': 'CONNECT' }), 'malformed_request'],
  'CONNECT without a port': [
    [
      [':method', 'CONNECT'],
      [':authority', 'a.example'],
    ],
    'malformed_target',
  ],
  'CONNECT with a length': [
    [
      [':method', 'CONNECT'],
      [':authority', 'a:1'],
      ['content-length', '1'],
    ],
    'ambiguous_framing',
  ],
  ':protocol without CONNECT': [get({}, [':protocol', 'websocket']), 'malformed_request'],
  'extended CONNECT without :authority': [
    get(
      { ':method': 'CONNECT', ':authority': undefined },
      [':protocol', 'websocket'],
      ['host', 'a'],
    ),
    'malformed_request',
  ],
}

for (const [what, [pairs, error]] of Object.entries(REFUSED)) {
  await test(`malformed: ${what}`, async t => {
    t.notOk(section.read(listOf(pairs)))
    t.equal(section.error, error)
  })
}

await test('trailers have no pseudo-header fields, and nothing that frames a message', async t => {
  t.ok(
    isTrailerSection(
      listOf([
        ['grpc-status', '0'],
        ['x', ''],
      ]),
    ),
  )
  t.ok(isTrailerSection([]))
  for (const name of [
    ':path',
    ':status',
    'content-length',
    'host',
    'te',
    'transfer-encoding',
    'X',
    'a b',
  ])
    t.notOk(
      isTrailerSection(
        listOf([
          ['grpc-status', '0'],
          [name, '1'],
        ]),
      ),
      name,
    )
})

await test('a response is read', async t => {
  const response = new ResponseSection()
  t.ok(
    response.read(
      listOf([
        [':status', '200'],
        ['x', '1'],
        ['content-length', '7'],
        ['set-cookie', 'a'],
      ]),
    ),
  )
  t.match(response, { status: 200, contentLength: 7 })
  t.same(
    response.fields.map(({ name }) => name),
    ['x', 'set-cookie'],
  )
  t.ok(response.read(listOf([[':status', '103']])))
  t.match(response, { status: 103, contentLength: -1, fields: [] })
})

const BAD_RESPONSES: Readonly<Record<string, Pairs>> = {
  'nothing at all': [],
  'no :status': [['x', '1']],
  ':status behind a field': [
    ['x', '1'],
    [':status', '200'],
  ],
  'two of :status': [
    [':status', '200'],
    [':status', '200'],
  ],
  'a status that is none': [[':status', '2000']],
  'a change of protocol': [[':status', '101']],
  'a field of a request': [
    [':status', '200'],
    [':path', '/'],
  ],
  'transfer-encoding': [
    [':status', '200'],
    ['transfer-encoding', 'chunked'],
  ],
  connection: [
    [':status', '200'],
    ['connection', 'close'],
  ],
  'a value with LF': [
    [':status', '200'],
    ['x', 'a\nb'],
  ],
  'two lengths': [
    [':status', '200'],
    ['content-length', '1'],
    ['content-length', '1'],
  ],
}

for (const [what, pairs] of Object.entries(BAD_RESPONSES)) {
  await test(`malformed response: ${what}`, async t => {
    t.notOk(new ResponseSection().read(listOf(pairs)))
  })
}

await test('priorities', async t => {
  for (const [value, urgency, incremental] of [
    ['', 3, false],
    ['u=0', 0, false],
    ['u=7, i', 7, true],
    ['i=?0,u=1', 1, false],
    ['i=?1;x=1', 3, true],
    ['u=8', 3, false],
    ['u=-1', 3, false],
    ['u=1.5', 3, false],
    ['u="1"', 3, false],
    ['u=1,u=2', 2, false],
    ['U=1', 3, false],
    ['unknown=5, u=4', 4, false],
    ['\0', 3, false],
    [`${'x,'.repeat(200)}u=1`, 3, false],
  ] as const)
    t.same(parsePriority(value), { urgency, incremental }, JSON.stringify(value))
})

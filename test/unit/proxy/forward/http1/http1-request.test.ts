import { test } from 'tap'
import { RequestHead } from '../../../../../src/codec/http1/request-head.ts'
import { CallRequest } from '../../../../../src/proxy/forward/call-request.ts'
import type { Downstream } from '../../../../../src/proxy/forward/downstream.ts'
import { ForwardedFields } from '../../../../../src/proxy/forward/fields.ts'
import { requestHeadText } from '../../../../../src/proxy/forward/http1/http1-request.ts'
import { OriginMemo } from '../../../../../src/proxy/forward/origin-memo.ts'
import { Endpoint } from '../../../../../src/proxy/pool/endpoint.ts'
import type { WorkerContext } from '../../../../../src/proxy/worker/context.ts'

const endpoint = new Endpoint('http://10.0.0.9:8080')

interface Setting {
  readonly trusted?: boolean
  readonly query?: string
  readonly forwardCredentials?: boolean
  /** Whether the credentials that came were for the proxy. */
  readonly owned?: boolean
}

/** A writer with what it needs of a worker and a connection. */
function writerFor(setting: Setting = {}): { writer: CallRequest; head: RequestHead } {
  const { trusted = false, query, forwardCredentials = false, owned = false } = setting
  const fields = new ForwardedFields('x-api-key')
  let ids = 0
  const context = {
    fields,
    pseudonym: 'orders-a1b2',
    config: {
      authentication: { forwardCredentials, apiKey: { header: 'x-api-key', query } },
    },
    nextRequestId: () => `made-${++ids}`,
  } as unknown as WorkerContext
  const downstream = {
    peerAddress: '192.0.2.1',
    openedAt: 0,
    secure: false,
    trusted,
    clientCertificate: '',
    evidence: { ownsAuthorization: owned, ownsApiKey: owned },
  } as unknown as Downstream
  const head = new RequestHead(trusted ? fields.trustedRequest : fields.request)
  const writer = new CallRequest(context)
  writer.serve(
    downstream,
    new OriginMemo(downstream, { received: '1.1', pseudonym: 'orders-a1b2' }),
  )
  return { writer, head }
}

function take(setting: Setting, ...lines: string[]): CallRequest {
  const { writer, head } = writerFor(setting)
  return takeNext(writer, head, ...lines)
}

function takeNext(writer: CallRequest, head: RequestHead, ...lines: string[]): CallRequest {
  const text = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  if (head.read(text, 0, text.length) !== text.length) throw new Error(head.error)
  writer.take(head)
  return writer
}

const ORIGIN = [
  'x-amt-tenant: acme',
  'x-forwarded-for: 192.0.2.1',
  'x-forwarded-proto: http',
  'x-forwarded-host: a',
  'forwarded: for=192.0.2.1;host="a";proto=http',
  'via: 1.1 orders-a1b2',
]

/** Lines of the head that the deployment gets. */
const written = (writer: CallRequest, tenant = 'acme'): string[] =>
  requestHeadText(writer, { tenant, endpoint, apiKeyHeader: 'x-api-key', lines: '' }).split('\r\n')
/** The same without those about origin and request id, which every head has. */
const ownLines = (setting: Setting, ...lines: string[]): string[] => {
  const all = written(take(setting, ...lines))
  return all.slice(0, all.indexOf('x-amt-tenant: acme'))
}

await test('writes a head of which only the other fields are as they came', async t => {
  t.same(written(take({}, 'GET /a?b HTTP/1.1', 'Host: a', 'Accept: */*', 'X-Request-Id: mine')), [
    'GET /a?b HTTP/1.1',
    'host: a',
    'Accept: */*',
    ...ORIGIN,
    'x-request-id: mine',
    '',
    '',
  ])
})

await test('writes framing anew', async t => {
  const post = ['POST / HTTP/1.1', 'Host: a']
  const start = ['POST / HTTP/1.1', 'host: a']
  t.same(ownLines({}, ...post, 'CONTENT-LENGTH:  007'), [...start, 'content-length: 7'])
  t.same(ownLines({}, ...post, 'Transfer-Encoding: Chunked', 'Trailer: b'), [
    ...start,
    'transfer-encoding: chunked',
    'trailer: b',
  ])
  t.same(ownLines({}, ...post), [...start, 'content-length: 0'], 'none is said where one is usual')
  t.same(ownLines({}, 'GET / HTTP/1.1', 'Host: a', 'Content-Length: 0'), [
    'GET / HTTP/1.1',
    'host: a',
  ])
})

await test('asks for what was asked for, in the form for an origin', async t => {
  const lineOf = (line: string): string[] => ownLines({}, line, 'Host: a').slice(0, 2)
  t.same(lineOf('GET http://a/b?c HTTP/1.1'), ['GET /b?c HTTP/1.1', 'host: a'])
  t.same(lineOf('OPTIONS http://a HTTP/1.1'), ['OPTIONS * HTTP/1.1', 'host: a'])
  t.same(lineOf('OPTIONS * HTTP/1.1'), ['OPTIONS * HTTP/1.1', 'host: a'])
  t.same(lineOf('GET //b/../c HTTP/1.1'), ['GET //b/../c HTTP/1.1', 'host: a'])
  t.same(written(take({}, 'GET / HTTP/1.0')).slice(0, 2), ['GET / HTTP/1.1', 'host: 10.0.0.9:8080'])
})

await test('passes on what a hop may ask of the next', async t => {
  const get = ['GET / HTTP/1.1', 'Host: a']
  const options = (...fields: string[]): string[] => ownLines({}, ...get, ...fields).slice(2)
  t.same(options('TE: trailers', 'Connection: te'), ['connection: te', 'te: trailers'])
  t.same(options('TE: gzip, Trailers'), ['connection: te', 'te: trailers'])
  t.same(options('TE: gzip'), [])
  t.same(options('Expect: 100-Continue'), ['expect: 100-continue'])
  t.same(options('Connection: Upgrade', 'Upgrade: websocket'), [
    'connection: upgrade',
    'upgrade: websocket',
  ])
  t.same(options('Upgrade: websocket'), [], 'only with Connection')
  for (const h2c of [
    'h2c',
    'websocket, h2c',
    'H2C,websocket',
    'h2',
    'h2c/1',
    'HTTP/2.0',
    'http/1.1',
  ])
    t.same(
      options('Connection: Upgrade, HTTP2-Settings', `Upgrade: ${h2c}`, 'HTTP2-Settings: AAA'),
      [],
      h2c,
    )
  t.same(
    ownLines(
      {},
      'POST / HTTP/1.1',
      'Host: a',
      'Connection: upgrade',
      'Upgrade: a',
      'Content-Length: 1',
    ).slice(2),
    ['content-length: 1'],
    'not behind a body',
  )
  t.same(
    ownLines(
      {},
      'GET / HTTP/1.0',
      'Host: a',
      'Connection: upgrade',
      'Upgrade: a',
      'Expect: 100-continue',
    ).slice(2),
    [],
    'nothing of it from HTTP/1.0',
  )
})

await test('credentials for the proxy end here, those of others go on', async t => {
  const call = ['GET / HTTP/1.1', 'Host: a', 'Authorization: Bearer b', 'X-API-Key: c']
  const credentials = ['authorization: Bearer b', 'x-api-key: c']
  t.same(ownLines({ owned: true }, ...call).slice(2), [])
  t.same(ownLines({ owned: false }, ...call).slice(2), credentials)
  t.same(ownLines({ owned: true, forwardCredentials: true }, ...call).slice(2), credentials)
  t.equal(take({}, ...call).refusal, undefined)
  t.equal(take({}, ...call, 'X-Api-Key: d').refusal, 'credential_ambiguous')
  t.equal(take({}, ...call, 'authorization: d').refusal, 'credential_ambiguous')
})

await test('a key in the query is taken out of it, and never becomes a field', async t => {
  const setting = { query: 'key' }
  const call = (target: string, owned: boolean): string[] =>
    ownLines({ ...setting, owned }, `GET ${target} HTTP/1.1`, 'Host: a')
  t.same(call('/a?b=1&key=c&d', true), ['GET /a?b=1&d HTTP/1.1', 'host: a'])
  t.same(call('/a?key=c', true), ['GET /a HTTP/1.1', 'host: a'])
  t.same(call('/a?key=c', false), ['GET /a?key=c HTTP/1.1', 'host: a'], 'unless it is not ours')
  for (const key of ['%0d%0aX-Amt-Tenant:%20other', '%c4%8d%c4%8ax-amt-tenant:%20other']) {
    t.same(call(`/?key=${key}`, false), [`GET /?key=${key} HTTP/1.1`, 'host: a'])
    t.same(call(`/?key=${key}`, true), ['GET / HTTP/1.1', 'host: a'])
  }
  t.equal(
    take(setting, 'GET /?key=a HTTP/1.1', 'Host: a', 'X-Api-Key: b').refusal,
    'credential_ambiguous',
  )
  t.equal(take(setting, 'GET /?key=a&key=a HTTP/1.1', 'Host: a').refusal, 'credential_ambiguous')
})

await test('keeps a sane request id and makes any other', async t => {
  const idOf = (...ids: string[]): string =>
    take({}, 'GET / HTTP/1.1', 'Host: a', ...ids.map(id => `x-request-id: ${id}`)).requestId
  t.equal(idOf('a-1'), 'a-1')
  for (const ids of [[], [''], ['a b'], ['a"b'], ['a', 'b'], ['x'.repeat(129)]])
    t.equal(idOf(...ids), 'made-1')
})

await test('tells each tenant and host apart on one connection', async t => {
  const { writer, head } = writerFor()
  const call = (host: string, tenant: string): string[] =>
    written(takeNext(writer, head, 'GET / HTTP/1.1', `Host: ${host}`), tenant).filter(line =>
      /^(host|x-amt-tenant|x-forwarded-host):/.test(line),
    )
  const seen = (host: string, tenant: string): string[] => [
    `host: ${host}`,
    `x-amt-tenant: ${tenant}`,
    `x-forwarded-host: ${host}`,
  ]
  for (const [host, tenant] of [
    ['a', 'acme'],
    ['a', 'acme'],
    ['a', 'globex'],
    ['b', 'globex'],
    ['a', 'acme'],
  ] as const)
    t.same(call(host, tenant), seen(host, tenant))
})

await test('believes former hops call by call, of trusted peers alone', async t => {
  const lies = ['X-Forwarded-For: 9.9.9.9', 'X-Forwarded-Proto: https', 'Forwarded: for=9.9.9.9']
  const plain = ['GET / HTTP/1.1', 'Host: a']
  t.same(written(take({}, ...plain, ...lies)).slice(2, -3), ORIGIN)
  const { writer, head } = writerFor({ trusted: true })
  const believed = written(takeNext(writer, head, ...plain, ...lies))
  t.ok(believed.includes('x-forwarded-for: 9.9.9.9, 192.0.2.1'))
  t.ok(believed.includes('x-forwarded-proto: https'))
  t.same(written(takeNext(writer, head, ...plain)).slice(2, -3), ORIGIN, 'and forgets them')
})

await test('nothing of a call stays for the next one', async t => {
  const { writer, head } = writerFor()
  const first = ['Authorization: a', 'X-Api-Key: b', 'TE: trailers', 'Expect: 100-continue', 'c: d']
  takeNext(writer, head, 'POST / HTTP/1.1', 'Host: a', 'Content-Length: 5', ...first)
  t.ok(writer.expectsContinue)
  takeNext(writer, head, 'GET /2 HTTP/1.1', 'Host: a')
  t.notOk(writer.expectsContinue)
  t.same(written(writer), ['GET /2 HTTP/1.1', 'host: a', ...ORIGIN, 'x-request-id: made-2', '', ''])
})

await test('knows which calls may be sent again', async t => {
  const repeatable = (line: string, ...fields: string[]): boolean =>
    take({}, line, 'Host: a', ...fields).repeatable
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])
    t.ok(repeatable(`${method} / HTTP/1.1`), method)
  for (const method of ['POST', 'PATCH', 'get', 'OTHER'])
    t.notOk(repeatable(`${method} / HTTP/1.1`), method)
  t.notOk(repeatable('PUT / HTTP/1.1', 'Content-Length: 1'))
  t.notOk(repeatable('GET / HTTP/1.1', 'Connection: upgrade', 'Upgrade: websocket'))
})

await test('counts the hops of those methods that have them counted', async t => {
  const lines = (line: string, ...fields: string[]): string[] =>
    ownLines({}, line, 'Host: a', ...fields).slice(2)
  t.same(lines('OPTIONS / HTTP/1.1', 'Max-Forwards: 3'), ['max-forwards: 2'])
  t.same(lines('TRACE / HTTP/1.1', 'MAX-FORWARDS: 010'), ['max-forwards: 9'])
  t.same(lines('OPTIONS * HTTP/1.1', `Max-Forwards: ${'9'.repeat(40)}`), ['max-forwards: 999'])
  t.same(
    lines('OPTIONS / HTTP/1.1', 'Max-Forwards: 3', 'Connection: Max-Forwards'),
    ['max-forwards: 2'],
    'Connection takes it from nobody',
  )
  t.same(lines('OPTIONS / HTTP/1.1'), [])
  for (const value of ['0', '7', 'x', '-1'])
    t.same(lines('GET / HTTP/1.1', `Max-Forwards: ${value}`), [`max-forwards: ${value}`])
  t.equal(take({}, 'OPTIONS / HTTP/1.1', 'Host: a', 'Max-Forwards: 0').hopsLeft, 0)
  t.equal(take({}, 'GET / HTTP/1.1', 'Host: a', 'Max-Forwards: 0').hopsLeft, -1)
})

await test('a call that has passed here before is known by its Via', async t => {
  const looped = (...via: string[]): boolean =>
    take({}, 'GET / HTTP/1.1', 'Host: a', ...via.map(value => `Via: ${value}`)).refusal ===
    'loop_detected'
  t.ok(looped('1.1 orders-a1b2'))
  t.ok(looped('1.0 fred', '1.1 orders-a1b2', '1.1 other'))
  t.notOk(looped())
  t.notOk(looped('1.1 orders-ffff', '1.1 orders'))
})

import { test } from 'tap'
import { RequestHead } from '../../../../src/codec/http1/request-head.ts'
import {
  type FormerHops,
  ForwardedFields,
  isSaneRequestId,
  type Origin,
  originFields,
} from '../../../../src/proxy/forward/fields.ts'

const NO_HOPS: FormerHops = { forwardedFor: '', proto: '', host: '', forwarded: '' }
const ORIGIN: Origin = {
  peerAddress: '192.0.2.1',
  secure: false,
  clientCertificate: '',
}

const originLines = (origin: Origin, host: string, hops: FormerHops): string =>
  originFields(origin, { received: '1.1', pseudonym: 'orders-a1b2' }, host, hops)
    .map(({ name, value }) => `${name}: ${value}\r\n`)
    .join('')

await test('says where a call came from', async t => {
  t.same(originLines(ORIGIN, 'a.example', NO_HOPS).split('\r\n'), [
    'x-forwarded-for: 192.0.2.1',
    'x-forwarded-proto: http',
    'x-forwarded-host: a.example',
    'forwarded: for=192.0.2.1;host="a.example";proto=http',
    'via: 1.1 orders-a1b2',
    '',
  ])
  const secure = {
    ...ORIGIN,
    secure: true,
    peerAddress: '2001:db8::1',
    clientCertificate: 'Hash=ab',
  }
  t.same(originLines(secure, 'a.example:8443', NO_HOPS).split('\r\n'), [
    'x-forwarded-for: 2001:db8::1',
    'x-forwarded-proto: https',
    'x-forwarded-host: a.example:8443',
    'forwarded: for="[2001:db8::1]";host="a.example:8443";proto=https',
    'x-forwarded-client-cert: Hash=ab',
    'via: 1.1 orders-a1b2',
    '',
  ])
})

await test('says nothing of a host that nobody asked for', async t => {
  t.same(originLines(ORIGIN, '', NO_HOPS).split('\r\n'), [
    'x-forwarded-for: 192.0.2.1',
    'x-forwarded-proto: http',
    'forwarded: for=192.0.2.1;proto=http',
    'via: 1.1 orders-a1b2',
    '',
  ])
})

await test('adds to what trusted peers say', async t => {
  const hops = { forwardedFor: '10.0.0.1', proto: 'https', host: 'b', forwarded: 'for=10.0.0.1' }
  t.same(originLines(ORIGIN, 'a', hops).split('\r\n'), [
    'x-forwarded-for: 10.0.0.1, 192.0.2.1',
    'x-forwarded-proto: https',
    'x-forwarded-host: b',
    'forwarded: for=10.0.0.1, for=192.0.2.1;host="a";proto=http',
    'via: 1.1 orders-a1b2',
    '',
  ])
})

await test('an address that is unknown, or none at all, stays one token', async t => {
  const forwardedOf = (peerAddress: string): string | undefined =>
    originLines({ ...ORIGIN, peerAddress }, '', NO_HOPS)
      .split('\r\n')
      .find(line => line.startsWith('forwarded'))
  t.equal(forwardedOf(''), 'forwarded: for=unknown;proto=http', 'RFC 7239 section 6')
  t.match(originLines({ ...ORIGIN, peerAddress: '' }, '', NO_HOPS), 'x-forwarded-for: unknown\r\n')
  t.equal(forwardedOf('fe80::1%eth0'), 'forwarded: for="[fe80::1%eth0]";proto=http')
})

await test('keeps only request ids that can do no harm in a log or a header', async t => {
  for (const id of ['a', 'A-z0.9_:+=@/', 'x'.repeat(128)]) t.ok(isSaneRequestId(id), id)
  for (const id of [
    '',
    'a b',
    'a\r\nb: c',
    'a\n',
    'a, b',
    '"a"',
    'a;b',
    '\xe4',
    '{}',
    'x'.repeat(129),
  ])
    t.notOk(isSaneRequestId(id), JSON.stringify(id))
})

/** The lines that are forwarded of a request with these. */
function forwarded(fields: ForwardedFields, trusted: boolean, ...lines: string[]): string {
  const head = new RequestHead(trusted ? fields.trustedRequest : fields.request)
  const text = Buffer.from(`GET / HTTP/1.1\r\nhost: a\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  if (head.read(text, 0, text.length) !== text.length) throw new Error(head.error)
  return head.lines
}

await test('nothing that a client says about identity or origin is forwarded', async t => {
  const fields = new ForwardedFields('x-api-key')
  const lies = [
    'X-Amt-Tenant: other',
    'X-AMT-Anything: other',
    'X-Api-Key: secret',
    'Authorization: Bearer a',
    'X-Forwarded-Client-Cert: Hash=ab',
    'X-Request-Id: a',
    'X-Forwarded-For: 1.2.3.4',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: b',
    'Forwarded: for=1.2.3.4',
    'x_api_key: secret',
    'x_amt_tenant: other',
    'X_Forwarded_Client_Cert: Hash=ab',
  ]
  for (const trusted of [false, true]) t.equal(forwarded(fields, trusted, ...lies), '')
  const prefix = 'X-Forwarded-Prefix: /a'
  t.equal(forwarded(fields, false, prefix), '')
  t.equal(forwarded(fields, true, prefix), `${prefix}\r\n`, 'but for peers that are trusted')
  const plain = 'Via: 1.1 other\r\nCookie: a\r\n'
  t.equal(forwarded(fields, false, ...plain.trimEnd().split('\r\n')), plain)
})

await test('the field of API keys may be Authorization itself', async t => {
  const { slots } = new ForwardedFields('authorization')
  t.equal(slots.apiKey, slots.authorization)
  const other = new ForwardedFields('x-key')
  t.not(other.slots.apiKey, other.slots.authorization)
  t.equal(other.apiKeyHeader, 'x-key')
})

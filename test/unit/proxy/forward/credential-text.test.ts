import { test } from 'tap'
import { formatApiKey } from '../../../../src/core/api-key.ts'
import {
  holdsCredential,
  withoutCredentials,
} from '../../../../src/proxy/forward/credential-text.ts'
import { isSaneRequestId } from '../../../../src/proxy/forward/fields.ts'

const KEY = formatApiKey('acme', new Uint8Array(32).fill(1))
const TOKEN = 'eyJhbGciOiJFUzI1NiJ9.eyJ0ZW5hbnQiOiJhY21lIn0.c2lnbmF0dXJl'
const encoded = (text: string): string =>
  Array.from(text, each => `%${each.charCodeAt(0).toString(16)}`).join('')

await test('a path in a log shows no key and no token, whole, mistyped or encoded', async t => {
  const cases: [string, string][] = [
    [`/keys/${KEY}`, '/keys/[redacted]'],
    [`/keys/${KEY}/uses`, '/keys/[redacted]/uses'],
    [`/keys/x-${KEY}x/${KEY}`, '/keys/x-[redacted]/[redacted]'],
    [`/keys/${KEY.slice(0, -4)}`, '/keys/[redacted]'],
    [`/keys/${KEY.replaceAll('_', '%5F')}`, '/keys/[redacted]'],
    [`/%6beys/${encoded(KEY)}/`, '/keys/[redacted]/'],
    [`/verify/${TOKEN}`, '/verify/[redacted]'],
    [`/verify/${TOKEN.split('.', 2).join('.')}/a`, '/verify/[redacted]/a'],
    [`/verify/${encoded(TOKEN)}`, '/verify/[redacted]'],
  ]
  for (const [path, logged] of cases) {
    t.equal(withoutCredentials(path), logged, path)
    t.ok(holdsCredential(path), path)
  }
})

await test('other paths are logged as they came', async t => {
  for (const path of [
    '/',
    '/amt_acme',
    '/amt_orders_list',
    '/a%20b',
    '/%zz',
    '/eyJ',
    '/a/eyJx/b',
    '*',
  ])
    t.equal(withoutCredentials(path), path)
})

await test('long paths take no long time', async t => {
  for (const piece of ['amt_', 'amt_a_', 'eyJ', 'eyJaaaaaaaa/', 'amt_a_aaaaaaaaaaaaaaa/', '-eyJ']) {
    const path = `/${piece.repeat(100_000 / piece.length)}`
    const started = performance.now()
    withoutCredentials(path)
    const ms = performance.now() - started
    t.ok(ms < 500, `${piece}: ${ms} ms`)
  }
})

await test('a key or token is no request id', async t => {
  t.notOk(isSaneRequestId(KEY))
  t.notOk(isSaneRequestId(TOKEN))
  t.ok(isSaneRequestId('amt_1'))
  t.ok(isSaneRequestId('0af7651916cd43dd8448eb211c80319c'))
})

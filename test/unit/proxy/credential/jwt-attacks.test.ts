import { createHmac, sign as signBytes } from 'node:crypto'
import { type Test, test } from 'tap'
import type { JwtIssuerConfig } from '../../../../src/config/schema.ts'
import { JwtChecker } from '../../../../src/proxy/credential/jwt.ts'
import { DEFAULT_JWT_OPTIONS } from '../../../../src/proxy/credential/jwt-options.ts'
import { Tenant } from '../../../../src/proxy/tenant/tenant.ts'
import {
  directoryOf,
  ISSUER,
  issuerConfig,
  JwksServer,
  NOW,
  RecordingLog,
  type SigningKey,
  sign,
  signingKey,
} from '../../../support/token-issuer.ts'

const SECONDS = NOW / 1_000
const key = signingKey('k1')

/** A checker whose issuer publishes `keys`; the result of a check as text: a tenant's id, an error or `foreign`. */
async function setUp(
  t: Test,
  keys: readonly SigningKey[] = [key],
  rest: Partial<JwtIssuerConfig> = {},
) {
  const server = await new JwksServer(...keys).listen()
  const checker = new JwtChecker(
    { directory: directoryOf('acme', 'globex'), log: new RecordingLog() },
    DEFAULT_JWT_OPTIONS,
  )
  checker.setIssuers([issuerConfig(server.url, rest)])
  t.teardown(async () => {
    await checker.close()
    await server.close()
  })
  const check = async (token: string, nowMs = NOW): Promise<string> => {
    const result = await checker.check(token, nowMs)
    return result instanceof Tenant ? result.id : result
  }
  return { server, checker, check }
}

/** A token put together by hand: whatever `header` and `payload` are, signed with `signature`. */
function assemble(header: string, payload: string, signature: (input: string) => string): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${signature(input)}`
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64url')
}

/** A right signature for whatever bytes, as a careless issuer would make it. */
function es256(input: string): string {
  const signingKeyOptions = { key: key.privateKey, dsaEncoding: 'ieee-p1363' } as const
  return signBytes('sha256', Buffer.from(input), signingKeyOptions).toString('base64url')
}

const GOOD_CLAIMS = JSON.stringify({
  iss: ISSUER,
  aud: 'orders',
  exp: SECONDS + 60,
  tenant: 'acme',
})

await test('takes good tokens of each kind of key', async t => {
  const keys = [signingKey('a', 'ES256'), signingKey('b', 'RS256'), signingKey('c', 'EdDSA')]
  const { check } = await setUp(t, keys)
  for (const each of keys) t.equal(await check(await sign(each)), 'acme', each.alg)
  t.equal(
    await check(await sign(key, { aud: ['x', 'orders'] }, { kid: 'a' })),
    'credential_invalid',
  )
  t.equal(await check(await sign(keys[0] as SigningKey, { aud: ['x', 'orders'] })), 'acme')
  t.equal(await check(await sign(keys[0] as SigningKey, {}, { typ: 'at+jwt' })), 'acme')
})

await test('refuses tokens without signature', async t => {
  const { check } = await setUp(t)
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
    const header = JSON.stringify({ alg, kid: 'k1' })
    t.equal(await check(assemble(header, GOOD_CLAIMS, () => '')), 'credential_invalid', alg)
    t.equal(await check(assemble(header, GOOD_CLAIMS, () => 'AAAA')), 'credential_invalid', alg)
  }
  t.equal(await check(assemble('{"kid":"k1"}', GOOD_CLAIMS, () => '')), 'credential_invalid')
})

await test('refuses HS256 with the public key as secret', async t => {
  const rsa = signingKey('k1', 'RS256')
  const { check } = await setUp(t, [rsa])
  const secrets = [
    rsa.publicKey.export({ type: 'spki', format: 'pem' }),
    rsa.publicKey.export({ type: 'spki', format: 'der' }),
    JSON.stringify(rsa.jwk),
  ]
  for (const secret of secrets) {
    const hmac = (input: string): string =>
      createHmac('sha256', secret).update(input).digest('base64url')
    const token = assemble('{"alg":"HS256","kid":"k1"}', GOOD_CLAIMS, hmac)
    t.equal(await check(token), 'credential_invalid')
  }
})

await test('ignores symmetric keys in a key set', async t => {
  const { server, check } = await setUp(t)
  const secret = Buffer.alloc(32, 7)
  server.keys = [{ kty: 'oct', k: secret.toString('base64url'), kid: 's', alg: 'HS256' }]
  const hmac = (input: string): string =>
    createHmac('sha256', secret).update(input).digest('base64url')
  t.equal(
    await check(assemble('{"alg":"HS256","kid":"s"}', GOOD_CLAIMS, hmac)),
    'credential_invalid',
  )
})

await test('takes no key from the token', async t => {
  const evil = signingKey('k1')
  const elsewhere = await new JwksServer(evil).listen()
  t.teardown(() => elsewhere.close())
  const { check } = await setUp(t)
  const headers = [
    { jwk: evil.jwk },
    { jku: elsewhere.url },
    { x5u: elsewhere.url },
    { x5c: ['MIIB'] },
    { jwk: evil.jwk, kid: undefined },
    { kid: '../../../../dev/null' },
    { kid: elsewhere.url },
  ]
  for (const header of headers) {
    t.equal(await check(await sign(evil, {}, header)), 'credential_invalid', JSON.stringify(header))
  }
  t.equal(elsewhere.requests, 0, 'nothing is fetched from where a token says')
})

await test('refuses critical header fields that it does not know', async t => {
  const { check } = await setUp(t)
  const token = (extra: Record<string, unknown>): string =>
    assemble(JSON.stringify({ alg: 'ES256', kid: 'k1', ...extra }), GOOD_CLAIMS, es256)
  t.equal(await check(token({ exp: 1 })), 'acme', 'so signed, a field that is not critical is fine')
  for (const crit of [['exp'], ['x'], [], 'exp', ['b64'], ['__proto__'], ['toString']]) {
    const result = await check(token({ crit, exp: 1, b64: false }))
    t.equal(result, 'credential_invalid', JSON.stringify(crit))
  }
})

await test('holds tokens to their time, give or take the skew', async t => {
  const { check } = await setUp(t)
  const cases: readonly (readonly [string, Record<string, unknown>, string])[] = [
    ['expired', { exp: SECONDS - 61 }, 'credential_expired'],
    ['expired just at the end of the skew', { exp: SECONDS - 60 }, 'credential_expired'],
    ['expired within the skew', { exp: SECONDS - 59 }, 'acme'],
    ['not yet valid', { nbf: SECONDS + 61 }, 'credential_invalid'],
    ['not yet valid within the skew', { nbf: SECONDS + 59 }, 'acme'],
    ['without expiry', { exp: undefined }, 'credential_invalid'],
    ['with text as expiry', { exp: '4102444800' }, 'credential_invalid'],
  ]
  for (const [name, claims, expected] of cases)
    t.equal(await check(await sign(key, claims)), expected, name)
})

await test('refuses tokens that are for somebody else', async t => {
  const { check } = await setUp(t)
  const cases: readonly (readonly [string, Record<string, unknown>, string])[] = [
    ['another audience', { aud: 'billing' }, 'credential_invalid'],
    ['no audience', { aud: undefined }, 'credential_invalid'],
    ['an audience that contains ours', { aud: 'orders-test' }, 'credential_invalid'],
    ['a tenant that does not exist', { tenant: 'initech' }, 'credential_invalid'],
    ['no tenant', { tenant: undefined }, 'credential_invalid'],
    ['two tenants', { tenant: ['acme', 'globex'] }, 'credential_invalid'],
    ['an issuer that is not configured', { iss: 'https://evil.example.com' }, 'foreign'],
    ['an issuer with a slash', { iss: `${ISSUER}/` }, 'foreign'],
    ['two issuers', { iss: [ISSUER] }, 'foreign'],
    ['no issuer', { iss: undefined }, 'foreign'],
  ]
  for (const [name, claims, expected] of cases)
    t.equal(await check(await sign(key, claims)), expected, name)
})

await test('refuses a token with a key of another issuer', async t => {
  const other = signingKey('k1')
  const otherServer = await new JwksServer(other).listen()
  t.teardown(() => otherServer.close())
  const { checker, server, check } = await setUp(t)
  const second = issuerConfig(otherServer.url, { issuer: 'https://other.example.com' })
  checker.setIssuers([issuerConfig(server.url), second])
  t.equal(await check(await sign(other, { iss: 'https://other.example.com' })), 'acme')
  t.equal(await check(await sign(other)), 'credential_invalid')
})

await test('refuses an algorithm that the issuer does not use, with its own key', async t => {
  const rsa = signingKey('k1', 'RS256')
  const { check } = await setUp(t, [rsa], { algorithms: ['ES256'] })
  t.equal(await check(await sign(rsa)), 'credential_invalid')
})

await test('refuses names that occur twice', async t => {
  const { check } = await setUp(t)
  const twice = `{"iss":"${ISSUER}","aud":"orders","exp":${SECONDS + 60},"tenant":"acme","tenant":"globex"}`
  const escaped = twice.replace('"tenant":"globex"', '"t\\u0065nant":"globex"')
  t.equal(
    await check(assemble('{"alg":"ES256","kid":"k1"}', GOOD_CLAIMS, es256)),
    'acme',
    'so signed, once is fine',
  )
  t.equal(await check(assemble('{"alg":"ES256","kid":"k1"}', twice, es256)), 'credential_invalid')
  t.equal(await check(assemble('{"alg":"ES256","kid":"k1"}', escaped, es256)), 'credential_invalid')
  t.equal(
    await check(assemble('{"alg":"none","alg":"ES256","kid":"k1"}', GOOD_CLAIMS, es256)),
    'credential_invalid',
  )
  const infinite = GOOD_CLAIMS.replace(String(SECONDS + 60), '1e999')
  t.equal(
    await check(assemble('{"alg":"ES256","kid":"k1"}', infinite, es256)),
    'credential_invalid',
    'never expires',
  )
})

await test('a flood of unknown keys causes one fetch in thirty seconds', async t => {
  const { server, check } = await setUp(t)
  t.equal(await check(await sign(key)), 'acme')
  t.equal(server.requests, 1)
  const flood = async (from: number, nowMs: number): Promise<void> => {
    const kids = Array.from({ length: 100 }, (_, i) => `unknown-${from + i}`)
    const tokens = await Promise.all(kids.map(kid => sign(key, {}, { kid })))
    const results = await Promise.all(tokens.map(token => check(token, nowMs)))
    t.ok(results.every(result => result === 'credential_invalid'))
  }
  await flood(0, NOW)
  t.equal(server.requests, 2)
  await flood(100, NOW + 29_000)
  t.equal(server.requests, 2)
  await flood(200, NOW + 31_000)
  t.equal(server.requests, 3)
})

await test('text that is no token is foreign, however long or deep', async t => {
  const { check } = await setUp(t)
  const deep = `{"iss":"${ISSUER}","x":${'['.repeat(5_000)}${']'.repeat(5_000)}}`
  const texts = [
    '',
    '.',
    '..',
    'a.b',
    'a.b.c',
    'a.b.c.d.e',
    `${'a'.repeat(1 << 20)}.b.c`,
    'opaque-token',
  ]
  for (const text of texts) t.equal(await check(text), 'foreign', text.slice(0, 20))
  t.equal(await check(assemble('{"alg":"ES256"}', deep, () => 'AAAA')), 'foreign', 'deep')
  t.equal(await check(assemble('[]', GOOD_CLAIMS, () => 'AAAA')), 'foreign', 'header is no object')
  t.equal(
    await check(assemble('{"alg":"ES256"}', 'null', () => 'AAAA')),
    'foreign',
    'payload is null',
  )
  const padded = `${await sign(key)} `
  t.equal(await check(padded), 'foreign', 'only the exact form is taken')
})

/** What a token must say before anybody looks at its signature. */
import { test } from 'tap'
import { expiryOf, faultOf, type JwtFields } from '../../../../src/proxy/credential/jwt-claims.ts'
import { failureOf } from '../../../../src/proxy/credential/token-issuer.ts'
import { readUnverified } from '../../../../src/proxy/credential/unverified-jwt.ts'
import { assemble } from '../../../support/forged-token.ts'
import { ISSUER, issuerConfig, NOW } from '../../../support/token-issuer.ts'

const SECONDS = NOW / 1_000
const GOOD = { iss: ISSUER, aud: 'orders', exp: SECONDS + 60 }

function fault(
  header: Record<string, unknown>,
  claims: Record<string, unknown>,
  rules: Partial<JwtFields> = {},
): string | undefined {
  const text = (value: object): string => JSON.stringify(value)
  const token = assemble(text({ alg: 'ES256', ...header }), text({ ...GOOD, ...claims }), () => '')
  const unverified = readUnverified(token)
  if (unverified === undefined) return 'no token'
  const found = faultOf(unverified, { ...issuerConfig('/dev/null'), ...rules }, NOW)
  return found && failureOf(found)
}

await test('types: what `typ` may be, without case, with or without application/', async t => {
  const cases: readonly (readonly [typ: unknown, good: boolean])[] = [
    [undefined, true],
    ['JWT', true],
    ['jwt', true],
    ['application/jwt', true],
    ['at+jwt', true],
    ['AT+JWT', true],
    ['application/at+jwt', true],
    ['Application/AT+JWT', true],
    ['logout+jwt', false],
    ['dpop+jwt', false],
    ['JWTX', false],
    ['', false],
    ['application/', false],
    ['application/x/jwt', false],
    ['application/application/jwt', false],
    ['text/jwt', false],
    [null, false],
    [1, false],
    [['JWT'], false],
  ]
  for (const [typ, good] of cases)
    t.equal(fault({ typ }, {}), good ? undefined : 'credential_invalid', JSON.stringify(typ))
  t.equal(fault({ typ: 'at+jwt' }, {}, { types: ['application/AT+jwt'] }), undefined)
  t.equal(fault({ typ: 'JWT' }, {}, { types: ['at+jwt'] }), 'credential_invalid')
  t.equal(fault({}, {}, { types: ['at+jwt'] }), undefined, 'none is fine unless it is required')
})

await test('requireType: a token without `typ` is refused', async t => {
  t.equal(fault({}, {}, { requireType: true }), 'credential_invalid')
  t.equal(fault({ typ: 'JWT' }, {}, { requireType: true }), undefined)
})

await test('crit: whatever is critical is not known here; b64 is for no JWT', async t => {
  for (const crit of [[], ['exp'], ['b64'], ['x', 'y'], 'exp', null, {}, false])
    t.equal(fault({ crit }, {}), 'credential_invalid', JSON.stringify(crit))
  t.equal(fault({ b64: false }, {}), 'credential_invalid')
  t.equal(fault({ b64: 'false' }, {}), 'credential_invalid')
  t.equal(fault({ b64: null }, {}), 'credential_invalid')
  t.equal(fault({ b64: true }, {}), undefined)
})

await test('exp, nbf, iat: each to the skew and no further', async t => {
  const skew = 60
  const cases: readonly (readonly [claims: Record<string, unknown>, expected?: string])[] = [
    [{ exp: SECONDS - skew + 1 }],
    [{ exp: SECONDS - skew }, 'credential_expired'],
    [{ exp: SECONDS - skew + 0.5 }],
    [{ exp: 0 }, 'credential_expired'],
    [{ exp: -1 }, 'credential_expired'],
    [{ exp: undefined }, 'credential_invalid'],
    [{ exp: null }, 'credential_invalid'],
    [{ exp: '4102444800' }, 'credential_invalid'],
    [{ exp: [SECONDS + 60] }, 'credential_invalid'],
    [{ nbf: SECONDS + skew }],
    [{ nbf: SECONDS + skew + 1 }, 'credential_invalid'],
    [{ nbf: '0' }, 'credential_invalid'],
    [{ nbf: null }, 'credential_invalid'],
    [{ nbf: 0 }],
    [{ iat: SECONDS + skew }],
    [{ iat: SECONDS + skew + 1 }, 'credential_invalid'],
    [{ iat: '0' }, 'credential_invalid'],
    [{ iat: null }, 'credential_invalid'],
    [{ iat: 0 }],
  ]
  for (const [claims, expected] of cases)
    t.equal(fault({}, claims), expected, JSON.stringify(claims))
  t.equal(fault({}, { exp: SECONDS }, { clockSkew: 0 }), 'credential_expired')
  t.equal(fault({}, { exp: SECONDS + 1, iat: SECONDS + 1 }, { clockSkew: 0 }), 'credential_invalid')
  t.equal(expiryOf({ exp: Number.POSITIVE_INFINITY }, 0), undefined)
  t.equal(expiryOf({ exp: 1e300 }, 0), 1e303, 'a number as any other')
})

await test('aud: one of ours, as text or in an array of texts', async t => {
  for (const aud of ['orders', ['orders'], ['x', 'orders']]) t.equal(fault({}, { aud }), undefined)
  for (const aud of [
    '',
    'order',
    'orders ',
    [],
    ['x'],
    [['orders']],
    ['orders', 1],
    { 0: 'orders' },
    null,
    undefined,
    1,
  ])
    t.equal(fault({}, { aud }), 'credential_invalid', JSON.stringify(aud))
})

await test('a name that stands twice at any depth is ambiguous, a colon in text is none', async t => {
  const ambiguous = (payload: string, header = '{"alg":"ES256"}'): boolean | undefined =>
    readUnverified(assemble(header, payload, () => ''))?.ambiguous
  t.equal(ambiguous('{"iss":"a","x":":\\":{","y":[{"a":1},{"a":1}],"z":{"iss":"b"}}'), false)
  for (const twice of [
    '"x":1,"x":1',
    '"iss":"b"',
    '"r":{"a":1,"a":2}',
    '"r":[[{"a":1,"\\u0061":2}]]',
    '"__proto__":1,"__proto__":1',
  ])
    t.equal(ambiguous(`{"iss":"a",${twice}}`), true, twice)
  t.equal(ambiguous('{"iss":"a"}', '{"alg":"a","alg":"a"}'), true)
  t.equal(ambiguous('{"iss":"a","x":"é"}'), false)
  const latin1 = Buffer.from('{"iss":"a","x":"é"}', 'latin1')
  t.equal(
    readUnverified(assemble('{"alg":"ES256"}', latin1, () => ''))?.ambiguous,
    true,
    'no UTF-8',
  )
  t.equal(ambiguous('{"sub":"a"}'), false, 'a token may say only whom it is about')
  t.equal(ambiguous('{"aud":"a"}'), undefined, 'but not neither')
})

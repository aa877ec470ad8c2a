import fc from 'fast-check'
import { test } from 'tap'
import { tenantSchema } from '../../../../src/config/tenant-schema.ts'
import { decodeTenant, encodeTenant } from '../../../../src/config/tenant-text.ts'
import { claimsOf } from '../../../../src/proxy/tenant/claims.ts'
import { factsInText } from '../../../../src/proxy/tenant/claims-in-text.ts'

const RUNS = 3_000
const deployment = { endpoints: ['http://10.0.0.9:80'] }
const digest = (digit: string): string => `sha256:${digit.repeat(64)}`

/** Each part as often absent as not. */
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined })

const hex = fc
  .array(fc.integer({ min: 0, max: 15 }), { minLength: 64, maxLength: 64 })
  .map(digits => `sha256:${digits.map(digit => digit.toString(16)).join('')}`)
/** Also with quotes, escapes and what looks like other parts of the text. */
const words = fc.oneof(
  fc.constantFrom(
    'a"b',
    'a\\b',
    '","deployment":',
    '"disabled":',
    '"passthrough":',
    '}',
    ']',
    '{"apiKey":"sha256:',
    'ä',
    'пр',
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
)
const host = fc.constantFrom('a.test', 'www.b.test', '*.c.test', '*.d.e.test')
const credential = fc.oneof(
  fc.record({
    apiKey: hex,
    label: maybe(words),
    expires: maybe(fc.constant('2027-01-01T00:00:00Z')),
  }),
  fc.record({ certificate: hex }),
  fc.record({ spiffe: fc.constantFrom('spiffe://a.test/x', 'spiffe://a.test/tenant/x/*') }),
  fc.record({ jwt: fc.record({ issuer: words, claims: fc.constant({ org: 'a' }) }) }),
  fc.constant({ privateLink: { aws: 'vpce-0123456789abcdef0' } }),
)
const tenant = fc.record({
  id: fc.constantFrom('acme', 'a', 'tenant-000010'),
  address: maybe(fc.constantFrom('10.1.2.3', '2001:db8::1', '2001:DB8:0::1')),
  hosts: fc.array(host, { maxLength: 3 }),
  credentials: fc.array(credential, { maxLength: 4 }),
  jwt: fc.constantFrom([], [{ issuer: 'https://own.test', audiences: ['a'], jwks: 'keys.json' }]),
  deployment: fc.constant(deployment),
  passthrough: fc.boolean(),
  connect: fc.boolean(),
  limits: fc.constantFrom({}, { concurrency: 5 }, { handshakes: 3 }),
  quotas: fc.constant([]),
  disabled: fc.boolean(),
})

await test('what the text says is what the configuration says, or nothing', async t => {
  let found = 0
  fc.assert(
    fc.property(tenant, value => {
      const text = encodeTenant(value as never)
      const config = decodeTenant(text)
      const facts = factsInText(text)
      if (facts === undefined) return
      found += 1
      t.strictSame(facts, { id: config.id, claims: claimsOf(config) })
      t.notOk(config.disabled || config.passthrough)
    }),
    { numRuns: RUNS },
  )
  t.ok(found > 20, `${found} of ${RUNS}`)
})

await test('what most tenants have is found in their text', async t => {
  const given = tenantSchema.parse({
    id: 'acme',
    address: '10.1.0.7',
    hosts: ['acme.test', '*.acme.test'],
    credentials: [
      { apiKey: digest('a'), label: 'ci', expires: '2027-01-01T00:00:00Z' },
      { apiKey: digest('b') },
      { certificate: digest('c') },
      { spiffe: 'spiffe://a.test/acme' },
      { spiffe: 'spiffe://a.test/tenant/acme/*' },
    ],
    deployment,
    limits: { concurrency: 5 },
    connect: true,
  })
  t.strictSame(factsInText(encodeTenant(given)), {
    id: 'acme',
    claims: [
      { table: 'addresses', key: '10.1.0.7' },
      { table: 'hosts', key: 'acme.test' },
      { table: 'hostSuffixes', key: 'acme.test' },
      { table: 'apiKeys', key: 'a'.repeat(64) },
      { table: 'apiKeys', key: 'b'.repeat(64) },
      { table: 'certificates', key: 'c'.repeat(64) },
      { table: 'spiffeIds', key: 'spiffe://a.test/acme' },
      { table: 'spiffePrefixes', key: 'spiffe://a.test/tenant/acme/' },
    ],
  })
  t.strictSame(factsInText(encodeTenant(tenantSchema.parse({ id: 'a', deployment }))), {
    id: 'a',
    claims: [],
  })
})

await test('what is uncommon is left to the configuration', async t => {
  const uncommon = [
    { disabled: true },
    { passthrough: true, hosts: ['a.test'] },
    { limits: { handshakes: '3/s' } },
    {
      jwt: [
        { issuer: 'https://own.test', audiences: ['a'], jwks: 'keys.json', algorithms: ['ES256'] },
      ],
    },
    { credentials: [{ apiKey: digest('a') }, { jwt: { issuer: 'i', claims: { org: 'a' } } }] },
  ]
  for (const part of uncommon) {
    const given = tenantSchema.parse({ id: 'acme', deployment, ...part })
    t.equal(factsInText(encodeTenant(given)), undefined, JSON.stringify(part))
  }
  for (const text of ['', '{}', '{"id":"a"}', '{"id":"a","deployment'])
    t.equal(factsInText(text), undefined, text)
})

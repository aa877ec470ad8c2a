import fc from 'fast-check'
import { test } from 'tap'
import { z } from 'zod'
import type { TenantConfig } from '../../../src/config/schema.ts'
import { tenantSchema } from '../../../src/config/tenant-schema.ts'
import {
  addressInText,
  decodeTenant,
  encodeTenant,
  idInText,
} from '../../../src/config/tenant-text.ts'

const PROPERTY_RUNS = 500

/** Values of the form that `schema` lets through, each default as often as something else. Leaves may hold anything. */
function valuesOf(schema: z.ZodType): fc.Arbitrary<unknown> {
  if (schema instanceof z.ZodOptional)
    return fc.option(valuesOf(schema.unwrap() as z.ZodType), { nil: undefined })
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    const fallback = fc.constant(schema.safeParse(undefined).data)
    return fc.oneof(fallback, valuesOf(schema.unwrap() as z.ZodType))
  }
  if (schema instanceof z.ZodArray)
    return fc.array(valuesOf(schema.element as z.ZodType), { maxLength: 3 })
  if (schema instanceof z.ZodObject) {
    const fields = Object.entries(schema.shape).map(([name, inner]) => [
      name,
      valuesOf(inner as z.ZodType),
    ])
    return fc
      .record(Object.fromEntries(fields) as Record<string, fc.Arbitrary<unknown>>)
      .map(value =>
        Object.fromEntries(Object.entries(value).filter(([, given]) => given !== undefined)),
      )
  }
  return fc.oneof(fc.string({ unit: 'binary' }), fc.integer(), fc.boolean(), fc.jsonValue())
}

await test('decoding is the inverse of encoding, for whatever the schema lets through', async t => {
  fc.assert(
    fc.property(valuesOf(tenantSchema), value => {
      const config = value as TenantConfig
      const text = encodeTenant(config)
      t.strictSame(decodeTenant(text), JSON.parse(JSON.stringify(config)))
      t.equal(encodeTenant(decodeTenant(text)), text, 'one text for one configuration')
    }),
    { numRuns: PROPERTY_RUNS },
  )
})

await test('a tenant with everything comes back as it was', async t => {
  const digest = `sha256:${'ab'.repeat(32)}`
  const tenant = tenantSchema.parse({
    id: 'acme',
    address: '10.1.0.7',
    hosts: ['acme.example.com', '*.acme.example.com'],
    credentials: [
      { spiffe: 'spiffe://example.org/tenant/acme/*' },
      { certificate: digest },
      { jwt: { issuer: 'https://login.acme.com', claims: { org: 'acme', __proto__: 'no' } } },
      { apiKey: digest },
    ],
    deployment: {
      endpoints: ['https://10.2.0.7:8080', 'tcp://10.2.0.8:8080'],
      health: { path: '/healthz' },
      tls: { ca: '/etc/ca.crt', serverName: 'orders.internal' },
      maxConnections: 4,
      queue: { calls: 3 },
      ejection: { failures: 2, base: '1s', max: '2s' },
      panic: '10%',
      slowStart: '3s',
      retries: { budget: '5%' },
      identity: { address: ['10.2.0.0/24'] },
    },
    connect: true,
    limits: { requests: '100/s', burst: 200, ingress: '10MiB/s', body: '10MiB' },
    quotas: [{ name: 'month', of: 'calls', amount: 1_000, per: 'month' }],
    disabled: true,
  })
  t.strictSame(decodeTenant(encodeTenant(tenant)), tenant)
})

await test('what the schema fills in is left out, at any depth', async t => {
  const deployment = { endpoints: ['http://127.0.0.1:9'] }
  const plain = tenantSchema.parse({ id: 'acme', deployment })
  t.equal(encodeTenant(plain), '{"id":"acme","deployment":{"endpoints":["http://127.0.0.1:9"]}}')

  const checked = tenantSchema.parse({
    id: 'acme',
    deployment: { ...deployment, health: { interval: '7s' } },
  })
  t.match(encodeTenant(checked), '"health":{"interval":7000}')
  t.equal(decodeTenant(encodeTenant(checked)).deployment.health?.timeout, 2_000)
})

await test('a text is Latin-1, whatever the configuration says', async t => {
  const config = tenantSchema.parse({
    id: 'acme',
    credentials: [{ jwt: { issuer: 'https://login.example', claims: { org: 'Ω 東 😀 é' } } }],
    deployment: { endpoints: ['http://127.0.0.1:9'] },
  })
  const text = encodeTenant(config)
  t.equal(Buffer.from(text, 'latin1').toString('latin1'), text)
  t.strictSame(decodeTenant(text), config)
})

await test('nobody can change the defaults of all tenants through one of them', async t => {
  const text = '{"id":"acme","deployment":{"endpoints":["http://127.0.0.1:9"]}}'
  t.throws(() => decodeTenant(text).hosts.push('evil.example'))
  t.throws(() => Object.assign(decodeTenant(text).limits, { burst: 1 }))
  t.same(decodeTenant(text).hosts, [])
})

await test('id and address are found in a text without reading the rest of it', async t => {
  const deployment = { endpoints: ['http://192.0.2.1:80'] }
  const rest = { hosts: ['address.test', 'a.test'], deployment }
  for (const address of ['192.0.2.7', '2001:db8::7', undefined]) {
    const config = tenantSchema.parse({ ...rest, address, id: 'address' })
    const text = encodeTenant(config)
    t.equal(addressInText(text), config.address)
    t.equal(addressInText(text), decodeTenant(text).address)
    t.equal(idInText(text), 'address')
  }
})

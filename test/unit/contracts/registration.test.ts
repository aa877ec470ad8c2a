import { test } from 'tap'
import {
  MAX_TENANTS_PER_REGISTRATION,
  registeredTenantSchema,
  registrationSchema,
} from '../../../src/contracts/registration.ts'
import { pageDigest } from '../../../src/runtime/registration/page-digest.ts'

const QUOTA = { name: 'calls', of: 'calls', amount: 5, per: 'day' } as const
const TENANT = { id: 'acme', endpoints: ['http://10.0.0.1:80'] }

await test('the digest of a page does not depend on the order of keys, but on everything else', async t => {
  const full = {
    id: 'acme',
    disabled: false,
    endpoints: ['http://10.0.0.1:80', 'http://10.0.0.2:80'],
    spiffe: ['spiffe://example.org/acme'],
    addresses: ['10.0.0.0/24'],
    quotas: [QUOTA],
  }
  const turned = Object.fromEntries(Object.entries(full).toReversed()) as typeof full
  const digest = pageDigest([full])
  t.match(digest, /^[A-Za-z0-9_-]{43}$/)
  t.equal(
    pageDigest([
      {
        ...turned,
        quotas: [Object.fromEntries(Object.entries(QUOTA).toReversed()) as typeof QUOTA],
      },
    ]),
    digest,
  )
  t.equal(pageDigest([registeredTenantSchema.parse(turned)]), digest)
  for (const change of [
    { id: 'acmf' },
    { disabled: true },
    { endpoints: full.endpoints.toReversed() },
    { spiffe: [] },
    { addresses: ['10.0.0.0/25'] },
    { quotas: [{ ...QUOTA, amount: 6 }] },
  ])
    t.not(pageDigest([{ ...full, ...change }]), digest, JSON.stringify(change))
})

await test('a registration is taken with what may be left out, and refused beyond its caps', async t => {
  const digest = pageDigest([])
  const base = { proxy: 'p', service: 'notes', generation: 1, pages: [digest] }
  t.same(registrationSchema.parse(base), { ...base, content: [] })
  const page = (count: number): unknown => ({
    ...base,
    content: [{ digest, tenants: Array.from({ length: count }, () => TENANT) }],
  })
  t.ok(registrationSchema.safeParse(page(MAX_TENANTS_PER_REGISTRATION)).success)
  t.notOk(registrationSchema.safeParse(page(MAX_TENANTS_PER_REGISTRATION + 1)).success)
  for (const wrong of [
    { id: 'Acme' },
    { endpoints: Array.from({ length: 257 }, () => 'http://a:1') },
    { addresses: ['acme.example.com'] },
    { addresses: ['10.0.0.0/33'] },
    { quotas: [{ deep: {} }] },
    { tenant: 'beta' },
  ]) {
    const content = [{ digest, tenants: [{ ...TENANT, ...wrong }] }]
    t.notOk(registrationSchema.safeParse({ ...base, content }).success, JSON.stringify(wrong))
  }
  for (const wrong of [{ pages: ['x'] }, { generation: 0 }, { proxy: '../x' }, { more: 1 }])
    t.notOk(registrationSchema.safeParse({ ...base, ...wrong }).success, JSON.stringify(wrong))
})

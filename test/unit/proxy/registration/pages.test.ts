import { test } from 'tap'
import type { TenantConfig } from '../../../../src/config/schema.ts'
import { tenantSchema } from '../../../../src/config/tenant-schema.ts'
import {
  MAX_REGISTRATION_BYTES,
  registeredTenantSchema,
} from '../../../../src/contracts/registration.ts'
import { pagesOf } from '../../../../src/proxy/registration/pages.ts'
import { pageDigest } from '../../../../src/runtime/registration/page-digest.ts'

function tenant(id: string, deployment: Record<string, unknown> = {}): TenantConfig {
  return tenantSchema.parse({
    id,
    deployment: { endpoints: [`http://${id}.internal:80`], ...deployment },
  })
}

function many(count: number): TenantConfig[] {
  return Array.from({ length: count }, (_, index) => tenant(`tenant-${index}`))
}

await test('a page says of a tenant what the mixer needs to know, and no more', t => {
  const identity = { spiffe: 'spiffe://example.org/acme', address: ['10.0.0.0/24'] }
  const quota = { name: 'calls', of: 'calls', amount: 5, per: 'day' } as const
  const acme = { ...tenant('acme', { identity }), disabled: true, quotas: [quota] }
  const [page, ...others] = pagesOf([acme])
  t.same(others, [])
  t.same(page?.tenants, [
    {
      id: 'acme',
      disabled: true,
      endpoints: ['http://acme.internal:80'],
      spiffe: [identity.spiffe],
      addresses: identity.address,
      quotas: [quota],
    },
  ])
  t.equal(page?.digest, pageDigest(page?.tenants ?? []))
  t.same(registeredTenantSchema.array().parse(page?.tenants), page?.tenants)
  t.same(pagesOf([]), [])
  t.end()
})

await test('the same tenants give the same pages, and a changed one changes its own alone', t => {
  const tenants = many(5_000)
  const pages = pagesOf(tenants)
  t.ok(pages.length >= 16, `${pages.length} pages`)
  t.ok(pages.every(page => page.tenants.length < 1_000))
  t.equal(new Set(pages.flatMap(page => page.tenants.map(({ id }) => id))).size, 5_000)
  const digests = new Set(pages.map(({ digest }) => digest))
  const news = (changed: readonly TenantConfig[]): number =>
    pagesOf(changed).filter(({ digest }) => !digests.has(digest)).length
  t.equal(news(tenants.toReversed()), 0)
  t.equal(news(tenants.toSpliced(77, 1, { ...tenants[77], disabled: true } as TenantConfig)), 1)
  t.equal(news(tenants.toSpliced(77, 1)), 1, 'one that goes')
  t.equal(news([...tenants, tenant('another')]), 1, 'one that comes')
  t.end()
})

await test('tenants with very much to say are spread over pages that fit into a request', t => {
  const endpoints = Array.from(
    { length: 256 },
    (_, index) => `http://${'x'.repeat(250)}:${index + 1}`,
  )
  const pages = pagesOf(
    many(40).map(each => ({ ...each, deployment: { ...each.deployment, endpoints } })),
  )
  t.ok(pages.length > 1)
  for (const page of pages) {
    t.ok(page.bytes <= MAX_REGISTRATION_BYTES / 2)
    t.ok(Math.abs(JSON.stringify(page.tenants).length - page.bytes) <= 1)
  }
  t.end()
})

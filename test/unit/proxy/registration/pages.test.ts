import { test } from 'tap'
import type { TenantConfig } from '../../../../src/config/schema.ts'
import { tenantSchema } from '../../../../src/config/tenant-schema.ts'
import {
  MAX_REGISTRATION_BYTES,
  registeredTenantSchema,
} from '../../../../src/contracts/registration.ts'
import { type Page, RegistrationPages } from '../../../../src/proxy/registration/pages.ts'
import { pageDigest } from '../../../../src/runtime/registration/page-digest.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

function tenant(id: string, deployment: Record<string, unknown> = {}): TenantConfig {
  return tenantSchema.parse({
    id,
    deployment: { endpoints: [`http://${id}.internal:80`], ...deployment },
  })
}

function many(count: number): TenantConfig[] {
  return Array.from({ length: count }, (_, index) => tenant(`tenant-${index}`))
}

function pagesOf(tenants: readonly TenantConfig[]): Page[] {
  const pages = new RegistrationPages()
  for (const each of tenants) pages.set(each)
  return [...pages.pages().values()]
}

/** The same for tenants that were expected, prepared bit by bit. */
async function preparedPagesOf(
  tenants: readonly TenantConfig[],
  { bits = Number.POSITIVE_INFINITY, expected = tenants.length } = {},
): Promise<Page[]> {
  const pages = new RegistrationPages()
  pages.expect(expected)
  for (const each of tenants) pages.set(each)
  let done = 0
  await pages.prepare(async () => {
    done += 1
    await Promise.resolve()
    return done < bits
  })
  return [...pages.pages().values()]
}

await test('a page says of a tenant what the mixer needs to know, and no more', t => {
  const identity = { spiffe: 'spiffe://example.org/acme', address: ['10.0.0.0/24'] }
  const quota = { name: 'calls', of: 'calls', amount: 5, per: 'day' } as const
  const acme = { ...tenant('acme', { identity }), disabled: true, quotas: [quota] }
  const [page, ...others] = pagesOf([acme])
  t.same(others, [])
  t.same(page?.tenants(), [
    {
      id: 'acme',
      disabled: true,
      endpoints: ['http://acme.internal:80'],
      spiffe: [identity.spiffe],
      addresses: identity.address,
      quotas: [quota],
    },
  ])
  t.equal(page?.digest, pageDigest(page?.tenants() ?? []))
  t.same(registeredTenantSchema.array().parse(page?.tenants()), page?.tenants())
  t.same(pagesOf([]), [])
  t.end()
})

await test('the same tenants give the same pages, and a changed one changes its own alone', t => {
  const tenants = many(5_000)
  const pages = pagesOf(tenants)
  t.ok(pages.length >= 16, `${pages.length} pages`)
  t.ok(pages.every(page => page.count < 1_000))
  t.equal(new Set(pages.flatMap(page => page.tenants().map(({ id }) => id))).size, 5_000)
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
    t.ok(Math.abs(JSON.stringify(page.tenants()).length - page.bytes) <= 1)
  }
  t.end()
})

await test('pages that were changed one tenant at a time are those of a fresh start', t => {
  const seed = Date.now() % 2 ** 32
  t.comment(`seed ${seed}`)
  const random = new SeededRandom(seed)
  const pages = new RegistrationPages()
  const there = new Map<string, TenantConfig>()
  for (let step = 0; step < 4_000; step += 1) {
    const id = `tenant-${random.below(2_000)}`
    if (random.below(3) === 0) {
      pages.delete(id)
      there.delete(id)
    } else {
      const next = { ...tenant(id), disabled: random.below(2) === 0 }
      pages.set(next)
      there.set(id, next)
    }
    if (step % 500 === 0) pages.pages()
  }
  const fresh = pagesOf([...there.values()])
  t.same([...pages.pages().keys()].toSorted(), fresh.map(({ digest }) => digest).toSorted())
  t.end()
})

await test('one tenant that comes and goes at a border does not move all others', t => {
  const pages = new RegistrationPages()
  for (const each of many(257)) pages.set(each)
  const before = new Set(pages.pages().keys())
  pages.delete('tenant-256')
  const after = pages.pages()
  t.equal([...after.keys()].filter(digest => !before.has(digest)).length, 1)
  for (const each of many(257)) pages.delete(each.id)
  t.equal(pages.pages().size, 0)
  t.end()
})

await test('pages are the same whether or not their tenants were expected, or their digests prepared', async t => {
  for (const count of [0, 1, 256, 257, 5_000]) {
    const tenants = many(count)
    const wanted = pagesOf(tenants).map(({ digest }) => digest)
    const digestsOf = (pages: readonly Page[]): string[] => pages.map(({ digest }) => digest)
    t.same(digestsOf(await preparedPagesOf(tenants)), wanted, `${count} tenants`)
    t.same(digestsOf(await preparedPagesOf(tenants, { bits: 3 })), wanted, `${count}, some of it`)
    t.same(
      digestsOf(await preparedPagesOf(tenants, { expected: 0 })),
      wanted,
      `${count}, unexpected`,
    )
  }
})

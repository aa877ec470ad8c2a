/**
 * The tenants of a snapshot in pages, so that a change costs the page that it is on. A tenant stays on its page when others
 * come and go: the page follows from its id, and from how many pages there are, which doubles as tenants become more.
 */
import { crc32c } from '../../codec/crc32c.ts'
import type { TenantConfig } from '../../config/schema.ts'
import { MAX_REGISTRATION_BYTES, type TenantRegistration } from '../../contracts/registration.ts'
import { pageDigest } from '../../runtime/registration/page-digest.ts'

/** A page has half as many on average. */
const TENANTS_A_PAGE = 512
const MAX_PAGE_BYTES = MAX_REGISTRATION_BYTES / 2

export interface Page {
  readonly digest: string
  readonly tenants: readonly TenantRegistration[]
  /** As JSON, about. */
  readonly bytes: number
}

/** The same tenants give the same pages, whatever their order. */
export function pagesOf(tenants: readonly TenantConfig[]): readonly Page[] {
  const sorted = tenants.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const count = 2 ** Math.ceil(Math.log2(Math.max(1, sorted.length / (TENANTS_A_PAGE / 2))))
  const buckets = Map.groupBy(sorted, ({ id }) => {
    const bytes = Buffer.from(id)
    return crc32c(bytes, 0, bytes.length) % count
  })
  return [...buckets]
    .toSorted(([a], [b]) => a - b)
    .flatMap(([, bucket]) => cut(bucket.map(registrationOf)))
}

function cut(tenants: readonly TenantRegistration[]): Page[] {
  const pages: Page[] = []
  let page: TenantRegistration[] = []
  let bytes = 0
  const close = (): void => {
    if (page.length > 0) pages.push({ digest: pageDigest(page), tenants: page, bytes })
    page = []
    bytes = 0
  }
  for (const tenant of tenants) {
    const size = Buffer.byteLength(JSON.stringify(tenant)) + 1
    if (bytes + size > MAX_PAGE_BYTES) close()
    page.push(tenant)
    bytes += size
  }
  close()
  return pages
}

function registrationOf({ id, disabled, deployment, quotas }: TenantConfig): TenantRegistration {
  const { endpoints, identity } = deployment
  return {
    id,
    disabled,
    endpoints: [...endpoints],
    spiffe: identity?.spiffe === undefined ? [] : [identity.spiffe],
    addresses: [...(identity?.address ?? [])],
    quotas: quotas.map(({ name, of, amount, per }) => ({ name, of, amount, per })),
  }
}

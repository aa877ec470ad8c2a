/**
 * The tenants in pages, so that a change costs the page that it is on: here, and on the way to the mixer. A tenant stays
 * on its page when others come and go: the page follows from its id, and from how many pages there are, which doubles as
 * tenants become more.
 */
import { crc32c } from '../../codec/crc32c.ts'
import type { TenantConfig } from '../../config/schema.ts'
import { MAX_REGISTRATION_BYTES, type TenantRegistration } from '../../contracts/registration.ts'
import { canonicalJson, digestOfJson } from '../../runtime/registration/page-digest.ts'

/** A page has half as many on average. */
const TENANTS_A_PAGE = 512
const MAX_PAGE_BYTES = MAX_REGISTRATION_BYTES / 2

export interface Page {
  readonly digest: string
  /** How many tenants are on it. */
  readonly count: number
  /** As JSON. */
  readonly bytes: number
  /** As it is sent; made when it is asked for. */
  tenants(): TenantRegistration[]
}

/** Tenants whose ids have something in common. They fit on one page as a rule. */
interface Group {
  /** By id, each as canonical JSON: as objects they would take several times the memory. */
  readonly texts: Map<string, string>
  /** Undefined since something in it has changed. */
  pages: readonly Page[] | undefined
}

/** The same tenants give the same pages, whatever their order, as long as they were never very many more. */
export class RegistrationPages {
  #groups: Group[] = [newGroup()]
  #size = 0

  set(tenant: TenantConfig): void {
    const group = this.#groupOf(tenant.id)
    const text = canonicalJson(registrationOf(tenant))
    if (group.texts.get(tenant.id) === text) return
    if (!group.texts.has(tenant.id)) this.#size += 1
    group.texts.set(tenant.id, text)
    group.pages = undefined
    if (this.#size > (this.#groups.length * TENANTS_A_PAGE) / 2)
      this.#regroup(this.#groups.length * 2)
  }

  delete(id: string): void {
    const group = this.#groupOf(id)
    if (!group.texts.delete(id)) return
    this.#size -= 1
    group.pages = undefined
    // Not as soon as half would do: one tenant that comes and goes must not move all of them each time.
    if (this.#groups.length > 1 && this.#size <= (this.#groups.length * TENANTS_A_PAGE) / 16)
      this.#regroup(this.#groups.length / 4)
  }

  /** So many are about to come: they need not be moved time and again on their way. */
  expect(count: number): void {
    let groups = this.#groups.length
    while (count > (groups * TENANTS_A_PAGE) / 2) groups *= 2
    if (groups > this.#groups.length) this.#regroup(groups)
  }

  /** By digest. Costs what has changed since the last time. */
  pages(): Map<string, Page> {
    const pages = new Map<string, Page>()
    for (const group of this.#groups)
      for (const page of currentPages(group)) pages.set(page.digest, page)
    return pages
  }

  /** Does the work of `pages` bit by bit, and is told each time whether to go on. */
  async prepare(goOn: () => Promise<boolean>): Promise<void> {
    for (const group of this.#groups) {
      if (group.pages !== undefined) continue
      currentPages(group)
      if (!(await goOn())) return
    }
  }

  #groupOf(id: string): Group {
    const bytes = Buffer.from(id)
    const group = this.#groups[crc32c(bytes, 0, bytes.length) % this.#groups.length]
    if (group === undefined) throw new Error('there is no group')
    return group
  }

  #regroup(count: number): void {
    const former = this.#groups
    this.#groups = Array.from({ length: Math.max(1, Math.ceil(count)) }, newGroup)
    for (const { texts } of former)
      for (const [id, text] of texts) this.#groupOf(id).texts.set(id, text)
  }
}

function newGroup(): Group {
  return { texts: new Map(), pages: undefined }
}

function currentPages(group: Group): readonly Page[] {
  group.pages ??= pagesOf(group)
  return group.pages
}

function pagesOf({ texts }: Group): Page[] {
  const pages: Page[] = []
  let page: string[] = []
  let bytes = 0
  const close = (): void => {
    if (page.length > 0) pages.push(pageOf(page, bytes))
    page = []
    bytes = 0
  }
  for (const id of [...texts.keys()].toSorted()) {
    const text = texts.get(id) ?? ''
    const size = Buffer.byteLength(text) + 1
    if (bytes + size > MAX_PAGE_BYTES) close()
    page.push(text)
    bytes += size
  }
  close()
  return pages
}

function pageOf(texts: readonly string[], bytes: number): Page {
  return {
    digest: digestOfJson(`[${texts.join(',')}]`),
    count: texts.length,
    bytes,
    tenants: () => texts.map(text => JSON.parse(text) as TenantRegistration),
  }
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

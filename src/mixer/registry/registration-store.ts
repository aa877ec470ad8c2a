/**
 * Registrations in the ledger. A proxy has the snapshot that is in force and, while its pages come in, the one that it
 * wants; pages are kept under their digests as long as either needs them.
 */
import { z } from 'zod'
import {
  type Registration,
  registeredTenantSchema,
  type TenantRegistration,
} from '../../contracts/registration.ts'
import { pageDigest } from '../../runtime/registration/page-digest.ts'
import type { Database, SqlRow, SqlSession } from '../ledger/database.ts'
import type { Page } from './merge.ts'
import type { RegisterResult } from './registry.ts'

/** Proxies that are remembered at once. */
const MAX_PROXIES = 1_000

export type StoreResult = Exclude<RegisterResult, { kind: 'unavailable' }>

/** What a poll finds of one proxy. */
export interface KnownProxy {
  readonly proxy: string
  /** 0 where none of its snapshots has been complete. */
  readonly generation: number
  /** Changes each time that the proxy is heard of. */
  readonly heard: bigint
}

export interface StoredSnapshot {
  readonly service: string
  readonly digests: readonly string[]
}

/** All methods reject as the database does. */
export class RegistrationStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async register(registration: Registration): Promise<StoreResult> {
    const problem = contentProblem(registration)
    if (problem !== undefined) return { kind: 'malformed', problem }
    return this.#database.transaction(async session => {
      const known = await rowOf(session, registration.proxy)
      if (known === undefined && !(await makeRow(session, registration.proxy)))
        return { kind: 'full' }
      return take(session, registration, known ?? NEW_ROW)
    })
  }

  async proxies(): Promise<readonly KnownProxy[]> {
    const rows = await this.#database.snapshot(async session =>
      session.all('SELECT proxy, generation, heard FROM registry_proxy'),
    )
    return rows.map(row => ({
      proxy: String(row['proxy']),
      generation: Number(row['generation']),
      heard: row['heard'] as bigint,
    }))
  }

  /** The snapshot in force, and those of its pages that are not in `have`. */
  async read(
    proxy: string,
    have: ReadonlyMap<string, unknown>,
  ): Promise<
    | { readonly generation: number; readonly snapshot: StoredSnapshot; readonly pages: Page[] }
    | undefined
  > {
    return this.#database.snapshot(async session => {
      const row = await rowOf(session, proxy)
      if (row === undefined || row.generation === 0) return undefined
      const snapshot = JSON.parse(row.snapshot) as StoredSnapshot
      const pages: Page[] = []
      for (const digest of new Set(snapshot.digests)) {
        if (have.has(digest)) continue
        const [page] = await session.all(
          'SELECT tenants FROM registry_page WHERE proxy = $1 AND digest = $2',
          [proxy, digest],
        )
        pages.push({ digest, tenants: tenantsOf(page) })
      }
      return { generation: row.generation, snapshot, pages }
    })
  }

  /** Unless it was heard of meanwhile. */
  async forget({ proxy, heard }: KnownProxy): Promise<void> {
    await this.#database.transaction(async session => {
      const gone = await session.run('DELETE FROM registry_proxy WHERE proxy = $1 AND heard = $2', [
        proxy,
        heard,
      ])
      if (gone > 0) await session.run('DELETE FROM registry_page WHERE proxy = $1', [proxy])
    })
  }
}

interface ProxyRow {
  readonly generation: number
  readonly snapshot: string
  readonly wantedGeneration: number
  readonly wanted: string
}

const NEW_ROW: ProxyRow = { generation: 0, snapshot: '', wantedGeneration: 0, wanted: '' }

async function rowOf(session: SqlSession, proxy: string): Promise<ProxyRow | undefined> {
  const [row] = await session.all(
    `SELECT generation, snapshot, wanted_generation, wanted FROM registry_proxy WHERE proxy = $1`,
    [proxy],
  )
  return row === undefined
    ? undefined
    : {
        generation: Number(row['generation']),
        snapshot: String(row['snapshot']),
        wantedGeneration: Number(row['wanted_generation']),
        wanted: String(row['wanted']),
      }
}

/** False where there are too many already. */
async function makeRow(session: SqlSession, proxy: string): Promise<boolean> {
  const [row] = await session.all('SELECT count(*) AS count FROM registry_proxy')
  if (Number(row?.['count']) >= MAX_PROXIES) return false
  await session.run(
    `INSERT INTO registry_proxy (proxy, generation, snapshot, wanted_generation, wanted, heard)
     VALUES ($1, 0, '', 0, '', 0)`,
    [proxy],
  )
  return true
}

async function take(
  session: SqlSession,
  registration: Registration,
  known: ProxyRow,
): Promise<StoreResult> {
  const { proxy, service, generation, pages } = registration
  const snapshot = JSON.stringify({ service, digests: pages } satisfies StoredSnapshot)
  const newest = Math.max(known.generation, known.wantedGeneration)
  const same = snapshot === (generation === known.generation ? known.snapshot : known.wanted)
  if (generation < newest || (generation === newest && !same))
    return { kind: 'outdated', generation: newest }

  await session.run('UPDATE registry_proxy SET heard = heard + 1 WHERE proxy = $1', [proxy])
  if (generation === known.generation) return { kind: 'registered', generation }

  const missing = await addPages(session, registration)
  if (missing.length === 0) {
    await session.run(
      `UPDATE registry_proxy SET generation = $2, snapshot = $3, wanted_generation = 0, wanted = ''
       WHERE proxy = $1`,
      [proxy, generation, snapshot],
    )
    await keepPages(session, proxy, pages)
    return { kind: 'registered', generation }
  }
  if (generation !== known.wantedGeneration) {
    await session.run(
      'UPDATE registry_proxy SET wanted_generation = $2, wanted = $3 WHERE proxy = $1',
      [proxy, generation, snapshot],
    )
    await keepPages(session, proxy, [...pages, ...digestsOf(known.snapshot)])
  }
  return { kind: 'missing', generation, missing }
}

/** What is still missing then. */
async function addPages(
  session: SqlSession,
  { proxy, pages, content }: Registration,
): Promise<string[]> {
  for (const { digest, tenants } of content) {
    await session.run(
      `INSERT INTO registry_page (proxy, digest, tenants) VALUES ($1, $2, $3)
       ON CONFLICT (proxy, digest) DO NOTHING`,
      [proxy, digest, JSON.stringify(tenants)],
    )
  }
  const have = await storedDigests(session, proxy)
  return [...new Set(pages)].filter(digest => !have.has(digest))
}

async function keepPages(
  session: SqlSession,
  proxy: string,
  needed: readonly string[],
): Promise<void> {
  const keep = new Set(needed)
  for (const digest of await storedDigests(session, proxy)) {
    if (!keep.has(digest))
      await session.run('DELETE FROM registry_page WHERE proxy = $1 AND digest = $2', [
        proxy,
        digest,
      ])
  }
}

async function storedDigests(session: SqlSession, proxy: string): Promise<Set<string>> {
  const rows = await session.all('SELECT digest FROM registry_page WHERE proxy = $1', [proxy])
  return new Set(rows.map(row => String(row['digest'])))
}

function digestsOf(snapshot: string): readonly string[] {
  return snapshot === '' ? [] : (JSON.parse(snapshot) as StoredSnapshot).digests
}

function contentProblem({ pages, content }: Registration): string | undefined {
  const listed = new Set(pages)
  for (const [index, { digest, tenants }] of content.entries()) {
    if (!listed.has(digest)) return `content[${index}].digest: is none of pages`
    if (pageDigest(tenants) !== digest)
      return `content[${index}].digest: is not that of the tenants`
  }
  return undefined
}

const pageSchema = z.array(registeredTenantSchema)

/** Throws where the page is not there, or of a form that this version does not know. */
function tenantsOf(row: SqlRow | undefined): readonly TenantRegistration[] {
  return pageSchema.parse(JSON.parse(String(row?.['tenants'] ?? '')))
}

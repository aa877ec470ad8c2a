/** A proxy and a mixer under load, watched from all sides: what clients, deployments, journals and ledger have counted. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { UsageWindow } from '../../../src/contracts/usage-query.ts'
import type { UsageRecord } from '../../../src/contracts/usage-report.ts'
import { runAmt } from '../amt.ts'
import { makeTenants, type TenantFixture, tenantConfig } from '../cross-tenant/tenants.ts'
import { freePorts } from '../free-ports.ts'
import { readUntil, readUsage } from '../running-amt.ts'
import { SeededRandom } from '../seeded-random.ts'
import { Counts, keyOf, type LedgerCount } from './counts.ts'
import { KeptJournals } from './kept-journals.ts'
import { Load, OPERATIONS, type Places } from './load.ts'
import { loadDeployment } from './load-deployment.ts'
import { SupervisedAmt } from './supervised-amt.ts'

const TENANTS = 2
const LONGEST_OUTAGE_MS = 3_000
const LOAD_END_MS = 30_000
/** Sequences of random numbers. */
const FIXTURES = 0
const OUTAGES = 1
export const KILLS = 2

export type Books = Map<string, LedgerCount>

export interface ChaosOptions {
  readonly seed: number
  /** Is told of each part that ends by itself. */
  readonly note: (line: string) => void
  /** A folder with a disk of its own at `journal`. By default a new one, which is deleted when the test passes. */
  readonly folder?: string
  /** By default a SQLite file. */
  readonly ledger?: string
  /** The mixer is started by `settle`, and not before. */
  readonly mixerAway?: boolean
}

/** Deleted at the end of a test that passes. */
export function chaosFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'amt-chaos-'))
  t.teardown(() => {
    if (t.passing()) rmSync(folder, { recursive: true, force: true })
  })
  return folder
}

export class ChaosRun {
  readonly amt: SupervisedAmt
  readonly counts: Counts
  readonly journals: KeptJournals
  readonly #load: Load
  readonly #folder: string
  readonly #mixerAway: boolean

  private constructor(parts: {
    mixerAway: boolean
    amt: SupervisedAmt
    counts: Counts
    journals: KeptJournals
    load: Load
    folder: string
  }) {
    this.amt = parts.amt
    this.counts = parts.counts
    this.journals = parts.journals
    this.#load = parts.load
    this.#folder = parts.folder
    this.#mixerAway = parts.mixerAway
  }

  /** Starts the parts and the load for `use`. What they leave on disk is deleted at the end of a test that passes. */
  static async with(
    t: Test,
    options: ChaosOptions,
    use: (run: ChaosRun) => Promise<void>,
  ): Promise<void> {
    const run = await ChaosRun.#start(t, options)
    try {
      await use(run)
    } finally {
      // Otherwise what the end of a failed test ends would be started again for ever.
      run.amt.abandon()
    }
  }

  static async #start(t: Test, options: ChaosOptions): Promise<ChaosRun> {
    const { seed, note, folder = chaosFolder(t), mixerAway = false } = options
    // Links do not lead to another disk.
    const kept = options.folder === undefined ? 'kept-journals' : 'journal/kept'
    const counts = new Counts()
    const fixtures = await makeTenants(SeededRandom.fork(seed, FIXTURES), TENANTS, folder)
    const { tenants } = fixtures
    // An address that no client has as its own: nobody can take a port of it while its owner is dead.
    const host = tenants[0]?.address.replace(/\d+$/, '200') ?? ''
    const [publicPort, tlsPort, privatePort, adminPort, mixerPort] = await freePorts(5)
    const outages = SeededRandom.fork(seed, OUTAGES)
    const journals = new KeptJournals(join(folder, 'journal'), join(folder, kept))
    const amt = new SupervisedAmt(t, {
      folder,
      mixer: `${host}:${mixerPort}`,
      mixerOutageMs: () => outages.below(LONGEST_OUTAGE_MS),
      note,
      config: {
        service: {
          operations: OPERATIONS.map(name => ({ name, match: `* /${name}/*` })),
        },
        listeners: [
          { name: 'public', mode: 'shared', address: `${host}:${publicPort}`, protocol: 'http' },
          { name: 'tls', mode: 'shared', address: `${host}:${tlsPort}`, tls: fixtures.listenerTls },
          { name: 'private', mode: 'private', port: privatePort, protocol: 'tcp' },
        ],
        authentication: fixtures.authentication,
        // All calls of wrong tenants are from one address.
        sources: { badCredentials: 'off' },
        tenants: await configure(t, tenants, counts),
        admin: { address: `${host}:${adminPort}` },
        ...(options.ledger === undefined ? {} : { ledger: options.ledger }),
      },
    })
    t.teardown(() => journals.stop())
    if (!mixerAway) {
      amt.mixer.start()
      await amt.mixer.ready
    }
    await amt.proxy.ready
    const places: Places = {
      public: { host, port: Number(publicPort) },
      tls: { host, port: Number(tlsPort) },
      private: ({ address }) => ({ host: address, port: Number(privatePort) }),
      ca: fixtures.ca,
    }
    const load = new Load(counts, places, { tenants, seed })
    return new ChaosRun({ amt, counts, journals, load, folder, mixerAway })
  }

  /** Ends the load in good order, then the proxy; what it has not delivered is delivered by a start of its own. */
  async settle(t: Test): Promise<Books> {
    await this.amt.proxy.ready
    await this.#endLoad()
    t.equal(await this.amt.proxy.stop(), 0, 'the proxy has drained')
    if (this.#mixerAway) this.amt.mixer.start()
    await this.amt.mixer.ready
    this.amt.startProxyAgain()
    await this.amt.proxy.ready
    await readUntil(
      async () => this.metric('amt_journal_bytes_pending'),
      bytes => bytes === 0,
    )
    const { code, stdout, stderr } = await runAmt([
      'reconcile',
      '--config',
      join(this.#folder, 'proxy.yaml'),
    ])
    t.equal(
      code,
      0,
      `amt reconcile: the books balance\n${code === 0 ? '' : stdout + stderr}`.trim(),
    )
    t.equal(await this.amt.proxy.stop(), 0, 'a second time')
    this.journals.stop()
    const books = booksOf(
      await readUsage(this.amt.mixerUrl, ['tenant', 'operation', 'listener', 'code']),
    )
    t.equal(await this.amt.mixer.stop(), 0, 'the mixer has ended')
    return books
  }

  /** What the proxy says of one of its figures that has no labels; NaN where it does not. */
  async metric(name: string): Promise<number> {
    const { admin } = await this.amt.proxy.ready
    const metrics = await (await fetch(`http://${String(admin)}/metrics`)).text()
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1] ?? Number.NaN)
  }

  /** Writes what helps to find out why, and says where. */
  keep(files: Readonly<Record<string, string>>): string {
    const { mixer, proxy } = this.amt
    const said = { mixer, proxy }
    for (const [name, { lives }] of Object.entries(said))
      writeFileSync(join(this.#folder, `${name}.log`), lives.flatMap(life => life.lines).join('\n'))
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.#folder, name), text)
    return this.#folder
  }

  async #endLoad(): Promise<void> {
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => late.reject(new Error(`clients do not end:\n${this.#load.underWay.join('\n')}`)),
      LOAD_END_MS,
    )
    await Promise.race([this.#load.stop(), late.promise]).finally(() => clearTimeout(timer))
  }
}

async function configure(
  t: Test,
  tenants: readonly TenantFixture[],
  counts: Counts,
): Promise<Record<string, unknown>[]> {
  return Promise.all(
    tenants.map(async (tenant, index) => {
      const port = await loadDeployment(t, tenant.id, counts)
      // With clients of both versions in front of each, all mixes of versions are under load.
      tenant.http2 = index % 2 === 1
      return tenantConfig(tenant, [`${tenant.http2 ? 'h2c' : 'http'}://127.0.0.1:${port}`])
    }),
  )
}

/** By tenant, operation and listener; without the connections that calls came on. */
export function booksOf(records: Iterable<UsageWindow | UsageRecord>): Books {
  const books: Books = new Map()
  for (const { tenant = '', operation = '', listener = '', calls, ingress, egress } of records) {
    if (operation === 'connection') continue
    const key = keyOf(tenant, operation, listener)
    const former = books.get(key)
    books.set(key, {
      calls: (former?.calls ?? 0) + Number(calls),
      ingress: (former?.ingress ?? 0) + Number(ingress),
      egress: (former?.egress ?? 0) + Number(egress),
    })
  }
  return books
}

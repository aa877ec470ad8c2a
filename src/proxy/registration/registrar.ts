/**
 * Keeps the mixer told whose deployments there are: at the start, with each change, and every 30 seconds the digests
 * alone, so that a mixer with a new ledger asks for what it misses. It never gives up, and nothing waits for it.
 */
import { setTimeout as rest } from 'node:timers/promises'
import type { TenantDifference } from '../../config/config-store.ts'
import { decodeTenant } from '../../config/tenant-text.ts'
import {
  MAX_REGISTRATION_BYTES,
  MAX_REGISTRATION_PAGES,
  MAX_TENANTS_PER_REGISTRATION,
  type Registration,
  type RegistrationAnswer,
} from '../../contracts/registration.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { MixerClient } from '../../runtime/mixer-client.ts'
import { type Page, RegistrationPages } from './pages.ts'

const REFRESH_MS = 30_000
const FIRST_RETRY_MS = 500
/** Worked through without a rest: about 1 ms. */
const TENANTS_A_TURN = 100
/** A change of a tenant takes a dozen turns to reach the workers; it should not find this in each of them. */
const REST_MS = 4
/** No longer than the time between two refreshes, which this stands for. */
const LAST_RETRY_MS = REFRESH_MS

export interface RegistrarDeps {
  readonly client: Pick<MixerClient, 'register'>
  /** As `proxyName` gives it. */
  readonly proxy: string
  readonly service: string
  readonly clock: Pick<Clock, 'now'>
  readonly logger: Logger
  readonly refreshMs?: number
  readonly firstRetryMs?: number
}

interface Snapshot {
  readonly pages: ReadonlyMap<string, Page>
  generation: number
}

type Outcome = 'registered' | 'failed'

export class Registrar {
  readonly #deps: RegistrarDeps
  readonly #pages = new RegistrationPages()
  /** Ids, while the tenants of the start are worked through. */
  #changedMeanwhile: Set<string> | undefined
  #snapshot: Snapshot | undefined
  #lastGeneration = 0
  /** The generation that the log knows of as registered. */
  #told = 0
  #failures = 0
  #closed = false
  #wake: () => void = () => {}
  #running = false

  constructor(deps: RegistrarDeps) {
    this.#deps = deps
  }

  /**
   * From now on registers these tenants, each as `encodeTenant` writes it, and what becomes of them. Returns at once, and
   * works through them bit by bit: there may be 100,000, and others wait for the process, too. Resolves when it is through.
   * `count`: how many they are, about.
   */
  async start(texts: Iterable<string>, count = 0): Promise<void> {
    const changed = new Set<string>()
    this.#changedMeanwhile = changed
    this.#pages.expect(count)
    await this.#fill(texts[Symbol.iterator](), changed)
  }

  /** Registers what is different. */
  update({ changed, removed }: TenantDifference): void {
    for (const text of changed) {
      const tenant = decodeTenant(text)
      this.#pages.set(tenant)
      this.#changedMeanwhile?.add(tenant.id)
    }
    for (const id of removed) {
      this.#pages.delete(id)
      this.#changedMeanwhile?.add(id)
    }
    if (this.#changedMeanwhile === undefined) this.#take()
  }

  /** What changes while this goes on is newer than what `texts` still gives. */
  async #fill(texts: Iterator<string>, changed: ReadonlySet<string>): Promise<void> {
    for (let count = 1; ; count += 1) {
      const next = texts.next()
      if (next.done === true || this.#closed) break
      const tenant = decodeTenant(next.value)
      if (!changed.has(tenant.id)) this.#pages.set(tenant)
      if (count % TENANTS_A_TURN === 0) await rest(REST_MS)
    }
    await this.#pages.prepare(async () => {
      await rest(REST_MS)
      return !this.#closed
    })
    this.#changedMeanwhile = undefined
    this.#take()
  }

  #take(): void {
    if (this.#closed) return
    const pages = this.#pages.pages()
    if (pages.size > MAX_REGISTRATION_PAGES) {
      this.#deps.logger.error(
        { pages: pages.size, most: MAX_REGISTRATION_PAGES },
        'too many tenants to register: the mixer goes on with those of before',
      )
      return
    }
    if (this.#snapshot !== undefined && sameKeys(this.#snapshot.pages, pages)) return
    this.#snapshot = { pages, generation: this.#nextGeneration(this.#deps.clock.now()) }
    this.#wake()
    if (this.#running) return
    this.#running = true
    void this.#run()
  }

  /** Ends at once; what is under way is no longer waited for by anybody. */
  close(): void {
    this.#closed = true
    this.#wake()
  }

  async #run(): Promise<void> {
    const { refreshMs = REFRESH_MS, firstRetryMs = FIRST_RETRY_MS } = this.#deps
    for (;;) {
      const snapshot = this.#snapshot
      const outcome = snapshot === undefined ? 'registered' : await this.#register(snapshot)
      if (this.#closed) return
      if (snapshot !== this.#snapshot) continue
      this.#failures = outcome === 'failed' ? this.#failures + 1 : 0
      const retry = firstRetryMs * 2 ** Math.min(this.#failures - 1, 20)
      await this.#pause(outcome === 'failed' ? Math.min(retry, LAST_RETRY_MS) : refreshMs)
      if (this.#closed) return
    }
  }

  /** One conversation: the digests, then whatever is missing. */
  async #register(snapshot: Snapshot): Promise<Outcome> {
    let content: readonly Page[] = []
    let missing = Number.POSITIVE_INFINITY
    for (;;) {
      const answer = await this.#send(snapshot, content)
      if (this.#closed || snapshot !== this.#snapshot) return 'failed'
      if (answer === undefined) return 'failed'
      if (answer.generation !== snapshot.generation) return this.#outdated(snapshot, answer)
      if (answer.missing.length === 0) return this.#registered(snapshot)
      content = batchOf(snapshot, answer.missing)
      if (content.length === 0 || answer.missing.length >= missing)
        return this.#failed('the mixer asks for pages without an end')
      missing = answer.missing.length
    }
  }

  async #send(
    { pages, generation }: Snapshot,
    content: readonly Page[],
  ): Promise<RegistrationAnswer | undefined> {
    const { client, proxy, service } = this.#deps
    const registration: Registration = {
      proxy,
      service,
      generation,
      pages: [...pages.keys()],
      content: content.map(page => ({ digest: page.digest, tenants: page.tenants() })),
    }
    const result = await client.register(registration)
    if (result.ok) return result.answer
    if (!this.#closed) this.#failed(result.detail)
    return undefined
  }

  /** The clock was set back over a restart, or another proxy has the same name. */
  #outdated(snapshot: Snapshot, { generation }: RegistrationAnswer): Outcome {
    if (generation < snapshot.generation) return this.#failed('the mixer answers for another one')
    this.#deps.logger.warn(
      { proxy: this.#deps.proxy, generation },
      'the mixer knows a newer snapshot of this proxy; unless the clock was set back, another proxy uses the same journal directory',
    )
    snapshot.generation = this.#nextGeneration(generation + 1)
    return this.#failures > 0 ? 'failed' : this.#failed('an outdated snapshot')
  }

  #registered({ pages, generation }: Snapshot): Outcome {
    if (this.#failures > 0 || generation !== this.#told)
      this.#deps.logger.info({ generation, pages: pages.size }, 'tenants are registered')
    this.#told = generation
    return 'registered'
  }

  /** A mixer that is away is said once, until it is back. */
  #failed(detail: string): Outcome {
    if (this.#failures === 0)
      this.#deps.logger.warn({ detail }, 'tenants cannot be registered with the mixer; trying on')
    return 'failed'
  }

  #nextGeneration(atLeast: number): number {
    this.#lastGeneration = Math.max(this.#lastGeneration + 1, Math.floor(atLeast))
    return this.#lastGeneration
  }

  /** So long, or until there is something new. */
  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms).unref()
    this.#wake = resolve
    await promise
    clearTimeout(timer)
    this.#wake = () => {}
  }
}

/** As many of the missing pages as fit into one request. */
function batchOf({ pages }: Snapshot, missing: readonly string[]): Page[] {
  const batch: Page[] = []
  let [bytes, tenants] = [0, 0]
  for (const digest of missing) {
    const page = pages.get(digest)
    if (page === undefined) continue
    bytes += page.bytes
    tenants += page.count
    const full = bytes > MAX_REGISTRATION_BYTES || tenants > MAX_TENANTS_PER_REGISTRATION
    if (full && batch.length > 0) break
    batch.push(page)
  }
  return batch
}

function sameKeys(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): boolean {
  return a.size === b.size && [...a.keys()].every(key => b.has(key))
}

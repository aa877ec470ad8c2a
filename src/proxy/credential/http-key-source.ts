import { type Dispatcher, request } from 'undici'
import type { FetchBudget } from './fetch-budget.ts'
import type { KeySet } from './key-set.ts'
import {
  KeyHolder,
  type KeySource,
  type KeySourceOptions,
  type KeyUse,
  MAX_JWKS_BYTES,
  type ProblemLog,
} from './key-source.ts'

const DEFAULT_LIFETIME_MS = 600_000
const MIN_LIFETIME_MS = 60_000
const MAX_LIFETIME_MS = 3_600_000

export interface HttpKeySourceDeps {
  readonly log: ProblemLog
  /** Shared with other sources; not closed here. */
  readonly agent: Dispatcher
  readonly budget: FetchBudget
  readonly use?: KeyUse
  readonly options: KeySourceOptions & {
    /** How long keys stay in use after they went stale and cannot be fetched anew. */
    readonly maxStaleMs: number
  }
}

/**
 * Fetches on demand, one fetch at a time. Keys that went stale are still used while newer ones are fetched, for as long
 * again as they were fresh; then calls wait for the fetch. While the issuer is down the last keys stay in use, up to
 * `maxStaleMs`: for ever would let a key live on that its issuer took back, for anybody who can keep us from asking.
 */
export class HttpKeySource implements KeySource {
  readonly #url: string
  readonly #deps: HttpKeySourceDeps
  readonly #holder: KeyHolder
  readonly #closing = new AbortController()
  #fetching: Promise<void> | undefined = undefined
  #fetchedAtMs = Number.NEGATIVE_INFINITY
  #lifetimeMs = 0
  /** Of the last fetch. */
  #failed = false
  #retryAtMs = Number.NEGATIVE_INFINITY
  #refreshedAtMs = Number.NEGATIVE_INFINITY

  constructor(url: string, deps: HttpKeySourceDeps) {
    this.#url = url
    this.#deps = deps
    this.#holder = new KeyHolder(url, deps.log, deps.use)
  }

  current(nowMs: number): KeySet | undefined {
    const ageMs = nowMs - this.#fetchedAtMs
    // Of a clock that was set back nobody knows how old the keys are.
    if (ageMs < this.#lifetimeMs && ageMs >= 0) return this.#holder.keys
    void this.#fetch('load', nowMs)
    // Nobody waits for an issuer that did not answer the last time: that would delay calls at each new attempt.
    if (ageMs < 2 * this.#lifetimeMs || this.#failed) return this.#usable(nowMs)
    return undefined
  }

  async load(nowMs: number): Promise<KeySet | undefined> {
    await this.#fetch('load', nowMs)
    return this.#usable(nowMs)
  }

  async refresh(nowMs: number): Promise<KeySet | undefined> {
    if (this.#fetching !== undefined) await this.#fetching
    else if (Math.abs(nowMs - this.#refreshedAtMs) >= this.#deps.options.refreshIntervalMs) {
      this.#refreshedAtMs = nowMs
      await this.#fetch('refresh', nowMs)
    }
    return this.#usable(nowMs)
  }

  close(): void {
    this.#closing.abort()
  }

  #usable(nowMs: number): KeySet | undefined {
    const staleMs = nowMs - this.#fetchedAtMs - this.#lifetimeMs
    return staleMs < this.#deps.options.maxStaleMs ? this.#holder.keys : undefined
  }

  /** Joins the fetch that is under way, or starts one unless the last failed just now, or there are too many. Never rejects. */
  #fetch(kind: 'load' | 'refresh', nowMs: number): Promise<void> {
    if (this.#fetching !== undefined) return this.#fetching
    const { budget, options } = this.#deps
    if (this.#failed && this.#retryAtMs > nowMs && this.#retryAtMs - nowMs <= options.retryMs)
      return Promise.resolve()
    if (this.#closing.signal.aborted || !budget.begin(kind, nowMs)) return Promise.resolve()
    this.#fetching = this.#fetchOnce(nowMs).finally(() => {
      this.#fetching = undefined
      budget.end(!this.#failed)
    })
    return this.#fetching
  }

  async #fetchOnce(nowMs: number): Promise<void> {
    try {
      const response = await this.#get()
      if (this.#holder.replace(response.text, nowMs)) {
        this.#fetchedAtMs = nowMs
        this.#lifetimeMs = response.lifetimeMs
        this.#failed = false
        return
      }
    } catch (error) {
      if (this.#closing.signal.aborted) return
      this.#holder.problem(error, nowMs)
    }
    this.#failed = true
    this.#retryAtMs = nowMs + this.#deps.options.retryMs
  }

  async #get(): Promise<{ text: string; lifetimeMs: number }> {
    const { agent, options } = this.#deps
    const timeout = AbortSignal.timeout(options.fetchTimeoutMs)
    // undici follows no redirect unless asked to: the keys are where the operator says, nowhere else.
    const { statusCode, headers, body } = await request(this.#url, {
      dispatcher: agent,
      headers: { accept: 'application/jwk-set+json, application/json' },
      signal: AbortSignal.any([timeout, this.#closing.signal]),
    })
    if (statusCode !== 200) {
      body.on('error', () => undefined).destroy()
      throw new Error(`the issuer answered ${statusCode}`)
    }
    return { text: await readBounded(body), lifetimeMs: lifetimeOf(headers['cache-control']) }
  }
}

async function readBounded(body: Dispatcher.ResponseData['body']): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    // Leaving the loop destroys the body and with it the connection.
    if (bytes > MAX_JWKS_BYTES) throw new Error(`the answer is larger than ${MAX_JWKS_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** RFC 9111 `max-age`, within reason: an issuer must not turn each call into a fetch, nor make a lost key live on for days. */
function lifetimeOf(cacheControl: string | string[] | undefined): number {
  const value = String(cacheControl ?? '').toLowerCase()
  if (/(^|[\s,])no-(store|cache)\b/.test(value)) return MIN_LIFETIME_MS
  const maxAge = /(?:^|[\s,])max-age="?(\d{1,10})/.exec(value)?.[1]
  if (maxAge === undefined) return DEFAULT_LIFETIME_MS
  return Math.min(Math.max(Number(maxAge) * 1_000, MIN_LIFETIME_MS), MAX_LIFETIME_MS)
}

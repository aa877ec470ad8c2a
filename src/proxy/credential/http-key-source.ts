import { Agent, type Dispatcher, request } from 'undici'
import type { KeySet } from './key-set.ts'
import {
  KeyHolder,
  type KeySource,
  type KeySourceOptions,
  MAX_JWKS_BYTES,
  type ProblemLog,
} from './key-source.ts'

const DEFAULT_LIFETIME_MS = 600_000
const MIN_LIFETIME_MS = 60_000
const MAX_LIFETIME_MS = 3_600_000

/**
 * Fetches on demand, one fetch at a time. Keys that went stale are still used while newer ones are fetched, for as long
 * again as they were fresh; then calls wait for the fetch. While the issuer is down the last keys stay in use.
 */
export class HttpKeySource implements KeySource {
  readonly #url: string
  readonly #options: KeySourceOptions
  readonly #holder: KeyHolder
  readonly #agent: Agent
  readonly #closing = new AbortController()
  #fetching: Promise<void> | undefined = undefined
  #freshUntilMs = Number.NEGATIVE_INFINITY
  #usableUntilMs = Number.NEGATIVE_INFINITY
  /** Of the last fetch. */
  #failed = false
  #retryAtMs = Number.NEGATIVE_INFINITY
  #refreshedAtMs = Number.NEGATIVE_INFINITY

  constructor(url: string, log: ProblemLog, options: KeySourceOptions) {
    this.#url = url
    this.#options = options
    this.#holder = new KeyHolder(url, log)
    this.#agent = new Agent({ connections: 1, connect: { timeout: options.fetchTimeoutMs } })
  }

  current(nowMs: number): KeySet | undefined {
    if (nowMs < this.#freshUntilMs) return this.#holder.keys
    void this.#fetch(nowMs)
    // Nobody waits for an issuer that did not answer the last time: that would delay calls at each new attempt.
    return nowMs < this.#usableUntilMs || this.#failed ? this.#holder.keys : undefined
  }

  async load(nowMs: number): Promise<KeySet | undefined> {
    await this.#fetch(nowMs)
    return this.#holder.keys
  }

  async refresh(nowMs: number): Promise<KeySet | undefined> {
    if (this.#fetching !== undefined) await this.#fetching
    else if (nowMs - this.#refreshedAtMs >= this.#options.refreshIntervalMs) {
      this.#refreshedAtMs = nowMs
      await this.#fetch(nowMs)
    }
    return this.#holder.keys
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#agent.destroy()
  }

  /** Joins the fetch that is under way, or starts one unless the last failed just now. Never rejects. */
  #fetch(nowMs: number): Promise<void> {
    if (this.#fetching === undefined && nowMs >= this.#retryAtMs && !this.#closing.signal.aborted) {
      this.#fetching = this.#fetchOnce(nowMs).finally(() => {
        this.#fetching = undefined
      })
    }
    return this.#fetching ?? Promise.resolve()
  }

  async #fetchOnce(nowMs: number): Promise<void> {
    try {
      const response = await this.#get()
      if (this.#holder.replace(response.text, nowMs)) {
        this.#freshUntilMs = nowMs + response.lifetimeMs
        this.#usableUntilMs = this.#freshUntilMs + response.lifetimeMs
        this.#failed = false
        return
      }
    } catch (error) {
      if (this.#closing.signal.aborted) return
      this.#holder.problem(error, nowMs)
    }
    this.#failed = true
    this.#retryAtMs = nowMs + this.#options.retryMs
  }

  async #get(): Promise<{ text: string; lifetimeMs: number }> {
    const timeout = AbortSignal.timeout(this.#options.fetchTimeoutMs)
    // undici follows no redirect unless asked to: the keys are where the operator says, nowhere else.
    const { statusCode, headers, body } = await request(this.#url, {
      dispatcher: this.#agent,
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

import { Agent } from 'undici'
import { FetchBudget, type FetchLimits } from './fetch-budget.ts'
import { FileKeySource } from './file-key-source.ts'
import { HttpKeySource } from './http-key-source.ts'
import type { KeySource, KeySourceOptions, KeyUse, ProblemLog } from './key-source.ts'

/** Connections to one server of keys: it may serve those of thousands of tenants. */
const CONNECTIONS = 8

/** Makes the key sources of a worker, which share connections and how often they may fetch. */
export class KeySources {
  readonly budget: FetchBudget
  readonly #log: ProblemLog
  readonly #options: KeySourceOptions
  #agent: Agent | undefined

  constructor(log: ProblemLog, options: KeySourceOptions, limits: FetchLimits) {
    this.#log = log
    this.#options = options
    this.budget = new FetchBudget(limits)
  }

  /** `location`: an http(s) URL or a path; `maxStaleMs`: how long keys are used that cannot be fetched anew. Opens nothing yet. */
  create(location: string, maxStaleMs: number, use?: KeyUse): KeySource {
    if (!/^https?:\/\//i.test(location)) return new FileKeySource(location, this.#log, use)
    const { fetchTimeoutMs } = this.#options
    this.#agent ??= new Agent({ connections: CONNECTIONS, connect: { timeout: fetchTimeoutMs } })
    return new HttpKeySource(location, {
      log: this.#log,
      agent: this.#agent,
      budget: this.budget,
      use,
      options: { ...this.#options, maxStaleMs },
    })
  }

  /** Its sources must be closed before. */
  async close(): Promise<void> {
    await this.#agent?.destroy()
  }
}
